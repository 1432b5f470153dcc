# pyright: reportPrivateUsage=false
# Nn.Module's tables have no public names.
"""Stored hyperparameters beside those of a module: what differs, what nobody knows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

import torch
from torch import nn

from ...config.path import join
from ...records.errors import RecordError
from ..hyperparameters.capture import builder_of
from ..hyperparameters.declared import hints_of, takes
from ..hyperparameters.upgrade import upgraded_node
from ..hyperparameters.values import (
    ALL,
    BLUEPRINT,
    CLASS,
    CONTAINERS,
    CONTAINERS_OF_TORCH,
    DEFAULTS,
    DTYPES,
    REF,
    RESERVED,
    UNSTORED,
    is_child,
)
from ..hyperparameters.writer import Writer, own_node
from ..modules.class_identity import (
    is_related,
    is_same_class,
    renamed_hint,
    takes_the_same,
)
from ..modules.classes import declared_class
from ..modules.registry import NAME, class_named
from ..modules.shown import shown
from ..modules.signature import parameters_of, takes_any_name

Node = Mapping[str, Any]


@dataclass(slots=True)
class Comparison:
    """What a record says that its module is, beside what the module is."""

    differing: list[str] = field(default_factory=list[str])
    """Path, stored value and value found, of what makes another function."""
    unknown: list[str] = field(default_factory=list[str])
    """What the module does not tell, so that nothing was compared."""
    noted: list[str] = field(default_factory=list[str])
    """Differences that are the reader's choice: devices, dtypes, a related class."""
    unrelated: list[str] = field(default_factory=list[str])
    """That the class is another one, which has nothing to do with the stored one."""
    passed: frozenset[str] = frozenset()
    """Arguments of the whole that its reader passes: to differ is what they are for."""

    def root(self, stored: Node, module: nn.Module, cls: type[nn.Module]) -> None:
        """Compare the whole: of another class only its parts can be compared."""
        if is_same_class(stored, cls) or takes_the_same(stored, cls):
            self.module(stored, own_node(module), cls, "", module)
            return
        lines = self.noted if is_related(stored, cls) else self.unrelated
        lines.append(
            f"stored is a {stored.get(NAME)!s:.80}, the module is a "
            f"{cls.__qualname__}: their arguments are not compared"
            f"{renamed_hint(stored, cls)}"
        )

    def module(
        self,
        stored: Node,
        own: Node,
        cls: type[nn.Module] | None,
        path: str,
        live: nn.Module | None = None,
    ) -> None:
        """Compare the arguments of a module of class ``cls``, which stands at path.

        Where ``live`` is given, a child that was exchanged by hand counts as the
        argument of its name.
        """
        if cls is not None:
            stored = upgraded_node(cls, stored, path)
        theirs, ours = _unstored(stored), _unstored(own)
        if ALL in theirs or (BLUEPRINT in stored and not _arguments_in(stored, cls)):
            return
        if ALL in ours:
            if _arguments_in(stored, cls):
                name = own.get(NAME)
                self.unknown.append(
                    f"{path or name}: the arguments of this {name} are not known: it "
                    f"{ours[ALL]}"
                )
            return
        for name in _names(stored, own, cls):
            where = path if cls in CONTAINERS_OF_TORCH else join(path, name)
            if live is not None and _is_child(live, name, stored.get(name)):
                continue
            if live is not None and name in self.passed:
                meant = Comparison()
                meant._argument(name, stored, own, cls, where)
                self.noted += [*meant.differing, *meant.unknown, *meant.noted]
            else:
                self._argument(name, stored, own, cls, where)

    def _argument(
        self,
        name: str,
        stored: Node,
        own: Node,
        cls: type[nn.Module] | None,
        where: str,
    ) -> None:
        theirs, ours = _unstored(stored), _unstored(own)
        default = _default(cls, name)
        if name in theirs or name in ours:
            left, right = _side(stored, theirs, name), _side(own, ours, name)
            self._unstorable(left, right, where)
        elif name in _defaults(stored) and name not in stored:
            self._untouched(name, stored, own, where)
        elif cls is not None and not _takes(cls, name):
            self.unknown.append(
                f"{where}: stored {shown(stored[name])}, and {cls.__qualname__} "
                "takes no such argument"
            )
        elif cls is not None and _is_placement(cls, name):
            self._value(stored.get(name), own.get(name), where, self.noted)
        elif name not in stored:
            found: list[str] = []
            self._value(default, own[name], where, found)
            if found:
                line = difference_from_default(where, default, own[name])
                self.differing.append(line)
        else:
            self._value(stored[name], own.get(name, default), where, self.differing)

    def _unstorable(self, stored: Any, own: Any, path: str) -> None:
        """Compare what is no plain data by its name: functions and classes have one.

        Objects (connections, clocks) are another in each process; None is none.
        """
        if stored == own:
            return
        is_replaced = any(
            side is None or (isinstance(side, Named) and side.is_anonymous)
            for side in (stored, own)
        )
        found = self.noted if is_replaced else self.differing
        tell = difference if stored is not DEFAULT else difference_from_default
        found.append(tell(path, stored, own))

    def _untouched(self, name: str, stored: Node, own: Node, path: str) -> None:
        """Compare a default that is no plain data, and that may be another today."""
        left, right = _defaults(stored)[name], _defaults(own).get(name)
        if right is not None or name in own:
            named = own.get(name) if right is None else Named(right)
            if named != Named(left):
                self.differing.append(difference(path, Named(left), named))

    def _value(self, stored: Any, own: Any, path: str, found: list[str]) -> None:
        if isinstance(stored, Mapping) and isinstance(own, Mapping):
            if CLASS in stored and CLASS in own:
                self._value(stored[CLASS], own[CLASS], path, found)
                return
            if NAME in stored and NAME in own:
                self._nested(stored, own, path)
                return
            if REF in stored or REF in own:
                # Where a shared module is told first depends on what else is told.
                return
            for key in _keys(stored, own):
                left, right = stored.get(key, ABSENT), own.get(key, ABSENT)
                self._value(left, right, join(path, str(key)), found)
        elif isinstance(stored, list | tuple) and isinstance(own, list | tuple):
            if len(stored) != len(own):
                found.append(difference(path, stored, own))
                return
            for i, (left, right) in enumerate(zip(stored, own, strict=True)):
                self._value(left, right, join(path, i), found)
        elif not _equal(stored, own):
            lines = self.noted if _is_dtype(stored) and _is_dtype(own) else found
            lines.append(difference(path, stored, own))

    def _nested(self, stored: Node, own: Node, path: str) -> None:
        try:
            cls: type[nn.Module] | None = class_named(own)
        except RecordError:
            cls = None
        is_same = (
            is_same_class(stored, cls) if cls else stored.get(NAME) == own.get(NAME)
        )
        if is_same:
            self.module(stored, own, cls, path)
        else:
            self.differing.append(difference(path, Named(stored), Named(own)))


