# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""IDs of parameters, which stay the same across paths, devices and processes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
import xxhash
from torch import nn

from ...config.process.transaction import Transaction
from ...config.short_text import with_article
from ...records.entries.entry import Param, ParamId
from ...records.processes.messages import broadcast_text, gathered
from ...records.tensors.dtypes import can_require_grad
from ...records.tensors.grad_mode import no_grad, ordinary_tensors
from ...records.tensors.memory import storage_of
from ...records.tensors.torch_internals import have_one_implementation
from ..modules.module_argument import check_module
from ..modules.tree import Places, places_of
from .tensor_writes import assign

IDS = "_burnish_ids"
"""The attribute of a module that holds the IDs of its own parameters, by name.

Unlike an attribute of the parameter it survives ``deepcopy``, ``fully_shard`` and
``load_state_dict(assign=True)``.
"""


def named_params(module: nn.Module) -> Iterator[Param]:
    """Yield each parameter once, at its first path, with a permanent ID.

    IDs are created on first use, and survive ``.to``, ``deepcopy``, pickle,
    ``torch.compile``, ``fully_shard`` and ``load_state_dict(assign=True)``.
    """
    check_module(module, "named_params")
    places = places_of(module)
    ids = identify(places)
    for prefix, owner in places:
        for name, parameter in owner._parameters.items():
            if parameter is not None and (param_id := ids.pop(id(parameter), None)):
                yield Param(prefix + name, param_id, parameter)


def map_params(module: nn.Module, fn: Callable[[Param], torch.Tensor | None]) -> None:
    """Replace the values of each parameter by the result of ``fn``; None keeps them.

    The new values may differ in dtype, device and shape. All are computed and checked
    before the first is replaced. The parameter remains the same object, so that ties,
    IDs and the optimizer's references are kept; parameters that were not tied share no
    memory afterwards. TypeError for anything but a tensor that the parameter can hold.
    """
    check_module(module, "map_params")
    mapped: list[tuple[Param, torch.Tensor]] = []
    with ordinary_tensors(), no_grad():
        for param in named_params(module):
            values = fn(param)
            if values is None or values is param.tensor:
                continue
            _check_values(param, values)
            mapped.append((param, values.detach()))
        for param, values in _copy_shared(module, mapped):
            if param.tensor.requires_grad and not can_require_grad(values):
                param.tensor.requires_grad_(False)
            assign([param.tensor], values)


def _check_values(param: Param, values: object) -> None:
    if not isinstance(values, torch.Tensor):
        raise TypeError(
            f"{param.path}: the function returned "
            f"{with_article(type(values).__name__)}, expected a tensor; return None "
            "to keep the parameter"
        )
    if not have_one_implementation(param.tensor, values):
        raise TypeError(
            f"{param.path}: a parameter on {param.tensor.device} cannot become "
            f"{with_article(type(values).__name__)} on {values.device} with layout "
            f"{values.layout}"
        )


def _copy_shared(
    module: nn.Module, mapped: list[tuple[Param, torch.Tensor]]
) -> list[tuple[Param, torch.Tensor]]:
    """Return copies of values that would share another tensor's memory."""
    replaced = {id(param.tensor) for param, _ in mapped}
    storages = {
        storage_of(tensor)
        for _, owner in places_of(module)
        for tensor in (*owner._parameters.values(), *owner._buffers.values())
        if tensor is not None and id(tensor) not in replaced
    } - {0}  # of tensors without memory, which share nothing
    parted: list[tuple[Param, torch.Tensor]] = []
    for param, values in mapped:
        storage = storage_of(values)
        parted.append((param, values.clone() if storage in storages else values))
        storages |= {storage} - {0}
    return parted


