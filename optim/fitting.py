"""A stored state against what a parameter's optimizer keeps."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from torch import Tensor

from ..records.shares import share_of
from .nested import as_declared
from .param_groups import as_held

if TYPE_CHECKING:
    from .adaptor import OptimizerAdaptor


def fitted(
    adaptor: "OptimizerAdaptor",
    index: int,
    param: Tensor,
    path: str,
    stored: Mapping[str, Any],
    problems: list[str],
) -> dict[str, Any]:
    """Return ``stored`` as the state of ``param``; add to ``problems`` what is wrong.

    Numbers that torch keeps as tensors of one element become numbers again.
    """
    blank = adaptor.blank(index, param)
    expected: dict[str, Any] = {}
    if blank is not None:
        declared = dataclasses.fields(type(blank))
        expected = {f.name: getattr(blank, f.name) for f in declared}
    given = {name: value for name, value in stored.items() if value is not None}
    unknown = given.keys() - expected.keys()
    if unknown:
        has = ", ".join(expected) or "nothing"
        problems.append(
            f"{path}: the stored state has {', '.join(sorted(unknown))}, and that of "
            f"{adaptor.param_groups[index]['kind']} has {has}"
        )
        return {}
    return (
        {
            name: value
            for name, usual in expected.items()
            if (value := _field(path, name, usual, given, blank, problems)) is not None
        }
        if given or not expected
        else {}
    )


def _field(
    path: str,
    name: str,
    usual: Any,
    given: Mapping[str, Any],
    blank: Any,
    problems: list[str],
) -> Any:
    value = given.get(name)
    if value is None:
        if isinstance(usual, Tensor):
            problems.append(f"{path}: the stored state lacks {name}")
        # A default says what an older state without the field meant.
        default = type(blank).__dataclass_fields__[name].default
        return usual if default is dataclasses.MISSING else default
    if isinstance(usual, bool | int | float) and isinstance(value, Tensor):
        if value.numel() != 1:
            problems.append(
                f"{path}: {name} is a tensor of {value.numel()}, not a number"
            )
            return None
        return type(usual)(value.item())
    if isinstance(usual, Tensor):
        return _tensor(path, name, usual, value, problems)
    if not isinstance(value, dict | list | tuple):
        return as_held(usual, value)
    hint = get_type_hints(type(blank)).get(name, Any)
    try:
        return as_declared(hint, usual, value)
    except TypeError as error:
        problems.append(f"{path}: {name}: {error}")
        return None


def _tensor(
    path: str, name: str, usual: Tensor, value: Any, problems: list[str]
) -> Any:
    if not isinstance(value, Tensor):
        problems.append(f"{path}: {name} is {value!r:.40}, expected a tensor")
    elif value.shape != usual.shape:
        problems.append(
            f"{path}: {name} has shape {tuple(value.shape)}, the parameter needs "
            f"{tuple(usual.shape)}"
        )
    elif hasattr(usual, "device_mesh") and not hasattr(value, "device_mesh"):
        return share_of(value, usual)
    return value
