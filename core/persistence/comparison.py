# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Comparison of stored hyperparameters with a module: differences and unknowns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

import torch
from torch import nn

from ...config.path import join
from ...config.short_text import short_repr, with_article
from ...records.errors import RecordError
from ...records.tensors.dtypes import ALL as DTYPES
from ..hyperparameters.capture import builder_of
from ..hyperparameters.declared import allows_kinds, argument_hints
from ..hyperparameters.hparams_node import (
    ALL,
    BLUEPRINT,
    CLASS,
    CONTAINERS,
    CONTAINERS_OF_TORCH,
    DEFAULTS,
    FUNCTION,
    KEYWORDS,
    REF,
    RESERVED,
    UNSTORED,
    is_child,
)
from ..hyperparameters.upgrade import upgraded_node
from ..hyperparameters.writer import Writer, own_node
from ..modules.classes import declared_class
from ..modules.registry import (
    NAME,
    class_named,
    is_related,
    is_same_class,
    renamed_hint,
    takes_the_same,
)
from ..modules.signature import parameters_of, takes_any_name

Node = Mapping[str, Any]


@dataclass(slots=True)
class HparamsComparison:
    """The stored description of a module, compared with the module."""

    differing: list[str] = field(default_factory=list[str])
    """Path, stored value and value found, for differences that change the function."""
    unknown: list[str] = field(default_factory=list[str])
    """Facts that the module does not show, so that nothing was compared."""
    noted: list[str] = field(default_factory=list[str])
    """Differences that are the reader's choice: devices, dtypes, a related class."""
    replaced: list[str] = field(default_factory=list[str])
    """Differences visible in entries too: parts that were replaced by hand."""
    unrelated: list[str] = field(default_factory=list[str])
    """That the class is a different one, unrelated to the stored one."""
    passed: frozenset[str] = frozenset()
    """Arguments of the whole passed by its reader, which are meant to differ."""

    def root(self, stored_node: Node, module: nn.Module) -> None:
        """Compare the whole; if the class differs, only parts can be compared."""
        cls = declared_class(type(module))
        if is_same_class(stored_node, cls) or takes_the_same(stored_node, cls):
            self.module(stored_node, own_node(module), cls, "", module)
            return
        lines = self.noted if is_related(stored_node, cls) else self.unrelated
        lines.append(
            f"stored is {with_article(str(stored_node.get(NAME))[:80])}, the module is "
            f"{with_article(cls.__qualname__)}: their arguments are not compared"
            f"{renamed_hint(stored_node, cls)}"
        )

    def module(
        self,
        stored_node: Node,
        live_node: Node,
        cls: type[nn.Module] | None,
        path: str,
        live: nn.Module | None = None,
    ) -> None:
        """Compare the arguments of a module of class ``cls`` at a path.

        If ``live`` is given, a child that was replaced by hand counts as the argument
        of its name.
        """
        if cls is not None:
            stored_node = upgraded_node(cls, stored_node, path)
        # Most classes declare all arguments that are stored.
        if stored_node == live_node and (
            cls is None or stored_node.keys() <= RESERVED.union(parameters_of(cls))
        ):
            return
        stored_objects, live_objects = _unstored(stored_node), _unstored(live_node)
        if ALL in stored_objects or (
            BLUEPRINT in stored_node and not _arguments_in(stored_node, cls)
        ):
            return
        if ALL in live_objects:
            if _arguments_in(stored_node, cls):
                name = live_node.get(NAME)
                self.unknown.append(
                    f"{path or name}: the arguments of this {name} are not known: it "
                    f"{live_objects[ALL]}"
                )
            return
        for name in _names(stored_node, live_node, cls):
            where = path if cls in CONTAINERS_OF_TORCH else join(path, name)
            if live is not None and _is_child(live, name, stored_node.get(name)):
                continue
            if live is not None and name in self.passed:
                of_passed = HparamsComparison()
                of_passed._argument(name, stored_node, live_node, cls, where)
                self.noted += [
                    *of_passed.differing,
                    *of_passed.unknown,
                    *of_passed.noted,
                ]
            else:
                self._argument(name, stored_node, live_node, cls, where)

    def _argument(
        self,
        name: str,
        stored_node: Node,
        live_node: Node,
        cls: type[nn.Module] | None,
        where: str,
    ) -> None:
        stored_objects, live_objects = _unstored(stored_node), _unstored(live_node)
        default = _default(cls, name)
        if name in stored_objects or name in live_objects:
            stored_value = _side(stored_node, stored_objects, name)
            live_value = _side(live_node, live_objects, name)
            self._unstorable(stored_value, live_value, where)
        elif name in _defaults(stored_node) and name not in stored_node:
            self._untouched(name, stored_node, live_node, where)
        elif cls is not None and not _takes(cls, name):
            self.unknown.append(
                f"{where}: stored {short_repr(stored_node[name])}, and "
                f"{cls.__qualname__} takes no such argument"
            )
        elif cls is not None and _is_placement(cls, name):
            self._value(stored_node.get(name), live_node.get(name), where, self.noted)
        elif name not in stored_node:
            lines: list[str] = []
            self._value(default, live_node[name], where, lines)
            if lines:
                line = difference_from_default(where, default, live_node[name])
                self.differing.append(line)
        else:
            self._value(
                stored_node[name], live_node.get(name, default), where, self.differing
            )

    def _unstorable(self, stored_value: object, live_value: object, path: str) -> None:
        """Compare values that are not plain data by the names of functions and classes.

        Objects (connections, clocks) differ in each process; None counts as no object.
        """
        if stored_value == live_value or _are_one_function(stored_value, live_value):
            return
        is_replaced = any(
            side is None or (isinstance(side, Named) and side.is_anonymous)
            for side in (stored_value, live_value)
        )
        lines = self.noted if is_replaced else self.differing
        tell = (
            value_difference if stored_value is not DEFAULT else difference_from_default
        )
        lines.append(tell(path, stored_value, live_value))

    def _untouched(
        self, name: str, stored_node: Node, live_node: Node, path: str
    ) -> None:
        """Compare a default that is not plain data, and that may have changed."""
        stored_value = Named(_defaults(stored_node)[name])
        live_name = _defaults(live_node).get(name)
        if live_name is None and name not in live_node:
            return
        live_value = live_node.get(name) if live_name is None else Named(live_name)
        if live_value != stored_value and not _are_one_function(
            stored_value, live_value
        ):
            self.differing.append(value_difference(path, stored_value, live_value))

    def _value(
        self, stored_value: object, live_value: object, path: str, lines: list[str]
    ) -> None:
        if isinstance(stored_value, Mapping) and isinstance(live_value, Mapping):
            if CLASS in stored_value and CLASS in live_value:
                self._value(stored_value[CLASS], live_value[CLASS], path, lines)
                return
            if FUNCTION in stored_value or FUNCTION in live_value:
                if stored_value != live_value:
                    lines.append(value_difference(path, stored_value, live_value))
                return
            if NAME in stored_value and NAME in live_value:
                self._nested(stored_value, live_value, path)
                return
            if REF in stored_value or REF in live_value:
                # The path at which a shared module is written depends on earlier ones.
                return
            for key in _keys(stored_value, live_value):
                stored_item = stored_value.get(key, ABSENT)
                live_item = live_value.get(key, ABSENT)
                self._value(stored_item, live_item, join(path, str(key)), lines)
        elif isinstance(stored_value, list | tuple) and isinstance(
            live_value, list | tuple
        ):
            if len(stored_value) != len(live_value):
                lines.append(value_difference(path, stored_value, live_value))
                return
            for i, (stored_item, live_item) in enumerate(
                zip(stored_value, live_value, strict=True)
            ):
                self._value(stored_item, live_item, join(path, i), lines)
        elif not _equal(stored_value, live_value):
            # Loading determines dtypes, so that a difference in them is no
            # contradiction.
            are_dtypes = _is_dtype(stored_value) and _is_dtype(live_value)
            line = value_difference(path, stored_value, live_value)
            (self.noted if are_dtypes else lines).append(line)

    def _nested(self, stored_node: Node, live_node: Node, path: str) -> None:
        try:
            cls: type[nn.Module] | None = class_named(live_node)
        except RecordError:
            cls = None
        is_same = (
            is_same_class(stored_node, cls)
            if cls
            else stored_node.get(NAME) == live_node.get(NAME)
        )
        if is_same:
            self.module(stored_node, live_node, cls, path)
        else:
            self.differing.append(
                value_difference(path, Named(stored_node), Named(live_node))
            )


