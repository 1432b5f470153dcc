"""Checks that a state, stored or held, can be stepped by a parameter's optimizer."""

import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from numbers import Number
from typing import Any, get_type_hints

import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...config.short_text import first_names, with_article
from ...records.tensors.dtypes import name_of_dtype
from ...records.tensors.shares import share_of
from ..engines.memory.tensor_form import as_pairs
from ..engines.tracing.extended_state import (
    KEPT,
    MASTER,
    ROUNDING_KEY,
    author_type,
    kept_names,
)
from ..engines.tracing.state_fields import field_names, fields_of_state
from .nested_records import as_declared, hints_of
from .plain_values import as_held


def checked_state(
    path: str,
    kind: str,
    blank: object,
    stored_fields: Mapping[str, object],
    problems: list[str],
    beside: Collection[str] = (),
) -> dict[str, Any]:
    """Return ``stored_fields`` as the fields of a state that starts as ``blank``.

    Problems are added to ``problems``. Numbers that torch keeps as tensors of one
    element become numbers again. What tools kept ``beside`` the fields is kept
    unchanged.
    """
    expected = fields_of_state(blank)
    extras = {name: stored_fields[name] for name in beside if name in stored_fields}
    values = {
        name: value
        for name, value in stored_fields.items()
        if value is not None and (name not in extras or name in expected)
    }
    # What is kept for the weight is initialized if the state was saved without it.
    absent = kept_names(type(blank)) - values.keys()
    expected = {name: v for name, v in expected.items() if name not in absent}
    for name in left_out(blank, stored_fields):
        values.pop(name, None)
    problem = _problem_of_names(kind, values, expected)
    if problem is not None:
        problems.append(f"{path}: {problem}")
        return {}
    fields = {
        name: value
        for name, usual in expected.items()
        if values
        and (value := _field(path, name, usual, values, blank, problems)) is not None
    }
    return {**{n: v for n, v in extras.items() if n not in expected}, **fields}


def _problem_of_names(
    kind: str, stored_names: Iterable[str], expected_names: Iterable[str]
) -> str | None:
    unknown = set(stored_names).difference(expected_names)
    if not unknown:
        return None
    has = ", ".join(expected_names) or "nothing"
    return (
        f"the stored state has {', '.join(sorted(unknown))}, but that of {kind} has "
        f"{has}"
    )


def left_out(blank: object, stored_fields: Mapping[str, object]) -> list[str]:
    """Return what a stored state keeps for its weight, and one like ``blank`` does not.

    It was saved by an optimizer with master weights, and this one has none.
    """
    expected = field_names(None if blank is None else type(blank))
    return [name for name in KEPT if name in stored_fields and name not in expected]


def what_is_left_out(names_by_path: Mapping[str, Collection[str]]) -> list[str]:
    """Report the result of `left_out`, by the paths of parameters."""
    texts: list[str] = []
    for name, text in _LEFT_OUT.items():
        paths = [path for path, names in names_by_path.items() if name in names]
        if paths:
            texts.append(f"{first_names(paths, 4)}: {text}")
    return texts


_LEFT_OUT = {
    MASTER: (
        "stored with a master weight, which is dropped: this optimizer "
        "continues from the rounded weight. To keep master weights: bind(net, "
        "lr=..., master_dtype=torch.float32)"
    ),
    ROUNDING_KEY: (
        "stored with a counter of stochastic rounding, which is dropped: this "
        "optimizer rounds to nearest. To continue as before: bind(net, lr=..., "
        "rounding='stochastic')"
    ),
}


def narrowed(blank: object, stored_fields: Mapping[str, object]) -> str:
    """Return the fields of a stored state with less precision than those of ``blank``.

    As names and dtypes, empty if there are none: stored states keep their dtype.
    """
    usual = fields_of_state(blank)
    texts: list[str] = []
    for name, value in stored_fields.items():
        begun = usual.get(name)
        if not (isinstance(value, Tensor) and isinstance(begun, Tensor)):
            continue
        if _has_fewer_digits(value.dtype, begun.dtype):
            dtypes = name_of_dtype(value.dtype), name_of_dtype(begun.dtype)
            texts.append("{} in {} (a new state would be {})".format(name, *dtypes))
    return ", ".join(texts)


def _has_fewer_digits(stored_dtype: torch.dtype, usual: torch.dtype) -> bool:
    if not (stored_dtype.is_floating_point and usual.is_floating_point):
        return False
    return torch.finfo(stored_dtype).eps > torch.finfo(usual).eps


def what_is_narrow(texts_by_path: Mapping[str, str]) -> list[str]:
    """Report the result of `narrowed`, by the paths of parameters."""
    paths_by_text: dict[str, list[str]] = {}
    for path, text in texts_by_path.items():
        if text:
            paths_by_text.setdefault(text, []).append(path)
    return [
        f"{first_names(paths, 4)}: stored with {text}, and keeps that dtype: "
        "updates that are smaller than its precision are lost at each step. To "
        "continue with more precision: optim.state[param][name] = "
        "optim.state[param][name].to(dtype)"
        for text, paths in paths_by_text.items()
    ]


BESIDE = "beside"
"""The key of groups in state dicts that names what tools keep beside the fields."""


