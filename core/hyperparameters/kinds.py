"""What an argument was where its hint does not say, and plain data has another."""

import pathlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any

import torch
from torch import nn

from ...config.path import join
from ...records.errors import RecordError
from ..errors import HyperparameterError
from .hparams_dict import HparamsDict
from .hparams_plan import Partial, Plan, Ref, Struct
from .known_arguments import builder_of
from .plain import KINDS, item_hint
from .shown import shown
from .signature import VARIADIC
from .torch_layers import is_torch_layer

UNDECLARED: Mapping[str, Any] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "range": range,
    "path": pathlib.Path,
    "list": list,
    "dict": dict,
    "ordered_dict": OrderedDict,
    "device": torch.device,
}
"""The kinds by the name that hyperparameters have for them."""


def kind_of(
    cls: type[nn.Module],
    parameter: Parameter | None,
    value: object,
    hint: Any,
    plain_value: Any,
    path: str,
) -> str | None:
    """Return the name of what ``value`` is, if ``plain_value`` would not tell it.

    What is written is read again: TypeError names the path of what would come back as
    something else, and of which there is no kind.
    """
    # Torch's own take tuples wherever they take several numbers.
    if not isinstance(value, _TYPED) or is_torch_layer(cls):
        return None
    is_variadic = parameter is not None and parameter.kind in VARIADIC
    if is_variadic or builder_of(cls) is not None:
        return None
    again = _read_back(plain_value, hint, path)
    if again is _UNKNOWN:
        name = _name_of(value) if hint is Any else None
        return None if name in ("list", "dict") else name
    name = None if _is_same_type(value, again) else _name_of(value)
    if name is not None:
        again = _read_back(plain_value, with_kind(hint, UNDECLARED[name]), path)
    _check(value, again, path)
    return name


def with_kind(hint: Any, kind: Any | None) -> Any:
    """Return the hint of an argument that was of ``kind``, if that was noted."""
    if kind is None:
        return hint
    item = item_hint(hint, 0)
    items = {tuple: tuple[item, ...], list: list[item]}  # type: ignore[valid-type]  # found at run time
    items |= {set: set[item], frozenset: frozenset[item]}  # type: ignore[valid-type]  # as above
    return items.get(kind, kind)


def _name_of(value: object) -> str | None:
    kind = pathlib.Path if isinstance(value, pathlib.Path) else type(value)
    return next((name for name, one in UNDECLARED.items() if one is kind), None)


def _read_back(plain_value: Any, hint: Any, path: str) -> Any:
    from .hparams_reader import Planner

    try:
        return Planner({}).value(plain_value, hint, path, 0)
    except (HyperparameterError, RecordError):
        return _UNKNOWN  # a reference, a class that nobody knows yet


def _check(value: Any, again: Any, path: str) -> None:
    if again is _UNKNOWN:
        return
    if not _is_same_type(value, again):
        raise TypeError(
            f"{path}: {shown(value)} is a {type(value).__qualname__} and would be read "
            f"back as a {type(again).__qualname__}. Pass that, or set it after building"
        )
    _check_below(value, again, path)


def _check_below(value: Any, again: Any, path: str) -> None:
    if isinstance(value, Mapping) and isinstance(again, Mapping):
        pairs = zip(value.items(), again.values(), strict=False)
        items = [(str(key), item, other) for (key, item), other in pairs]
    elif isinstance(value, list | tuple) and isinstance(again, list | tuple):
        numbered = enumerate(zip(value, again, strict=False))
        items = [(str(i), item, other) for i, (item, other) in numbered]
    else:
        return
    for key, item, other in items:
        if isinstance(item, _TYPED) and type(item) is not tuple:
            _check(item, other, join(path, key))


def _is_same_type(value: object, again: object) -> bool:
    if not isinstance(value, _TYPED) or isinstance(value, torch.Size):
        return True
    kind = dict if type(value) is HparamsDict else type(value)
    return kind is type(again) or isinstance(again, Plan | Ref | Partial | Struct)


_UNKNOWN = object()
_TYPED = (
    *(list, tuple, set, frozenset, range, Mapping),
    *(torch.device, pathlib.PurePath),
)
"""What plain data may tell as something else; numbers and texts are themselves."""


def kinds_of(node: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return what arguments were, by name; raise HyperparameterError for no kind."""
    told = node.get(KINDS, {})
    if not isinstance(told, Mapping) or not all(
        isinstance(kind, str) and kind in UNDECLARED for kind in told.values()
    ):
        message = f"expected {list(UNDECLARED)}, found {shown(told)}"
        raise HyperparameterError(join(path, KINDS), message)
    return {name: UNDECLARED[kind] for name, kind in told.items()}


def range_of(items: Sequence[Any], path: str) -> range:
    """Return the range whose numbers are ``items``; raise if they are no range's."""
    numbers = [item for item in items if type(item) is int]
    step = (numbers[1] - numbers[0] if len(numbers) > 1 else 1) or 1
    found = range(0)
    if numbers:
        found = range(numbers[0], numbers[-1] + (1 if step > 0 else -1), step)
    if len(numbers) < len(items) or list(found) != numbers:
        raise HyperparameterError(path, f"expected a range, found {shown(items)}")
    return found
