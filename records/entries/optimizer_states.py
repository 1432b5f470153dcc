"""Search for the state dicts of torch's optimizers in plain data."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

StateDict: TypeAlias = Mapping[str, Any]
"""The result of ``torch.optim.Optimizer.state_dict``."""

_Keys: TypeAlias = tuple[object, ...]

_DEEPEST = 4
"""Maximal nesting of optimizers in the data around them."""


def optimizers_in(data: object, keys: _Keys = ()) -> Iterator[tuple[_Keys, StateDict]]:
    """Yield the state dicts of optimizers in plain data, each with its keys there."""
    if is_optimizer_state(data):
        yield keys, cast("StateDict", data)
    elif len(keys) < _DEEPEST and isinstance(data, Mapping | list):
        children: Any = data.items() if isinstance(data, Mapping) else enumerate(data)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # any data
        for key, child in children:
            yield from optimizers_in(child, (*keys, key))


def is_optimizer_state(data: object) -> bool:
    """Return whether this is the state dict of a torch optimizer."""
    if not isinstance(data, Mapping) or not {"state", "param_groups"} <= data.keys():
        return False
    content = cast("StateDict", data)
    state, groups = content["state"], content["param_groups"]
    return (
        isinstance(state, Mapping)
        # Other optimizers keep counters beside the states of parameters.
        and all(isinstance(v, Mapping) or isinstance(k, str) for k, v in state.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # any data
        and isinstance(groups, list)
        and all(isinstance(g, Mapping) and "params" in g for g in groups)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # any data
    )


def subscripts(keys: _Keys) -> str:
    """Return the source text that reads the item at ``keys``, after a name."""
    return "".join(f"[{key!r}]" for key in keys)