def _field(
    path: str,
    name: str,
    usual: Any,
    values: Mapping[str, Any],
    blank: Any,
    problems: list[str],
) -> Any:
    value = values.get(name)
    if isinstance(usual, Tensor) and not usual.is_complex():
        value = as_pairs(value)
    if value is None:
        # A default is what an older state without the field meant.
        default = type(blank).__dataclass_fields__[name].default
        has_default = default is not dataclasses.MISSING
        if isinstance(usual, Tensor) or not (has_default or name in _optional(blank)):
            problems.append(f"{path}: the stored state lacks {name}")
        return default if has_default else usual
    misfit = _misfit(usual, value)
    if misfit:
        problems.append(f"{path}: {name} {misfit}")
        return None
    if isinstance(usual, Tensor):
        return _share(usual, value)
    if isinstance(value, Tensor):
        return _as_number(usual, value)
    # Most fields are numbers, for which reading hints takes longer than the check.
    if not isinstance(value, dict | list | tuple | str):
        return as_held(usual, value)
    hint = hints_of(author_type(type(blank))).get(name, Any)
    try:
        return as_declared(hint, usual, value)
    except TypeError as error:
        problems.append(f"{path}: {name}: {error}")
        return None


def check_values(path: str, param: Tensor) -> None:
    """Raise ValueError for a parameter that has no values to step."""
    if param.device.type == "meta":
        raise ValueError(
            f"{path} is on the meta device, so there are no values to step; nothing "
            "was changed. net.to_empty(device=...) allocates memory, and "
            "load_state_dict or load_record fills it"
        )


def check_held(path: str, param: Tensor, fields: object, blank: object) -> None:
    """Check a state in ``optim.state``, which any code may have changed.

    Raises ValueError unless it has what a step needs; numbers that torch keeps as
    tensors become numbers.
    """
    if not isinstance(fields, dict):
        problems = [
            f"it is {with_article(type(fields).__name__)}, expected a dict of its "
            "fields"
        ]
    else:
        problems = [*_misfits(param, fields, blank)]  # pyright: ignore[reportUnknownArgumentType]  # fields are any value
    if problems:
        raise ValueError(
            f"{path}: its state in optim.state does not fit: "
            f"{'; '.join(problems)}. Nothing was changed. The state, the "
            "parameter, or a hyperparameter that decides what a state holds "
            "(amsgrad, momentum) was changed: restore the old value, load a "
            "saved state, or start it from scratch: del optim.state[param]"
        )


def _misfits(param: Tensor, fields: dict[str, Any], blank: object) -> Iterator[str]:
    for name, usual in fields_of_state(blank).items():
        value = fields.get(name)
        if value is None:
            if name in kept_names(type(blank)):
                continue  # it is initialized again
            if isinstance(usual, Tensor) or name not in _optional(blank):
                yield f"it lacks {name}"
            continue
        misfit = _misfit(usual, value)
        if misfit:
            yield f"{name} {misfit}"
        elif isinstance(value, Tensor) and value.is_meta and not param.is_meta:
            yield f"{name} is on the meta device, without values"
        elif isinstance(value, Tensor):
            fields[name] = _as_number(usual, value)


def _misfit(usual: object, value: object) -> str:
    """Return what is wrong with the value of a field that starts as ``usual``."""
    if isinstance(usual, Tensor):
        return _misfit_of_tensor(usual, value)
    if not isinstance(usual, bool | int | float):
        return ""
    if isinstance(value, Tensor):
        return (
            ""
            if value.numel() == 1 and not value.is_meta
            else f"is a tensor of shape {tuple(value.shape)}, expected a number"
        )
    return "" if isinstance(value, Number) else f"is {value!r:.40}, expected a number"


def _misfit_of_tensor(usual: Tensor, value: object) -> str:
    if not isinstance(value, Tensor):
        return f"is {value!r:.40}, expected a tensor"
    if value.shape != usual.shape:
        return (
            f"has shape {tuple(value.shape)}, the parameter needs {tuple(usual.shape)}"
        )
    # Precisions may differ: by state_dtype, half(), or a state saved before either.
    if value.dtype != usual.dtype and not (
        value.is_floating_point() and usual.is_floating_point()
    ):
        return f"is {value.dtype}, expected {usual.dtype}"
    return ""


def _as_number(usual: Any, value: Tensor) -> Any:
    is_number = isinstance(usual, bool | int | float)
    return type(usual)(value.item()) if is_number else value


def _share(usual: Tensor, value: Tensor) -> Tensor:
    is_sharded = hasattr(usual, "device_mesh") and not hasattr(value, "device_mesh")
    return share_of(value, usual) if is_sharded else value


def _optional(blank: object) -> frozenset[str]:
    """Return the fields that may be None, by their types or by their initial values."""
    begin_as_none = {
        name for name, usual in fields_of_state(blank).items() if usual is None
    }
    return _nullable(author_type(type(blank))) | begin_as_none


def _nullable_fields(state_type: Any) -> frozenset[str]:
    try:
        hints = get_type_hints(state_type)
    except Exception as error:
        raise_of_signal(error)
        # A name known only in its own module: the string will do.
        hints = {}
    types = {f.name: hints.get(f.name, f.type) for f in dataclasses.fields(state_type)}
    return frozenset(
        name for name, hint in types.items() if _NULLABLE.search(str(hint))
    )


_NULLABLE = re.compile(r"\b(None|NoneType|Optional|Any|object)\b")

_nullable: Callable[[type], frozenset[str]] = lru_cache(maxsize=4096)(_nullable_fields)
