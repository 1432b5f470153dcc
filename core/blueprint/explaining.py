"""Who says what a part of a blueprint is, in the order of who wins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...config.path import did_you_mean, join
from ..hyperparameters.signature import parameters_of
from .arguments import fitting, names_of
from .draft import Draft
from .entry import Entry, Setting, short
from .errors import SettingError
from .made import Made


@dataclass(frozen=True, slots=True)
class Source:
    """One of those who say what an argument or a class is."""

    who: str
    """``user``, a call, a constructor by path and class, or ``default``."""
    value: Any
    how: str = ""
    """What was asked, and of what."""


@dataclass(frozen=True, slots=True)
class Explanation(Sequence[Source]):
    """The sources of one value, of which the first wins."""

    path: str
    sources: tuple[Source, ...]

    @property
    def value(self) -> Any:
        """What it is."""
        return self.sources[0].value

    def __getitem__(self, index: Any) -> Any:
        return self.sources[index]

    def __len__(self) -> int:
        return len(self.sources)

    def __str__(self) -> str:
        width = max(len(source.who) for source in self.sources)
        lines = [f"{self.path or 'the whole'} = {short(self.value)}"]
        for i, source in enumerate(self.sources):
            how = f"  ({source.how})" if source.how else ""
            mark = "->" if i == 0 else "  "
            lines.append(f"{mark} {source.who:<{width}}  {short(source.value)}{how}")
        return "\n".join(lines)


def explained(draft: Draft, path: str) -> Explanation:
    """Return the sources of the part or the argument at ``path``."""
    owner, _, name = path.rpartition(".")
    if path in draft.places and not (path and _is_argument(draft, owner, name)):
        return Explanation(path, tuple(_of_class(draft, draft.places[path])))
    if owner not in draft.places:
        raise draft.nothing_at(path)
    made = draft.places[owner]
    if name not in parameters_of(made.cls) and name not in made.arguments:
        names = names_of(made.cls)
        raise SettingError(
            owner,
            f"{made.cls.__qualname__} takes no argument {name!r}."
            f"{did_you_mean(name, names)} It takes: {', '.join(names) or 'nothing'}.",
        )
    return Explanation(path, tuple(_of_argument(draft, made, name)))


def _is_argument(draft: Draft, owner: str, name: str) -> bool:
    """Return whether an argument has the name of a part, and someone set it."""
    made = draft.places.get(owner)
    settings = made.plan if made is not None else ()
    return any(isinstance(e, Setting) and name in e.arguments for e in settings)


def _of_class(draft: Draft, made: Made) -> Iterator[Source]:
    for entry in _strongest(made):
        if isinstance(entry, Setting) and entry.cls is not None:
            yield Source(entry.by, entry.cls, _how(entry))
    yield Source(_maker(draft, made), made.asked)


def _of_argument(draft: Draft, made: Made, name: str) -> Iterator[Source]:
    last_swap: Setting | None = None
    for entry in _strongest(made):
        if not isinstance(entry, Setting):
            continue
        if name in entry.arguments and (last_swap is None or last_swap.keep):
            yield Source(entry.by, entry.arguments[name], _how(entry))
        if entry.cls is not None and last_swap is None:
            last_swap = entry
    passed = fitting(made.given, made.asked, made.cls)
    if name in passed and (last_swap is None or last_swap.keep):
        yield Source(_maker(draft, made), passed[name])
    if name in made.missing:
        yield Source("nobody", None, "an example tells: build(example)")
    parameter = parameters_of(made.cls).get(name)
    if parameter is not None and parameter.default is not parameter.empty:
        yield Source("default", parameter.default, made.cls.__qualname__)


def _strongest(made: Made) -> list[Entry]:
    return [*made.plan[::-1], *made.below[::-1]]


def _how(entry: Setting) -> str:
    target = entry.target if isinstance(entry.target, str) else ", ".join(entry.target)
    return f"{target or 'the whole'}: {entry}"


def _maker(draft: Draft, made: Made) -> str:
    if made is draft.tree:
        return "user"
    maker = next(m for m in draft.tree.walk() if any(k is made for k in m.kids))
    return f"{join(maker.path, maker.cls.__qualname__)}.__init__"