def _are_one_function(*sides: object) -> bool:
    """Return whether both sides have a function of one name, if only that is stored.

    The module is ignored, since torch has many functions in several.
    """
    return len({_last_name(side) for side in sides}) == 1


def _last_name(side: object) -> object:
    if isinstance(side, Named) and " of " not in side.text:
        return side.text.rpartition(".")[2]
    names: Any = side.get(FUNCTION) if isinstance(side, Mapping) else None
    if isinstance(names, Mapping) and KEYWORDS not in names:
        return str(names.get(NAME)).rpartition(".")[2]
    return object()


def _unstored(node: Node) -> Node:
    objects = node.get(UNSTORED, {})
    return objects if isinstance(objects, Mapping) else {}


def _defaults(node: Node) -> Node:
    names = node.get(DEFAULTS, {})
    return names if isinstance(names, Mapping) else {}


def _side(node: Node, unstored: Node, name: str) -> Any:
    return Named(unstored[name]) if name in unstored else node.get(name, DEFAULT)


def _arguments_in(node: Node, cls: type[nn.Module] | None) -> list[str]:
    """Return the arguments among the keys of ``node``, without children."""
    parameters = parameters_of(cls) if cls is not None else {}
    return [
        name
        for name, value in node.items()
        if name in parameters or not (name in RESERVED or is_child(value))
    ]