def identify(places: Places) -> dict[int, ParamId]:
    """Return the ID of each parameter by ``id(parameter)``; create missing ones.

    If two parameters have the same ID, because a layer was cloned, the first keeps it.
    """
    ids: dict[int, ParamId | None] = {}
    used_ids: set[ParamId] = set()
    pending: list[tuple[dict[str, ParamId], str, int]] = []
    for _, owner in places:
        parameters = owner._parameters
        if not parameters:
            continue
        owner_ids: dict[str, ParamId] | None = owner.__dict__.get(IDS)
        if owner_ids is None:
            owner_ids = owner.__dict__[IDS] = {}
        for name, parameter in parameters.items():
            if parameter is None:
                continue
            key, stored_id = id(parameter), owner_ids.get(name)
            known_id = ids.get(key)
            if known_id is not None:
                if stored_id != known_id:
                    owner_ids[name] = known_id
            elif stored_id is not None and stored_id not in used_ids:
                ids[key] = stored_id
                used_ids.add(stored_id)
            else:
                # All are created at the end, since one call for random bytes is faster.
                ids[key] = None
                pending.append((owner_ids, name, key))
    if pending:
        _draw(ids, pending)
    return ids  # type: ignore[return-value]  # every None has been replaced


def share_ids(places: Places, group: Any = None) -> None:
    """Give the parameters of all processes of ``group`` the IDs of the first process.

    Each process creates its own IDs, and records could not be matched across processes.
    Parameters that the first process does not have keep their IDs; saves refuse them.
    """
    params = [
        (owner, name)
        for _, owner in places
        for name, parameter in owner._parameters.items()
        if parameter is not None
    ]
    identify(places)
    ids = [owner.__dict__[IDS][name] for owner, name in params]
    # After the first save all have the same IDs, as eight bytes of each process show.
    message = xxhash.xxh3_64_digest("".join(ids).encode())
    if len(set(gathered(message, group=group))) == 1:
        return
    firsts = broadcast_text(" ".join(ids), group=group).split()
    if len(firsts) == len(ids):
        for (owner, name), first_id in zip(params, firsts, strict=True):
            owner.__dict__[IDS][name] = ParamId(first_id)


def adopt(
    places: Places, adopted: Mapping[int, ParamId], transaction: Transaction
) -> None:
    """Give parameters the IDs of a record, by ``id(parameter)``.

    Other parameters that have one of these IDs will get a new one.
    """
    ids_before: list[tuple[nn.Module, dict[str, ParamId] | None]] = []
    transaction.undo_with(partial(_put_back, ids_before))
    # Most loads set the IDs of all parameters, and need no set of them.
    adopted_ids: set[ParamId] | None = None
    for _, owner in places if adopted else ():
        before: dict[str, ParamId] | None = owner.__dict__.get(IDS)
        if before is None and not owner._parameters:
            continue
        owner_ids = {} if before is None else before.copy()
        for name, parameter in owner._parameters.items():
            param_id = adopted.get(id(parameter))
            if param_id is not None:
                owner_ids[name] = param_id
            elif name in owner_ids:
                if adopted_ids is None:
                    adopted_ids = {*adopted.values()}
                if owner_ids[name] in adopted_ids:
                    del owner_ids[name]
        if owner_ids != (before or {}):
            ids_before.append((owner, before))
            owner.__dict__[IDS] = owner_ids


def _put_back(ids: Iterable[tuple[nn.Module, dict[str, ParamId] | None]]) -> None:
    for owner, owner_ids in ids:
        if owner_ids is None:
            owner.__dict__.pop(IDS, None)
        else:
            owner.__dict__[IDS] = owner_ids


def _draw(
    ids: dict[int, ParamId | None], pending: list[tuple[dict[str, ParamId], str, int]]
) -> None:
    lacking = [key for key, param_id in ids.items() if param_id is None]
    ids.update(zip(lacking, ParamId.draw_many(len(lacking)), strict=True))
    for owner_ids, name, key in pending:
        owner_ids[name] = ids[key]  # type: ignore[assignment]  # drawn above
