"""States of torch optimizers whose parameters are distributed over processes.

A state dict has them by the number of the parameter, as in a single process; each is
sharded like the parameter that it is loaded for, which has that number or that name.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ...optim.stored.param_order import params_by_number
from ...records.entries.entries import with_parts
from ...records.errors import RecordError
from ...records.flat_record import FlatRecord
from ...records.nest import is_nest
from ...records.sharded.share_payload import with_shares
from ...records.tensors.shares import is_sharded, share_of
from ..plain_records import value_of
from .param_names import described_in, in_order_of_params


def check_state_shapes(name: str, optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError for a distributed state of another shape than its parameter.

    How it was sharded would be unknown when it is loaded.
    """
    for param, state in optimizer.state.items():
        # Other optimizers keep counters beside the states of parameters.
        if not isinstance(state, Mapping):
            continue
        for key, value in state.items():
            if is_sharded(value) and value.shape != param.shape:
                kind = type(optimizer).__name__
                raise ValueError(
                    f"{name}: {kind} keeps {key!r} of shape {tuple(value.shape)} "
                    f"for a parameter of shape {tuple(param.shape)}, both "
                    "sharded over processes; a checkpoint can only store a "
                    "state that is sharded like its parameter. Use an optimizer "
                    "of burnish.optim"
                )


def with_optimizer_shares(
    record: FlatRecord,
    optimizer: torch.optim.Optimizer,
    modules: Mapping[str, nn.Module],
) -> FlatRecord:
    """Return the record of a state dict, its tensors distributed like their parameters.

    Those of another shape, and of parameters that are not distributed, are read as a
    whole. ``modules`` are filled beside it, so that states follow the names there.
    """
    try:
        paths, state_dict = outline_of(record)
        if not isinstance(state_dict, dict) or not state_dict.keys() >= _KEYS:
            return record  # of something else, which it will not be filled from
        # A state cut as the parameter that once had its number would not fit its own.
        description, file = described_in(record), record.reading.file
        state_dict = in_order_of_params(
            optimizer, modules, description, state_dict, file
        )
    except RecordError:
        return record  # the fill reports what is wrong with it
    likes: dict[str, Any] = {}
    for number, param in params_by_number(optimizer, state_dict):
        if is_sharded(param):
            values = state_dict["state"].get(number, {}).values()
            likes.update({paths[id(v)]: param for v in values if id(v) in paths})
    return with_shares(record, likes)


_KEYS = {"state", "param_groups"}


def spread_as_params(
    optimizer: torch.optim.Optimizer, state_dict: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a state dict with DTensors as states where their parameters are DTensors.

    Those that were read as a whole are sharded: a mesh of one process has DTensors too.
    """
    states = dict(state_dict.get("state", {}))
    for number, param in params_by_number(optimizer, state_dict):
        state = states.get(number)
        if hasattr(param, "device_mesh") and isinstance(state, Mapping):
            states[number] = {
                key: share_of(value, param) if _is_whole(value, param) else value
                for key, value in state.items()
            }
    return {**state_dict, "state": states}


def _is_whole(value: object, param: torch.Tensor) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.shape == param.shape
        and not hasattr(value, "device_mesh")
    )


def outline_of(record: FlatRecord) -> tuple[dict[int, str], Any]:
    """Return plain data with blanks for its tensors, and the path of each by its ID."""
    entries = record.entries()
    # Some become arrays, which need values: all of them share one zero.
    blanks = [torch.zeros((), dtype=e.dtype).expand(e.shape) for e in entries]
    outline = with_parts(
        record,
        entries=[
            replace(entry, source=blank)
            for entry, blank in zip(entries, blanks, strict=True)
        ],
    )
    data = outline.to_data() if is_nest(outline) else value_of(outline)
    return {id(b): e.path for e, b in zip(entries, blanks, strict=True)}, data
