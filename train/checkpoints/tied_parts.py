"""Parts that share tensors, such as two nets with one encoder.

Each stores them, so that they must be restored as one, and with one value.
"""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from ...config.process.interrupts import suppressed
from ...core.modules.tree import places_of
from ...core.state.entries import named_tensors
from ...records.entries.nodes import record_in
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.tensors.bits import same_bits
from ...records.tensors.memory import ORDINARY, memory_address
from .manifest import Ties


def ties_of(objects: Mapping[str, object]) -> Mapping[str, Ties]:
    """Return the tensors shared by modules and tensors, by the later one of two.

    The path of a tensor that is not a module's is empty.
    """
    tensors_by_name = {name: _tensors_of(value) for name, value in objects.items()}
    tensors_by_name = {name: ts for name, ts in tensors_by_name.items() if ts}
    if len(tensors_by_name) < 2:
        return {}
    owners: dict[int, tuple[str, str]] = {}
    ties: dict[str, dict[str, tuple[str, str]]] = {}
    for name, tensors in tensors_by_name.items():
        for path, tensor in tensors.items():
            address = _address(tensor)
            owner = owners.setdefault(address, (name, path))
            # A tensor without values is not shared.
            if owner[0] != name and address:
                ties.setdefault(name, {})[path] = owner
    return ties


def tied_names(ties: Mapping[str, Ties]) -> frozenset[str]:
    """Return the names of all objects with a tensor of another one."""
    tied_to = (target for of_one in ties.values() for target, _ in of_one.values())
    return frozenset([*ties, *tied_to])


def untied(name: str, value: object, ties: Ties, parts: Mapping[str, object]) -> str:
    """Describe what ``value`` no longer shares with ``parts``; else an empty string."""
    tensors = _tensors_of(value)
    partners = {part for part, _ in ties.values() if part in parts}
    tensors_by_part = {part: _tensors_of(parts[part]) for part in partners}
    for path, (part, path_there) in ties.items():
        a, b = tensors.get(path), tensors_by_part.get(part, {}).get(path_there)
        if a is None or b is None or _address(a) == _address(b):
            continue
        names = (".".join(filter(None, x)) for x in ((name, path), (part, path_there)))
        return (
            f"{' and '.join(names)}: they were one tensor when saved, but are "
            "separate tensors here"
        )
    return ""


def no_longer_stepped(
    name: str,
    value: object,
    modules: Mapping[str, nn.Module],
    records: Mapping[str, FlatRecord],
    ids_beside: Callable[[], set[str]],
) -> str:
    """Describe which of ``modules`` the optimizer ``value`` no longer steps.

    Its parameters were stepped when they were saved. An empty string if there is none,
    or if the parameters may be those of a stored module that is not restored, whose IDs
    ``ids_beside`` returns.
    """
    if not isinstance(value, torch.optim.Optimizer):
        return ""
    stored_ids = _ids_of_states(records[name])
    if not stored_ids:
        return ""
    params = {id(p) for group in value.param_groups for p in group["params"]}
    stepped_names = {
        module_name
        for module_name, module in modules.items()
        if any(id(t) in params for _, _, t in named_tensors(places_of(module)))
    }
    # A copy, such as an average of the weights, has the IDs of the original.
    for module_name in stepped_names:
        stored_ids -= {e.id for e in records[module_name].entries()}
    ids_by_module = {
        module_name: stored_ids & {e.id for e in records[module_name].entries()}
        for module_name in modules
        if module_name not in stepped_names
    }
    other_ids = ids_beside() if any(ids_by_module.values()) else set[str]()
    for module_name, ids in ids_by_module.items():
        if not ids <= other_ids:
            return (
                f"{name} and {module_name}: the optimizer stepped this module when "
                "they were saved, but is bound to another one here"
            )
    return ""


def _ids_of_states(record: FlatRecord) -> set[str]:
    """Return the IDs of the parameters with states, from the record of our adaptors.

    Another optimizer's record has none. A view of the states, as ``record["states"]``
    is, would hold the file open until garbage is collected.
    """
    _, fields = record_in(record.tree) or ("", {})
    states = fields.get("states")
    return {*states} if isinstance(states, dict) else set()


def check_tied_modules(
    modules: Mapping[str, nn.Module], records: Mapping[str, FlatRecord], file: str
) -> None:
    """Raise RecordMismatchError if records have two values for one tensor.

    It belongs to two of ``modules``, each filled from the record of its name: the last
    one would win. ``file`` contains the records.
    """
    if len(modules) < 2:
        return
    places: dict[int, tuple[str, str]] = {}
    for name, module in modules.items():
        for path, _, tensor in named_tensors(places_of(module)):
            place = places.setdefault(id(tensor), (name, path))
            if place[0] != name and _differ(place, (name, path), records):
                raise RecordMismatchError(
                    file,
                    [
                        f"{'.'.join(place)} and {name}.{path}: they are one "
                        "tensor here, but were saved with different values"
                    ],
                    "Nothing was changed. Build the parts as they were when the "
                    "checkpoint was saved, or restore only one of them.",
                )


def _address(tensor: torch.Tensor) -> int:
    # A state may have thousands, most of which are compared quickly.
    with suppressed(RuntimeError):
        if type(tensor) in ORDINARY:
            return tensor.data_ptr()
    return memory_address(tensor)


def _tensors_of(value: object) -> dict[str, torch.Tensor]:
    """Return the tensors of a module by path, and a single tensor under ""."""
    if isinstance(value, nn.Module):
        return {path: tensor for path, _, tensor in named_tensors(places_of(value))}
    return {"": value} if isinstance(value, torch.Tensor) else {}


def _differ(
    a: tuple[str, str], b: tuple[str, str], records: Mapping[str, FlatRecord]
) -> bool:
    """Return whether records have different values of two tensors, if both have one."""
    values = [records[name].get(path) for name, path in (a, b)]
    if not all(isinstance(value, torch.Tensor) for value in values):
        return False
    value_a, value_b = values
    return (
        value_a.shape != value_b.shape
        or value_a.dtype is not value_b.dtype
        or not same_bits(value_a, value_b)
    )
