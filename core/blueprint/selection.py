"""One or several parts of a blueprint, which can be configured, read and called."""

import operator
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, Self, SupportsIndex

from torch import nn

from ...config.arguments import check_flag
from ...config.html import folded_html
from ...config.spelling import did_you_mean
from ..modules.signature import parameters_of
from .configure_call import edits_for, swap
from .construction.draft import Draft
from .edits.edits import (
    END,
    AddHook,
    CallMethod,
    ChangeItems,
    Edit,
    HookKind,
    Initialize,
    SetArguments,
    Unbuilt,
    check_initializer,
)
from .edits.marks import marked_methods, moment_of, style_named, styles_of
from .edits.selector import Selector
from .errors import AlreadyBuiltError
from .parts import Parts
from .tree.construction_node import ConstructionNode
from .tree.module_values import BlueprintMaker, as_blueprint, frozen_value
from .wrap_call import wrap_parts


class Selection:
    """Some of the modules that a blueprint will have, which are changed together.

    A part is selected by attribute (``bp.encoder.layers``) or by selector
    (``bp["encoder", :2]``), which also reaches parts whose names are those of methods.
    A selected list of modules has a length and iterates over its items, and other
    attributes are those of all items: ``bp.layers.act``.
    """

    def __init__(self, session: "Session", parts: Parts) -> None:
        self._session, self._parts = session, parts

    def configure(
        self, /, *args: object, allow_empty: bool = False, **kwargs: object
    ) -> Self:
        """Set arguments, or replace the class; all of it or nothing.

        ``configure(width=8)``, ``configure("width", 8)``, ``configure("layers.*",
        bias=False)``, ``configure("**.act", nn.GELU)`` and ``configure("block", 0,
        "act", nn.ELU, alpha=2.0)`` give the location as paths, patterns, names and
        indices. A class keeps those arguments that it has too; a `Blueprint` has its
        own. Raises `SettingError`, also for a pattern that matches nothing unless
        ``allow_empty``, and `ConstructionError`.
        """
        check_flag("allow_empty", allow_empty)
        edits = edits_for(self._parts, args, kwargs, self._session.snapshot)
        self._session.take(edits, allow_empty=allow_empty)
        return self

    def replace(self, *where: Any) -> Self:
        """Replace the parts named by the other arguments by the last one.

        Nothing of the old part is kept: ``replace("head", Blueprint(MLP, 3))``.
        """
        if not where:
            raise TypeError("replace what? replace('head', nn.Identity)")
        part = self[tuple(where[:-1])] if where[1:] else self
        self._session.take(
            swap(part._parts.target, where[-1], {}, keeps_arguments=False)
        )
        return self

    def wrap(self, *where: Any) -> Self:
        """Put the result of the last argument around the parts that the others name.

        ``wrap("**.conv", lambda conv: Blueprint(nn.Sequential, conv, nn.Tanh()))``: the
        function is called with a blueprint of the part, and returns one that has it
        among its arguments; a class takes the part as its first argument. The part is
        constructed as before, with its settings; they and selections of it follow it,
        to ``conv.0`` here. Raises the errors of `configure`.
        """
        if not where:
            raise TypeError("wrap what? wrap('head', lambda head: Blueprint(...))")
        parts = self[tuple(where[:-1])]._parts if where[1:] else self._parts
        self._session.take([self._session.wrap(parts, where[-1])])
        return self

    def append(self, item: object, *, name: str = "") -> Self:
        """Append a class, partial or blueprint to a list of modules.

        An ``nn.Sequential`` may have names for its items, like a dict.
        """
        return self.insert(END, item, name=name)

    def extend(self, items: Any) -> Self:
        """Append several to a list of modules."""
        blueprints = [self._session.as_blueprint(item) for item in items]
        self._session.take(
            [self._item_change("insert", END, item) for item in blueprints]
        )
        return self

    def insert(self, key: int | str, item: object, *, name: str = "") -> Self:
        """Insert a class, partial or blueprint before item ``key``, or under a key.

        ``name`` is for an item of an ``nn.Sequential``: ``insert(0, nn.ReLU,
        name="act")``.
        """
        item = self._session.as_blueprint(item)
        self._session.take([self._item_change("insert", key, item, name)])
        return self

    def pop(self, key: int | str = -1) -> Self:
        """Remove one item of a list or dict of modules, the last one by default."""
        self._session.take([self._item_change("remove", key)])
        return self

    def remove(self, key: int | str) -> Self:
        """Remove the item of a list or dict of modules at ``key``."""
        return self.pop(key)

    def style(self, name: str, *args: object, **kwargs: object) -> Self:
        """Apply a style that was registered with `register_style`."""
        functions = [
            (self._part(node.path), style_named(node.cls, name, node.path))
            for node in self._parts.existing_nodes()
        ]
        for part, function in functions:
            if part:  # The style of an earlier part may have removed this one.
                part._call(name, function, args, kwargs, is_style=True)
        return self

    def styles(self) -> list[str]:
        """Return the names of the available styles."""
        return list(styles_of(self._parts.existing_nodes()[0].cls))

    def log_input(self, name: str) -> Self:
        """Keep the inputs of each forward in ``module.logs[name]`` of the root."""
        return self._add_hook("log_input", (name,), {})

    def log_output(self, name: str) -> Self:
        """Keep the output of each forward in ``module.logs[name]`` of the root."""
        return self._add_hook("log_output", (name,), {})

    def set_input_map(self, *keys: str, **named: str) -> Self:
        """Take inputs from a dict: ``keys`` by position, ``named`` by name."""
        return self._add_hook("input_map", keys, named)

    def set_output_map(self, *keys: str, **named: int) -> Self:
        """Return the input dict with the output added; ``named`` by index."""
        return self._add_hook("output_map", keys, named)

    def initialize(
        self,
        function: Callable[..., Any],
        *args: Any,
        tensors: str | Sequence[str] = "weight",
        **kwargs: Any,
    ) -> Self:
        """Initialize parameters when the module is built, by ``function`` of `nn.init`.

        ``bp.isinstance(nn.Conv2d).initialize(nn.init.kaiming_normal_)`` applies to the
        parameters named in ``tensors``, in the selection and all its descendants; the
        last call that applies to a parameter fills it. The same seed gives the same
        values, in whatever order the calls were made. A function of your own changes
        its first argument in place, and is not written to files.
        """
        if not callable(function):
            raise TypeError(
                f"expected a function of torch.nn.init, got {function!r:.80}"
            )
        check_initializer(function, args, kwargs)
        names = (tensors,) if isinstance(tensors, str) else tuple(tensors)
        edit = Initialize(
            target=self._parts.target,
            function=function,
            tensors=names,
            args=args,
            kwargs=kwargs,
        )
        self._session.take([edit])
        return self

    def filter(self, keep: Callable[[str, "Selection"], bool]) -> "Selection":
        """Return those for which ``keep(path, part)`` is true.

        For a single part, and for the whole, its descendants are tested as well.
        """
        parts = self._parts.with_inner() if self._parts.is_single else self._parts
        paths = [path for path in parts.paths if keep(path, self._part(path))]
        return Selection(self._session, self._parts.at(*paths))

    def isinstance(self, *classes: type[nn.Module]) -> "Selection":
        """Return those that will be instances of any of ``classes``."""
        return self.filter(lambda _, part: issubclass(part.cls, classes))

    def hasattr(self, name: str) -> "Selection":
        """Return those that have an argument, a child or a class attribute ``name``."""
        return self.filter(lambda _, part: part._has(name))

    @property
    def all(self) -> "Selection":
        """The same selection, whose methods are called on each part."""
        return self

    @property
    def first(self) -> "Selection":
        """The first of them."""
        paths = self._parts.paths
        return self._part(paths[0]) if paths else Selection(self._session, self._parts)

    @property
    def cls(self) -> type[nn.Module]:
        """The class that will be constructed."""
        return self._parts.single_node().cls

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, defaults included."""
        node = self._parts.single_node()
        defaults = {
            name: parameter.default
            for name, parameter in parameters_of(node.cls).items()
            if parameter.default is not parameter.empty
        }
        return defaults | node.arguments

    def show(self) -> Self:
        """Print the selection as it would be built, with the sources of settings."""
        from .render import Diagram

        self._session.draft.refresh()
        for path in self._parts.paths:
            print(Diagram(self._session.draft, path))
        return self

    def list_names(self) -> list[str]:
        """Return the paths."""
        return list(self._parts.paths)

    def __getitem__(self, selector: Selector) -> "Selection":
        return Selection(self._session, self._parts.select(selector))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_session" not in self.__dict__:
            raise AttributeError(name)
        part = self[name]
        if part._parts.nodes():
            return part
        nodes = self._parts.existing_nodes()
        method = getattr(nodes[0].cls, name, None)
        if moment_of(method):
            return lambda *args, **kwargs: self._call(name, method, args, kwargs)  # type: ignore[arg-type]  # marked methods are functions
        if len(nodes) == 1 and name in self.arguments:
            return self.arguments[name]
        of_items = self._of_items(name) if self._parts.all_have_items() else None
        if of_items is not None:
            return of_items
        names = [*self._parts.child_names(), *_names_of(nodes[0])]
        hint = did_you_mean(name, names) or _home_of(name)
        raise AttributeError(
            f"{self._title()} has no part, argument or marked method {name!r}.{hint}"
        )

    def _of_items(self, name: str) -> Any:
        """Return the children ``name`` of the lists' items, or a method of the items.

        None if no item has such a child, and not all of them such a method.
        """
        items = self["*"]
        if items[name]._parts.nodes():
            return items[name]
        classes = {node.cls for node in items._parts.nodes()}
        if classes and all(moment_of(getattr(cls, name, None)) for cls in classes):
            return getattr(items, name)
        return None

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise AttributeError(
                f"{self._title()}: {name!r} cannot be set by assignment. "
                f"configure({name}=...) sets an argument, and replace({name!r}, "
                "Class) replaces a part with one of another class."
            )
        super().__setattr__(name, value)

    def __add__(self, other: "Selection") -> "Selection":
        """Return the union of two selections of one blueprint."""
        if not isinstance(other, Selection):  # pyright: ignore[reportUnnecessaryIsInstance]  # users add anything
            return NotImplemented
        if other._session is not self._session:
            raise TypeError(
                "the two are parts of different blueprints; a selection belongs to "
                "one. extend(...) adds items to a list of modules."
            )
        paths = dict.fromkeys((*self._parts.paths, *other._parts.paths))
        return Selection(self._session, self._parts.at(*paths))

    def __iter__(self) -> Iterator["Selection"]:
        names = self._parts.item_names()
        if names is not None:
            return iter([self[name] for name in names])
        # All parts exist before the loop changes the first, so that they are followed.
        return iter([self._part(path) for path in self._parts.paths])

    def __len__(self) -> int:
        names = self._parts.item_names()
        return len(self._parts.paths if names is None else names)

    def __bool__(self) -> bool:
        return bool(self._parts.paths)

    def _repr_html_(self) -> str:
        return folded_html(str(self))

    def __repr__(self) -> str:
        return f"Selection({', '.join(map(repr, self._parts.paths))})"

    def __str__(self) -> str:
        from .render import tree_text

        return "\n".join(
            tree_text(self._session.draft, path) for path in self._parts.paths
        )

    def _title(self) -> str:
        """Describe this on one line: its paths, or the class of the whole."""
        name_of_whole = self._session.draft.tree.original_cls.__qualname__
        names = [path or name_of_whole for path in self._parts.paths]
        return ", ".join(names) or "an empty selection"

    def _part(self, path: str) -> "Selection":
        return Selection(self._session, self._parts.at(path, is_single=True))

    def _has(self, name: str) -> bool:
        node = self._parts.single_node()
        is_known = name in parameters_of(node.cls) or hasattr(node.cls, name)
        return is_known or name in self._parts.child_names()

    def _item_change(
        self,
        kind: Literal["insert", "remove"],
        key: int | str,
        item: Unbuilt | None = None,
        name: str = "",
    ) -> ChangeItems:
        return ChangeItems(
            target=self._parts.target,
            kind=kind,
            key=_item_key(key),
            item=item,
            name=name,
        )

    def _add_hook(
        self, kind: HookKind, keys: tuple[str, ...], named_keys: Mapping[str, str | int]
    ) -> Self:
        target = self._parts.target
        self._session.take(
            [AddHook(target=target, kind=kind, keys=keys, named=named_keys)]
        )
        return self

    def _call(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        is_style: bool = False,
    ) -> Self:
        call = CallMethod(
            target=self._parts.target,
            name=name,
            function=function,
            moment=moment_of(function) or "stateful" if not is_style else "stateful",
            is_style=is_style,
            args=args,
            kwargs=dict(kwargs),
        )
        self._session.record(call)
        return self


class Session:
    """A draft, and the author of its edits: the user, or a call."""

    root: Selection
    """The whole, as calls on it get it: the blueprint."""

    def __init__(self, draft: Draft, blueprint_of: BlueprintMaker) -> None:
        self.draft = draft
        self.is_closed = False
        """Whether the module was built in place, so that no edit is possible."""
        self._blueprint_of = blueprint_of
        self._callers: list[str] = []
        self._is_replaying = False

    def snapshot(self, value: Any) -> Any:
        """Return a copy of ``value`` that later changes of it do not affect."""
        return frozen_value(value, self._blueprint_of)

    def as_blueprint(self, value: object) -> Unbuilt:
        """Return a blueprint for ``value``, a class, partial or blueprint."""
        return as_blueprint(value, self._blueprint_of)

    def wrap(self, parts: Parts, around: Any) -> Edit:
        """Return the edit that puts the result of ``around`` around ``parts``."""
        return wrap_parts(parts, around, self._blueprint_of)

    def take(self, edits: list[Edit], *, allow_empty: bool = False) -> None:
        """Add ``edits`` to the log, all or none."""
        self._check_open()
        if self._callers:
            # Copies replay the call, which makes these edits again.
            by = self._callers[-1]
            edits = [replace(e, by=by, is_logged=False) for e in edits]
        self.draft.add_all(
            edits, allow_empty=allow_empty, is_replayed=self._is_replaying
        )

    def record(self, call: CallMethod) -> None:
        """Add ``call`` to the log, and run it if it is due now."""
        self._check_open()
        # A call may edit several times before it raises; then none of it is kept.
        before = self.draft.copy()
        try:
            self.take([call])
            if call.moment == "stateful":
                self.run(call)
        except BaseException:
            self.draft.become(before)
            raise

    def replay(self, log: Sequence[Edit]) -> None:
        """Apply a log; its calls that run immediately run again."""
        self._is_replaying = True
        try:
            self._replay(log)
        finally:
            self._is_replaying = False

    def _replay(self, log: Sequence[Edit]) -> None:
        waiting: list[Edit] = []
        for edit in log:
            if isinstance(edit, CallMethod) and edit.moment == "stateful":
                self.draft.replay(waiting)
                waiting = []
                self.record(edit)
                continue
            moves_paths = isinstance(edit, ChangeItems) or (
                isinstance(edit, SetArguments) and bool(edit.wraps_at)
            )
            if moves_paths and any(not e.is_logged for e in self.draft.edits):
                # The edits of earlier calls have the paths at the time when they ran:
                # only a change of items that comes first moves them along.
                self.draft.replay(waiting)
                waiting = []
            waiting.append(edit)
        self.draft.replay(waiting)

    def run(self, call: CallMethod) -> None:
        """Run ``call`` on the blueprint, or on its matching parts."""
        with self._called_by(str(call)):
            if call.target == "":
                call.function(self.root, *call.args, **call.kwargs)
                return
            nodes = self.draft.find(call.target)
            for part in [
                Selection(self, Parts(self.draft, node.path, is_single=True))
                for node in nodes
            ]:
                if part:  # The call on an earlier part may have removed this one.
                    call.function(part, *call.args, **call.kwargs)

    @contextmanager
    def _called_by(self, caller: str) -> Generator[None]:
        self._callers.append(caller)
        try:
            yield
        finally:
            self._callers.pop()

    def _check_open(self) -> None:
        if self.is_closed:
            raise AlreadyBuiltError(
                "this blueprint was built in place and can no longer change: "
                "configure blueprint.new(), or use create() instead of build()."
            )


def _names_of(node: ConstructionNode) -> list[str]:
    return [*parameters_of(node.cls), *marked_methods(node.cls)]


def _home_of(name: str) -> str:
    """Return what to write for an attribute that only modules have, if it is one."""
    is_of_modules = hasattr(nn.Module, name) and not name.startswith("_")
    return (
        " Modules have this attribute: bp.build() returns the module."
        if is_of_modules
        else ""
    )


def _item_key(key: SupportsIndex | str) -> int | str:
    """Return the index or name of an item; TypeError for anything else."""
    if isinstance(key, str):
        return key
    try:
        return operator.index(key)
    except TypeError:
        raise TypeError(
            "give the number of an item of a list, and the number or name of one of a "
            f"dict or nn.Sequential: pop(0), pop('act'); got {key!r:.80}"
        ) from None