def _is_child(module: nn.Module, name: str, value: object) -> bool:
    """Return whether ``value`` represents the child ``name`` of ``module``."""
    node = value.get(CLASS, value) if isinstance(value, Mapping) else None
    child = module._modules.get(name)
    if child is None or not isinstance(node, Mapping) or NAME not in node:
        return False
    cls = declared_class(type(child))
    if not is_same_class(node, cls):
        return False
    comparison = HparamsComparison()
    comparison.module(node, own_node(child), cls, "")
    return not (comparison.differing or comparison.unknown)


def _names(
    stored_node: Node, live_node: Node, cls: type[nn.Module] | None
) -> list[str]:
    names = [
        *_arguments_in(stored_node, cls),
        *_arguments_in(live_node, cls),
        *_unstored(stored_node),
        *_unstored(live_node),
        *_defaults(stored_node),
    ]
    if CONTAINERS in stored_node and CONTAINERS in live_node:
        names.append(CONTAINERS)
    return list(dict.fromkeys(names))


def _takes(cls: type[nn.Module], name: str) -> bool:
    is_declared = name in parameters_of(cls) or name == CONTAINERS
    return is_declared or takes_any_name(cls) or builder_of(cls) is not None


def _is_placement(cls: type[nn.Module], name: str) -> bool:
    """Return whether an argument is a device or a dtype, which loading determines."""
    if name in ("device", "dtype"):
        return True
    return allows_kinds(argument_hints(cls).get(name), torch.device, torch.dtype)


def _default(cls: type[nn.Module] | None, name: str) -> Any:
    """Return the default of an argument that was not passed, as plain data."""
    parameter = None if cls is None else parameters_of(cls).get(name)
    if cls is None or parameter is None:
        return DEFAULT
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return []
    if parameter.kind is Parameter.VAR_KEYWORD:
        return {}
    if parameter.default is Parameter.empty:
        return DEFAULT
    try:
        hint = argument_hints(cls).get(name, Any)
        return Writer(partial=True).value(parameter.default, hint, name, 0)
    except (TypeError, RecordError):
        return DEFAULT


def _is_dtype(value: object) -> bool:
    return isinstance(value, str) and value in DTYPES


def _equal(stored_value: object, live_value: object) -> bool:
    if isinstance(stored_value, float) and isinstance(live_value, float):
        return stored_value == live_value or (
            math.isnan(stored_value) and math.isnan(live_value)
        )
    return bool(stored_value == live_value)


_CHANGING = frozenset(
    {"transformers_version", "architectures", "dtype", "torch_dtype", "_name_or_path"}
)
"""Fields of a transformers configuration about files and machines."""


def _keys(stored_node: Node, live_node: Node) -> list[str]:
    if "model_type" in stored_node and "model_type" in live_node:
        # Other versions of the library have other fields, with defaults.
        return [k for k in stored_node if k in live_node and k not in _CHANGING]
    return [*stored_node, *(k for k in live_node if k not in stored_node)]


def value_difference(path: str, stored_value: object, live_value: object) -> str:
    """Return the line of a report or of an error about ``path``."""
    stored_text = short_repr(_readable(stored_value), 100)
    live_text = short_repr(_readable(live_value), 100)
    return f"{path}: stored {stored_text}, the module has {live_text}"


def difference_from_default(path: str, default: object, live_value: object) -> str:
    """Return the line about an argument that is not stored."""
    default_text, live_text = (
        short_repr(_readable(default), 100),
        short_repr(_readable(live_value), 100),
    )
    is_known = default is not DEFAULT
    reason = f"the default is {default_text}" if is_known else "the file does not say"
    return f"{path}: not stored ({reason}), the module has {live_text}"


def _readable(value: object) -> Any:
    """Return ``value`` with modules and classes replaced by their names."""
    if isinstance(value, Mapping):
        for mark in (CLASS, FUNCTION):
            if mark in value:
                return _readable(value[mark])
        if NAME in value:
            return Named(value)
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    return value


class Named:
    """A value shown in messages by its name."""

    def __init__(self, value: Any) -> None:
        is_node = isinstance(value, Mapping)
        self.text = str(value.get(NAME) if is_node else value)[:200]

    @property
    def is_anonymous(self) -> bool:
        """Whether it is an object of which only the class is known."""
        return self.text.startswith("an object")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and other.text == self.text

    __hash__ = None  # type: ignore[assignment]  # it is only compared

    def __repr__(self) -> str:
        return self.text


class _Absent:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


ABSENT, DEFAULT = _Absent("nothing"), _Absent("the default")
"""Marks a missing item, and an argument that was not passed."""
