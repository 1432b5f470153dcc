"""The kinds of arguments that neither their hint nor plain data determines."""

import pathlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, TypeAlias, cast

import torch
from torch import nn

from ...config.classes.declared_types import members
from ...config.path import join
from ...config.plain.node import AS_THEY_ARE
from ...config.short_text import short_repr, with_article
from ...config.tree import MAX_DEPTH
from ...records.errors import RecordError
from ..errors import HyperparameterError
from ..modules.registry import Node
from .capture import builder_of
from .declared import (
    Hint,
    allows_kinds,
    dict_of,
    has_one_item_hint,
    is_plain_struct,
    item_hint,
    list_of,
    may_be_members,
    names_value,
    needs_class,
)
from .hparams_node import (
    CONTAINERS,
    CONTAINERS_OF_TORCH,
    KINDS,
    HparamsDict,
    is_node,
    is_plain_value,
)
from .module_plan import ModulePlan, PartialPlan, Reference, StructPlan
from .torch_layers import is_torch_layer

TYPES_OF_KINDS: Mapping[str, Any] = {
    "tuple": tuple,
    "size": torch.Size,
    "set": set,
    "frozenset": frozenset,
    "range": range,
    "path": pathlib.Path,
    "list": list,
    "dict": dict,
    "ordered_dict": OrderedDict,
    "device": torch.device,
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
}
"""The kinds by their name in hyperparameters.

Strings and numbers are marked where they could be the value of an enum's member.
"""


Spec: TypeAlias = Any
"""None, the name of a kind, or a pair of a name and the specs of the items.

The specs are one for all items, or those of some by key.
"""


ReadBack: TypeAlias = Callable[[object, Hint, str], object]
"""Returns how a file's value of a hint, at a path, is read.

The reader imports the kinds from here, so the writer passes it in.
"""


@dataclass(frozen=True, slots=True)
class HintWithKinds:
    """A hint of a container whose items are of kinds that it does not determine."""

    hint: Hint
    declared: Any
    """The declared type of the argument, which has the items' hints."""
    items: Spec

    def spec(self, key: object) -> Spec:
        """Return the kind of the item at ``key``."""
        is_by_key = isinstance(self.items, Mapping)
        return self.items.get(str(key)) if is_by_key else self.items

    def item(self, key: object) -> Hint:
        """Return the hint of the item at ``key``."""
        return with_kind(item_hint(self.declared, key), self.spec(key))


class PlainItems:
    """Decides which items of a container are read unchanged; its hint is read once."""

    def __init__(self, kinded: HintWithKinds, key: object) -> None:
        """Check the items of ``kinded``, one of which is at ``key``."""
        is_alike = not isinstance(kinded.items, Mapping) and has_one_item_hint(
            kinded.declared
        )
        hint = kinded.item(key) if is_alike else None
        is_bare = is_alike and not isinstance(hint, HintWithKinds)
        self._has_numbers = is_bare and not needs_class(hint)
        self._has_texts = self._has_numbers and (
            allows_kinds(hint, str) or not allows_kinds(hint, torch.dtype, torch.device)
        )

    def has(self, item: object) -> bool:
        """Return whether ``item`` is a value of its hint already."""
        return (
            is_plain_value(item)
            and self._has_numbers
            and (self._has_texts or type(item) is not str)
        )


def declared_hint(parameter: Parameter | None, hint: Hint) -> Hint:
    """Return the declared type of a whole argument, also of a variadic one."""
    kind = None if parameter is None else parameter.kind
    if kind is Parameter.VAR_POSITIONAL:
        return list_of(hint)
    return dict_of(hint) if kind is Parameter.VAR_KEYWORD else hint


