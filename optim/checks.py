"""Checks of hyperparameters: numbers in their ranges, values of their types."""

import dataclasses
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, get_args, get_origin

from ..config.classes.annotations import known_hints
from ..config.short_text import short_repr, with_article


def check_range(
    name: str, value: float, low: float, high: float = float("inf")
) -> None:
    """Raise ValueError unless ``low <= value < high``, where ``high`` may be infinite.

    TypeError for anything but a number: a tensor would be saved as something else.
    """
    _check_number(name, value)
    if not low <= value < high:
        bounds = f"in [{low:g}, {high:g})"
        if high == float("inf"):
            bounds = f"at least {low:g}{'' if value < low else ' and finite'}"
        raise ValueError(f"{name} must be {bounds}, got {value}")


def check_betas(betas: tuple[float, ...], count: int = 2) -> None:
    """Raise ValueError unless ``betas`` are ``count`` numbers in [0, 1)."""
    check_length("betas", betas, count)
    for i, beta in enumerate(betas):
        check_range(f"betas[{i}]", beta, 0.0, 1.0)


def check_length(name: str, values: Sequence[object], count: int) -> None:
    """Raise ValueError unless ``values`` are a tuple or a list of ``count``."""
    if not isinstance(values, tuple | list) or len(values) != count:
        raise ValueError(f"{name} must be {count} numbers, got {short_repr(values)}")


def check_types(optimizer: object) -> None:
    """Raise TypeError for a hyperparameter that is not of its declared type."""
    if not dataclasses.is_dataclass(optimizer):
        return
    for name, hint in _hints(type(optimizer)).items():
        _check_type(
            f"{type(optimizer).__name__}({name}=...)", hint, getattr(optimizer, name)
        )


def _hints(cls: type) -> dict[str, Any]:
    hints = known_hints(cls)
    fields: Any = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]  # it is a dataclass
    return {f.name: hints.get(f.name) for f in fields if f.init}


def _check_type(name: str, hint: Any, value: Any) -> None:
    if hint is float or hint is int:
        _check_number(name, value, is_whole=hint is int)
    elif hint in (bool, str) and not isinstance(value, hint):
        raise TypeError(
            f"{name} must be {with_article(hint.__name__)}, got {value!r:.60}"
        )
    elif get_origin(hint) in (tuple, list) and isinstance(value, list | tuple):
        item_hints = [item for item in get_args(hint) if item is not ...] or [Any]
        for i, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # items are any value
            _check_type(f"{name}[{i}]", item_hints[min(i, len(item_hints) - 1)], item)


def _check_number(name: str, value: object, *, is_whole: bool = False) -> None:
    # 1e4 is accepted as an integer, since numbers of steps are written like that.
    is_count = isinstance(value, Integral) or (
        isinstance(value, float) and value.is_integer()
    )
    is_number = is_count if is_whole else isinstance(value, Real)
    if is_number and not isinstance(value, bool):
        return
    described = (
        with_article(type(value).__name__)
        if hasattr(value, "dtype")
        else f"{value!r:.60}"
    )
    hint = "; pass a plain number: float(x)" if hasattr(value, "dtype") else ""
    number = "a whole number" if is_whole else "a number"
    raise TypeError(f"{name} must be {number}, got {described}{hint}")
