"""A blueprint for the eye: as text, as a diagram, and who says what a part is."""

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from ...config.path import did_you_mean, join
from ...config.storage.replacement import write_text
from ..modules.signature import VARIADIC, parameters_of
from .construction.draft import Draft
from .edits.edits import Call, Entry, Setting, short
from .edits.selector import children
from .errors import BlueprintError, SettingError
from .tree.arguments import fitting, missing, names_of
from .tree.construction_node import Made

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree


def shown(draft: Draft, path: str) -> str:
    """Return the tree at ``path`` as it would be built; equal neighbours are one line.

    Where the constructors raise, the text says so: debuggers show it unasked.
    """
    try:
        draft.refresh()
    except BlueprintError as error:
        lines = str(error).splitlines() or [""]
        return f"{_tree(draft, path)}\n(cannot be built: {lines[0]})"
    return _tree(draft, path)


def _tree(draft: Draft, path: str) -> str:
    lines = _lines(draft, list(draft.places), path)
    calls = [e for e in draft.entries if isinstance(e, Call) and not path]
    # What these configure holds for one build each, and is not in the tree.
    lines += [f"(before build: {c})" for c in calls if c.moment == "before_build"]
    return "\n".join(lines)


def told(made: Made) -> str:
    """Return the class and the arguments that were given: ``Linear(3, 4)``."""
    parameters = parameters_of(made.cls)
    words: list[str] = []
    for name, value in made.arguments.items():
        kind = parameters[name].kind if name in parameters else None
        if kind in VARIADIC and isinstance(value, tuple | list):
            words += [short(item) for item in value]
        elif kind in VARIADIC and isinstance(value, dict):
            words += [f"{n}={short(item)}" for n, item in value.items()]
        else:
            words.append(f"{name}={short(value)}")
    words += [f"{name}=?" for name in made.missing if name not in made.arguments]
    if not made.paths:
        words += [f"{n}=?" for n in missing(made.cls, made.arguments)]
    if issubclass(made.cls, nn.ModuleList | nn.ModuleDict | nn.Sequential):
        return made.cls.__qualname__
    return f"{made.cls.__qualname__}({', '.join(words)})"


def _lines(draft: Draft, tree: list[str], path: str) -> list[str]:
    made = draft.places.get(path)
    head = "?" if made is None else told(made)
    lines = [head]
    groups: list[tuple[list[str], list[str]]] = []
    for kid in children(tree, path):
        name, inside = kid.rpartition(".")[2], _lines(draft, tree, kid)
        is_equal = bool(groups) and groups[-1][1] == inside
        if is_equal and name.isdecimal() and groups[-1][0][-1].isdecimal():
            groups[-1][0].append(name)
        else:
            groups.append(([name], inside))
    for names, inside in groups:
        n = f"{len(names)} x " if len(names) > 1 else ""
        span = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
        lines.append(f"  ({span}): {n}{inside[0]}")
        lines += [f"  {line}" for line in inside[1:]]
    return lines


class Diagram:
    """Print it in a terminal, or give it to a document as SVG."""

    def __init__(self, draft: Draft) -> None:
        self._draft, self._paths = draft, list(draft.places)

    def svg(self, file: "str | os.PathLike[str] | None" = None) -> str:
        """Return the drawing as SVG, and write it to ``file`` if there is one."""
        console = self._console(record=True)
        console.print(self._tree())
        drawn = console.export_svg(title=self._draft.tree.cls.__qualname__)
        if file is not None:
            write_text(file, drawn)
        return drawn

    def __rich__(self) -> "Tree":
        return self._tree()

    def __str__(self) -> str:
        console = self._console(record=False)
        with console.capture() as captured:
            console.print(self._tree())
        return captured.get().rstrip("\n")

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        return self.svg()

    def _console(self, *, record: bool) -> "Console":
        from rich.console import Console

        return Console(record=record, file=io.StringIO(), width=100)

    def _tree(self) -> "Tree":
        from rich.tree import Tree

        root = Tree(self._label("", self._draft.tree))
        self._grow(root, "")
        return root

    def _grow(self, tree: "Tree", path: str) -> None:
        for kid in children(self._paths, path):
            name = kid.rpartition(".")[2]
            self._grow(tree.add(self._label(name, self._draft.places[kid])), kid)

    def _label(self, name: str, made: Made) -> Any:
        from rich.text import Text

        label = Text(f"{name}: " if name else "")
        label.append(told(made), style="bold" if made.plan else "")
        for entry, color in _marked(made):
            label.append(f"  <- {entry.by}: {entry}", style=color)
        return label


def _marked(made: Made) -> Iterator[tuple[Entry, str]]:
    for entry in made.below:
        yield entry, "cyan"
    for entry in made.plan:
        yield entry, "green" if entry.by == "user" else "yellow"


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
