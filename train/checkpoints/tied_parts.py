"""Parts that have tensors in common, such as two nets with one encoder.

Each stores them, so that they must come back as one, and with one value.
"""

from collections.abc import Mapping
from contextlib import suppress

import torch
from torch import nn

from ...core.modules.tree import places_of
from ...core.state.entries import named_tensors
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.tensors.memory import ORDINARY, memory_address, same_bits


def tied_names(objects: Mapping[str, object]) -> frozenset[str]:
    """Return the names of modules and tensors that have a tensor of another one."""
    tensors_by_name = {name: _tensors_of(value) for name, value in objects.items()}
    tensors_by_name = {name: ts for name, ts in tensors_by_name.items() if ts}
    if len(tensors_by_name) < 2:
        return frozenset()
    owners: dict[int, str] = {}
    tied: set[str] = set()
    for name, tensors in tensors_by_name.items():
        for address in map(_address, tensors):
            owner = owners.setdefault(address, name)
            # What has no values yet is nobody's.
            if owner != name and address:
                tied |= {owner, name}
    return frozenset(tied)


def check_tied_modules(
    objects: Mapping[str, object], records: Mapping[str, FlatRecord], file: str
) -> None:
    """Raise RecordMismatchError if records say two things of one tensor.

    It is of two of ``objects``, each filled from the record of its name: the last one
    would win. ``file`` is what the records are in.
    """
    modules = {n: o for n, o in objects.items() if isinstance(o, nn.Module)}
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
                        f"{'.'.join(place)} and {name}.{path}: they are one tensor, "
                        "and were saved with different values"
                    ],
                    "Nothing was changed. Build the parts as they were when the "
                    "checkpoint was saved, or restore one of them alone.",
                )


def _address(tensor: torch.Tensor) -> int:
    # A state may have thousands, most of which answer at once.
    with suppress(RuntimeError):
        if type(tensor) in ORDINARY:
            return tensor.data_ptr()
    return memory_address(tensor)


def _tensors_of(value: object) -> list[torch.Tensor]:
    if isinstance(value, nn.Module):
        return [tensor for _, _, tensor in named_tensors(places_of(value))]
    return [value] if isinstance(value, torch.Tensor) else []


def _differ(
    a: tuple[str, str], b: tuple[str, str], records: Mapping[str, FlatRecord]
) -> bool:
    """Return whether records hold different values of two tensors, where both do."""
    values = [records[name].get(path) for name, path in (a, b)]
    if not all(isinstance(value, torch.Tensor) for value in values):
        return False
    value_a, value_b = values
    return (
        value_a.shape != value_b.shape
        or value_a.dtype is not value_b.dtype
        or not same_bits(value_a, value_b)
    )
