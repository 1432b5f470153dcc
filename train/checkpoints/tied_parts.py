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
    tensors = {name: held for name, o in objects.items() if (held := _tensors_of(o))}
    if len(tensors) < 2:
        return frozenset()
    first_of: dict[int, str] = {}
    tied: set[str] = set()
    for name, held in tensors.items():
        for address in map(_address, held):
            first = first_of.setdefault(address, name)
            # What has no values yet is nobody's.
            if first != name and address:
                tied |= {first, name}
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
            first = places.setdefault(id(tensor), (name, path))
            if first[0] != name and _differ(first, (name, path), records):
                raise RecordMismatchError(
                    file,
                    [
                        f"{'.'.join(first)} and {name}.{path}: they are one tensor, "
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
    stored = [records[name].get(path) for name, path in (a, b)]
    if not all(isinstance(value, torch.Tensor) for value in stored):
        return False
    first, second = stored
    return (
        first.shape != second.shape
        or first.dtype is not second.dtype
        or not same_bits(first, second)
    )
