"""What an argument without annotation was, where JSON has a list or a text for it."""

import pathlib
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any

from torch import nn

from ...config.path import join
from ..errors import HyperparameterError
from .plain import KINDS
from .shown import shown
from .signature import VARIADIC
from .torch_layers import is_torch_layer

UNDECLARED: Mapping[str, Any] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "range": range,
    "path": pathlib.Path,
}
"""The kinds by the name that hyperparameters have for them."""


def kind_of(
    cls: type[nn.Module], parameter: Parameter | None, value: object, hint: Any
) -> str | None:
    """Return the name of what ``value`` is, if nothing else tells it."""
    is_variadic = parameter is not None and parameter.kind in VARIADIC
    # Torch's own take tuples wherever they take several numbers.
    if hint is not Any or is_variadic or is_torch_layer(cls):
        return None
    kind = pathlib.Path if isinstance(value, pathlib.Path) else type(value)
    return next((name for name, one in UNDECLARED.items() if one is kind), None)


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
