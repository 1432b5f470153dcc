"""A part of a blueprint, or several: what can be configured, read and called."""

# pyright: reportPrivateUsage=false
# A blueprint and its parts are one thing in several files.

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from ...config.path import did_you_mean, is_pattern
from ..hyperparameters.signature import parameters_of
from .configure_call import entries_of, swap
from .edits.edits import END, Call, Edit, Entry, Tap, Target
from .edits.marks import marked_methods, moment_of, style_named, styles_of
from .edits.selector import Selector, children, select, spelled
from .errors import SettingError
from .tree.construction_node import Made
from .tree.edit_log import paths_of
from .tree.module_values import as_blueprint

if TYPE_CHECKING:
    from .blueprint import Blueprint
    from .construction.draft import Draft


class Selection:
    """Some of the modules that a blueprint will have; all of them change together.

    A part is reached by attribute (``bp.encoder.layers``) or by selector
    (``bp["encoder", :2]``), which also reaches parts that are called as a method is.
    """

    def __init__(
        self,
        blueprint: "Blueprint[Any]",
        target: Target,
        find: Callable[[], list[str]] | None = None,
    ) -> None:
        self._blueprint, self._selected, self._find = blueprint, target, find
        self._seen = self._draft.shifts

    def configure(
        self, /, *args: Any, allow_empty: bool = False, **kwargs: Any
    ) -> Self:
        """Set arguments, or put another class in place; all of it or nothing.

        ``configure(width=8)``, ``configure("width", 8)``,
        ``configure("layers.*", bias=False)``, ``configure("**.act", nn.GELU)`` and
        ``configure("block", 0, "act", nn.ELU, alpha=2.0)`` say where in paths,
        patterns, names and indices. A class keeps those of the arguments that it has
        too; a `Blueprint` brings its own. Raises `SettingError`, as for a pattern that
        matches nothing unless ``allow_empty``, and `ConstructionError`.
        """
        self._add(entries_of(self, args, kwargs), allow_empty=allow_empty)
        return self

    def replace(self, *where: Any) -> Self:
        """Put the last argument in the place of what the others name.

        Nothing is kept of what stood there: ``replace("head", Blueprint(MLP, 3))``.
        """
        if not where:
            raise TypeError("replace what? replace('head', nn.Identity)")
        part = self[tuple(where[:-1])] if where[1:] else self
        self._add(swap(part._target, where[-1], {}, keep=False))
        return self

    def append(self, item: Any) -> Self:
        """Add a class, partial or blueprint to the end of a list of modules."""
        return self.insert(END, item)

    def extend(self, items: Any) -> Self:
        """Add several to the end of a list of modules."""
        made = [as_blueprint(item) for item in items]
        self._add([self._edit("insert", END, item) for item in made])
        return self

    def insert(self, key: int | str, item: Any) -> Self:
        """Add a class, partial or blueprint before index ``key``, or under a key."""
        self._add([self._edit("insert", key, as_blueprint(item))])
        return self

    def pop(self, key: int | str = -1) -> Self:
        """Take one out of a list or dict of modules, the last one by default."""
        self._add([self._edit("remove", key)])
        return self

    def remove(self, key: int | str) -> Self:
        """Take out what a list or dict of modules has at ``key``."""
        return self.pop(key)

    def style(self, name: str, *args: Any, **kwargs: Any) -> Self:
        """Configure in a way that was registered with `register_style`."""
        functions = [
            (self._part(made.path), style_named(made.cls, name, made.path))
            for made in self._existing()
        ]
        for part, function in functions:
            if part:  # One before it may have taken it out.
                part._call(name, function, args, kwargs, is_style=True)
        return self

    def styles(self) -> list[str]:
        """Return the styles that can be asked for."""
        return [n for made in self._existing()[:1] for n in styles_of(made.cls)]

    def log_input(self, name: str) -> Self:
        """Keep what goes in at each forward, in ``module.logs[name]`` of the root."""
        return self._tap("log_input", (name,), {})

    def log_output(self, name: str) -> Self:
        """Keep what comes out at each forward, in ``module.logs[name]`` of the root."""
        return self._tap("log_output", (name,), {})

    def set_input_map(self, *keys: str, **named: str) -> Self:
        """Take inputs from a dict: ``keys`` by position, ``named`` by name."""
        return self._tap("input_map", keys, named)

    def set_output_map(self, *keys: str, **named: int) -> Self:
        """Return the dict that came in with the output added; ``named`` by index."""
        return self._tap("output_map", keys, named)

    def filter(self, keep: Callable[[str, "Selection"], bool]) -> "Selection":
        """Return those for which ``keep(path, part)`` holds."""
        parts = ((path, self._part(path)) for path in self._paths)
        return self._of([path for path, part in parts if keep(path, part)])

    def isinstance(self, *classes: type[nn.Module]) -> "Selection":
        """Return those that will be of any of ``classes``."""
        return self.filter(lambda _, part: issubclass(part.cls, classes))

    def hasattr(self, name: str) -> "Selection":
        """Return those that have an argument, a part or a class attribute ``name``."""
        return self.filter(lambda _, part: part._has(name))

    @property
    def all(self) -> "Selection":
        """The same: what is called on it is called on each."""
        return self

    @property
    def first(self) -> "Selection":
        """The first of them."""
        return self._of(list(self._paths[:1]))

    @property
    def cls(self) -> type[nn.Module]:
        """The class that will be constructed."""
        return self._one().cls

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, defaults included."""
        made = self._one()
        defaults = {
            name: parameter.default
            for name, parameter in parameters_of(made.cls).items()
            if parameter.default is not parameter.empty
        }
        return defaults | made.arguments

    def list_names(self) -> list[str]:
        """Return the paths."""
        return list(self._paths)

    def __getitem__(self, selector: Selector) -> "Selection":
        base = self._target
        name = spelled(base, selector) if isinstance(base, str) else None
        if name is None:
            return self._of(self._select(selector))
        is_path = not is_pattern(name)
        find = None if is_path else lambda: self._select(selector)
        return Selection(self._blueprint, name, find)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_blueprint" not in self.__dict__:
            raise AttributeError(name)
        part = self[name]
        if part._made():
            return part
        made = self._existing()
        for one in made[:1]:
            method = getattr(one.cls, name, None)
            if moment_of(method):
                return lambda *args, **kwargs: self._call(name, method, args, kwargs)  # type: ignore[arg-type]  # marked methods are functions
        if len(made) == 1 and name in self.arguments:
            return self.arguments[name]
        there = [*self._child_names(), *(n for m in made[:1] for n in self._names(m))]
        hint = did_you_mean(name, there) or _home_of(name)
        raise AttributeError(
            f"{self._title()} has no part, argument or marked method {name!r}.{hint}"
        )

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise AttributeError(
                f"{self._title()}: {name!r} is not set by assignment. "
                f"configure({name}=...) sets an argument, and replace({name!r}, Class) "
                "puts another class in the place of a part."
            )
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator["Selection"]:
        # All are there before the first is touched, so that they follow its changes.
        return iter([self._part(path) for path in self._paths])

    def __len__(self) -> int:
        return len(self._paths)

    def __bool__(self) -> bool:
        return bool(self._paths)

    def __repr__(self) -> str:
        return f"Selection({', '.join(map(repr, self._paths))})"

    def __str__(self) -> str:
        from .render import shown

        return "\n".join(shown(self._draft, path) for path in self._paths)

    def _title(self) -> str:
        """Return what this is, on one line: its paths, or the class of the whole."""
        whole = self._blueprint._drafted.tree.asked.__qualname__
        return ", ".join(path or whole for path in self._paths) or "an empty selection"

    @property
    def _paths(self) -> tuple[str, ...]:
        self._draft.refresh()
        if self._find is not None:
            return tuple(self._find())
        places = self._draft.places
        return tuple(path for path in paths_of(self._target) if path in places)

    @property
    def _target(self) -> Target:
        """What is selected, as it is called by now: nothing if it is gone."""
        target: Target | None = self._selected
        shifts, n_seen = self._draft.shifts, len(self._seen)
        if shifts[:n_seen] != self._seen:
            return ()  # It came of a change that was taken back.
        for shift in shifts[n_seen:]:
            target = None if target is None else shift.target(target)
        return () if target is None else target

    @property
    def _draft(self) -> "Draft":
        return self._blueprint._draft

    def _made(self) -> list[Made]:
        return self._draft.matched(self._target)

    def _existing(self) -> list[Made]:
        found = self._made()
        if not found:
            raise self._draft.nothing_at(self._target)
        return found

    def _one(self) -> Made:
        self._draft.refresh()
        found = self._existing()
        if len(found) > 1:
            raise SettingError(
                found[0].path, f"{len(found)} are selected, expected one."
            )
        return found[0]

    def _select(self, selector: Selector) -> list[str]:
        bases = self._paths
        return select(list(self._draft.places), bases, selector)

    def _of(self, paths: list[str]) -> "Selection":
        target: Target = paths[0] if len(paths) == 1 else tuple(paths)
        return Selection(self._blueprint, target)

    def _part(self, path: str) -> "Selection":
        return Selection(self._blueprint, path)

    def _child_names(self, *paths: str) -> list[str]:
        """Return the names of the parts of those at ``paths``, or of all."""
        tree = list(self._draft.places)
        kids = [kid for path in paths or self._paths for kid in children(tree, path)]
        return list(dict.fromkeys(kid.rpartition(".")[2] for kid in kids))

    def _names(self, made: Made) -> list[str]:
        return [*parameters_of(made.cls), *marked_methods(made.cls)]

    def _has(self, name: str) -> bool:
        made = self._one()
        known = name in parameters_of(made.cls) or hasattr(made.cls, name)
        return known or name in self._child_names()

    def _add(self, entries: list[Entry], *, allow_empty: bool = False) -> None:
        self._blueprint._take(entries, allow_empty=allow_empty)

    def _edit(self, kind: Any, key: int | str, item: Any = None) -> Edit:
        return Edit(target=self._target, kind=kind, key=key, item=item)

    def _tap(self, kind: Any, keys: tuple[str, ...], named: Mapping[str, Any]) -> Self:
        self._add([Tap(target=self._target, kind=kind, keys=keys, named=named)])
        return self

    def _call(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        is_style: bool = False,
    ) -> Self:
        call = Call(
            target=self._target,
            name=name,
            function=function,
            moment=moment_of(function) or "stateful" if not is_style else "stateful",
            is_style=is_style,
            args=args,
            kwargs=dict(kwargs),
        )
        self._blueprint._record(call)
        return self


def _home_of(name: str) -> str:
    """Return what to write for what only modules have, if ``name`` is that."""
    is_of_modules = hasattr(nn.Module, name) and not name.startswith("_")
    return " Modules have it: bp.build() returns one." if is_of_modules else ""