def kind_spec(
    cls: type[nn.Module],
    parameter: Parameter | None,
    value: object,
    hint: Hint,
    plain_value: object,
    path: str,
    read: ReadBack,
) -> Spec:
    """Return the kind of ``value``, at any depth, if ``plain_value`` does not show it.

    The written value is read back: TypeError names the path of one that would come back
    as something else, and for which there is no kind.
    """
    if is_plain_value(value):
        return _plain_kind(value, hint, path, read)
    # Torch's own accept tuples wherever they take several numbers.
    is_telling = isinstance(value, _TYPES_TO_TELL) or is_plain_struct(type(value))
    if not is_telling or is_torch_layer(cls):
        return None
    # A user's builder gets plain data, and converts it itself.
    if builder_of(cls) is not None:
        return None
    if parameter is not None and parameter.kind is Parameter.VAR_POSITIONAL:
        value = [*cast("tuple[Any, ...]", value)]
    return spec_of(value, declared_hint(parameter, hint), plain_value, path, read)


def _plain_kind(value: object, hint: Hint, path: str, read: ReadBack) -> Spec:
    """Return the kind of a string or number that is read as a member of an enum."""
    if value is None or not (may_be_members(hint) and names_value(hint, value)):
        return None
    again = _read_back(value, hint, path, read)
    is_same = type(again) is type(value) and again == value
    return None if is_same else type(value).__name__


def spec_of(
    value: object, hint: Hint, plain_value: object, path: str, read: ReadBack
) -> Spec:
    """Return the kind of ``value``, if ``plain_value`` read as ``hint`` lacks it."""
    if isinstance(value, set | frozenset) and any(
        isinstance(i, _TYPES_TO_TELL) for i in value
    ):
        raise TypeError(
            f"{path}: {short_repr(value)} is a set of something other than numbers "
            "and strings"
        )
    read_value = _read_back(plain_value, hint, path, read)
    if read_value is _UNKNOWN:
        name = _name_of(value) if members(hint) == (Any,) else None
        return None if name in ("list", "dict") else name
    return _spec(value, read_value, path)


def with_kind(hint: Hint, spec: Spec) -> Hint:
    """Return the hint of a value of the kind ``spec``."""
    if spec is None:
        return hint
    if isinstance(spec, list):
        name, items = spec
        return HintWithKinds(with_kind(hint, name), hint, items)
    kind = TYPES_OF_KINDS[spec]
    item = item_hint(hint, 0)
    items = {tuple: tuple[item, ...], list: list[item]}  # type: ignore[valid-type]  # found at run time
    items |= {set: set[item], frozenset: frozenset[item]}  # type: ignore[valid-type]  # as above
    return items.get(kind, kind)


def _name_of(value: object) -> str | None:
    kind = pathlib.Path if isinstance(value, pathlib.Path) else type(value)
    return next(
        (name for name, type_of_kind in TYPES_OF_KINDS.items() if type_of_kind is kind),
        None,
    )


def _read_back(plain_value: object, hint: Hint, path: str, read: ReadBack) -> Any:
    try:
        return read(plain_value, hint, path)
    except (HyperparameterError, RecordError):
        return _UNKNOWN  # a reference, or an unknown class


def _spec(value: object, read_value: object, path: str) -> Spec:
    """Return what must be stored about ``value``, if it is read as ``read_value``."""
    if not isinstance(value, _TYPES_TO_TELL) and not isinstance(read_value, StructPlan):
        return None
    name = None if _is_same_type(value, read_value) else _name_of(value)
    if name is None and not _is_same_type(value, read_value):
        raise TypeError(
            f"{path}: {short_repr(value)} is "
            f"{with_article(type(value).__qualname__)} and would be read back as "
            f"{with_article(type(read_value).__qualname__)}. Pass a value of "
            "that type, or set it after building"
        )
    items = _specs_of_items(value, read_value, path)
    if not items:
        return name
    specs = list(items.values())
    # A thousand equal tuples are described once, not a thousand times.
    is_whole = isinstance(value, Sized) and len(specs) == len(value)
    is_alike = is_whole and all(spec == specs[0] for spec in specs)
    return [name, specs[0] if is_alike else items]