def _unstored(node: Node) -> Node:
    found = node.get(UNSTORED, {})
    return found if isinstance(found, Mapping) else {}


def _defaults(node: Node) -> Node:
    found = node.get(DEFAULTS, {})
    return found if isinstance(found, Mapping) else {}


def _side(node: Node, unstored: Node, name: str) -> Any:
    return Named(unstored[name]) if name in unstored else node.get(name, DEFAULT)


def _arguments_in(node: Node, cls: type[nn.Module] | None) -> list[str]:
    """Return the arguments among the keys of ``node``, children left out."""
    known = parameters_of(cls) if cls is not None else {}
    return [
        name
        for name, value in node.items()
        if name in known or not (name in RESERVED or is_child(value))
    ]


def _is_child(module: nn.Module, name: str, value: Any) -> bool:
    """Return whether ``value`` stands for what ``module`` has as its child ``name``."""
    node = value.get(CLASS, value) if isinstance(value, Mapping) else None
    child = module._modules.get(name)
    if child is None or not isinstance(node, Mapping) or NAME not in node:
        return False
    cls = declared_class(type(child))
    if not is_same_class(node, cls):
        return False
    found = Comparison()
    found.module(node, own_node(child), cls, "")
    return not (found.differing or found.unknown)


def _names(stored: Node, own: Node, cls: type[nn.Module] | None) -> list[str]:
    names = [
        *_arguments_in(stored, cls),
        *_arguments_in(own, cls),
        *_unstored(stored),
        *_unstored(own),
        *_defaults(stored),
    ]
    if CONTAINERS in stored and CONTAINERS in own:
        names.append(CONTAINERS)
    return list(dict.fromkeys(names))


def _takes(cls: type[nn.Module], name: str) -> bool:
    known = name in parameters_of(cls) or name == CONTAINERS
    return known or takes_any_name(cls) or builder_of(cls) is not None


def _is_placement(cls: type[nn.Module], name: str) -> bool:
    """Return whether an argument is a device or a dtype, which loading decides."""
    if name in ("device", "dtype"):
        return True
    return takes(hints_of(cls).get(name), torch.device, torch.dtype)


def _default(cls: type[nn.Module] | None, name: str) -> Any:
    """Return what an argument is that nobody passed, as plain data."""
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
        hint = hints_of(cls).get(name, Any)
        return Writer(partial=True).value(parameter.default, hint, name, 0)
    except (TypeError, RecordError):
        return DEFAULT


def _is_dtype(value: Any) -> bool:
    return isinstance(value, str) and value in DTYPES


def _equal(stored: Any, own: Any) -> bool:
    if isinstance(stored, float) and isinstance(own, float):
        return stored == own or (math.isnan(stored) and math.isnan(own))
    return bool(stored == own)


_CHANGING = frozenset(
    {"transformers_version", "architectures", "dtype", "torch_dtype", "_name_or_path"}
)
"""What a configuration of transformers says of files and machines."""


def _keys(stored: Node, own: Node) -> list[str]:
    if "model_type" in stored and "model_type" in own:
        # Other versions of the library have other fields, and defaults for them.
        return [k for k in stored if k in own and k not in _CHANGING]
    return [*stored, *(k for k in own if k not in stored)]


def difference(path: str, stored: Any, own: Any) -> str:
    """Return the line of a report or of an error about ``path``."""
    left, right = shown(_readable(stored)), shown(_readable(own))
    return f"{path}: stored {left}, the module has {right}"


def difference_from_default(path: str, default: Any, own: Any) -> str:
    """Return the line about an argument that is not stored."""
    left, right = shown(_readable(default)), shown(_readable(own))
    is_known = default is not DEFAULT
    reason = f"the default is {left}" if is_known else "the file says nothing of it"
    return f"{path}: not stored ({reason}), the module has {right}"


def _readable(value: Any) -> Any:
    """Return ``value`` with modules and classes by their names."""
    if isinstance(value, Mapping):
        if CLASS in value:
            return _readable(value[CLASS])
        if NAME in value:
            return Named(value)
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    return value


class Named:
    """A value that messages call by its name."""

    def __init__(self, value: Any) -> None:
        named = isinstance(value, Mapping)
        self.text = str(value.get(NAME) if named else value)[:200]

    @property
    def is_anonymous(self) -> bool:
        """Whether it is an object that is known by its class alone."""
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
"""What stands for an item that is not there, and for an argument that nobody passed."""