def _specs_of_items(value: object, read_value: object, path: str) -> dict[str, Spec]:
    pairs: Iterable[tuple[Any, Any, Any]] = ()
    if isinstance(read_value, StructPlan):
        pairs = ((n, getattr(value, n), item) for n, item in read_value.fields.items())
    elif isinstance(value, Mapping) and isinstance(read_value, Mapping):
        pairs_of_items = zip(value.items(), read_value.values(), strict=False)
        pairs = ((key, item, read_item) for (key, item), read_item in pairs_of_items)
    elif isinstance(value, _SEQUENCES) and isinstance(read_value, _SEQUENCES):
        pairs_of_items = zip(value, read_value, strict=False)
        pairs = (
            (i, item, read_item) for i, (item, read_item) in enumerate(pairs_of_items)
        )
    specs: dict[str, Spec] = {}
    for key, item, read_item in pairs:
        if type(item) in AS_THEY_ARE and type(read_item) in AS_THEY_ARE:
            continue
        spec = _spec(item, read_item, join(path, str(key)))
        if spec is not None:
            specs[str(key)] = spec
    return specs


def _is_same_type(value: object, read_value: object) -> bool:
    if not isinstance(value, _TYPES_TO_TELL):
        return True
    kind = dict if type(value) is HparamsDict else type(value)
    # A value that is still to be built states its class itself.
    plans = ModulePlan | Reference | PartialPlan | StructPlan
    return kind is type(read_value) or isinstance(read_value, plans)


_UNKNOWN = object()
_SEQUENCES = (list, tuple)
_TYPES_TO_TELL = (
    *(list, tuple, set, frozenset, range, Mapping),
    *(torch.device, pathlib.PurePath),
)
"""Types that plain data may represent as others; numbers and strings are kept."""


def kinds_of(node: Node, path: str) -> dict[str, Spec]:
    """Return arguments' kinds, by name; HyperparameterError for an unknown one."""
    specs = node.get(KINDS, {})
    if not isinstance(specs, Mapping) or not all(_is_spec(s) for s in specs.values()):
        message = f"expected {list(TYPES_OF_KINDS)}, found {short_repr(specs)}"
        raise HyperparameterError(join(path, KINDS), message)
    return dict(specs)


def _is_spec(spec: object, depth: int = 0) -> bool:
    if spec is None or isinstance(spec, str):
        return spec is None or spec in TYPES_OF_KINDS
    if not isinstance(spec, list) or len(spec) != 2 or depth > MAX_DEPTH:
        return False
    name, items = spec
    below = items.values() if isinstance(items, Mapping) else [items]
    return not isinstance(name, list) and all(
        _is_spec(item, depth + 1) for item in (name, *below)
    )


def range_of(items: Sequence[object], path: str) -> range:
    """Return the range of the numbers ``items``; raise if they are not a range."""
    numbers = [item for item in items if type(item) is int]
    step = (numbers[1] - numbers[0] if len(numbers) > 1 else 1) or 1
    numbers_of_range = range(0)
    if numbers:
        numbers_of_range = range(
            numbers[0], numbers[-1] + (1 if step > 0 else -1), step
        )
    if len(numbers) < len(items) or list(numbers_of_range) != numbers:
        raise HyperparameterError(path, f"expected a range, found {short_repr(items)}")
    return numbers_of_range


def containers_of(node: Node, path: str) -> dict[str, type[nn.Module]]:
    """Return the arguments that are containers; HyperparameterError for others."""
    class_names = node.get(CONTAINERS, {})
    classes = {cls.__name__: cls for cls in CONTAINERS_OF_TORCH}
    if not isinstance(class_names, Mapping) or not all(
        isinstance(kind, str) and kind in classes for kind in class_names.values()
    ):
        raise HyperparameterError(
            join(path, CONTAINERS),
            f"expected {list(classes)}, found {short_repr(class_names)}",
        )
    return {name: classes[kind] for name, kind in class_names.items()}


def declared_container(hint: Hint, value: object) -> type[nn.Module] | None:
    """Return the container declared by the hint in the place of its items."""
    is_items = isinstance(value, list | tuple) or (
        isinstance(value, Mapping) and not is_node(value)
    )
    if not is_items:
        return None
    hints = members(hint)
    return next((cls for cls in CONTAINERS_OF_TORCH if cls in hints), None)
