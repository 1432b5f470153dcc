"""RearrangedState: the state of a parameter that rules computed from stored ones.

Elementwise values move as the parameter's elements did; counters are kept. Anything
else describes a tensor that no longer exists: a state with more is initialized again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.state.loading.derived import is_rearranged, rearranged, source_entries
from ...records.entries.entry import Entry
from ...records.tensors.grad_mode import no_grad
from ..bound.nested_records import as_dicts
from ..engines.memory.tensor_form import as_pairs
from ..engines.tracing.extended_state import KEPT
from ..engines.tracing.state_fields import fields_of_state

Fields = dict[str, Any]
"""A state as plain data, by field."""


class BeginsAnewError(Exception):
    """A state cannot be converted; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RearrangedState:
    """Stored states, to be converted to that of a parameter computed from theirs."""

    entry: Entry
    """The parameter, as rules computed it from stored ones, without values."""
    origins: Sequence[str]
    """The stored paths of `source_entries` of the entry."""
    parts: Sequence[Fields | None]
    """The stored states of those; None if there is none."""
    blank: Any
    """The initial state of the parameter, without values."""
    probe: Any
    """The initial state of a parameter of `probe_shape`."""
    is_complex: bool
    """Whether the parameter is complex, so that its states hold pairs."""

    def fields(self) -> Fields:
        """Return the state. Raises `BeginsAnewError` if it cannot be converted."""
        if not is_rearranged(self.entry):
            raise BeginsAnewError("its values were computed by a function")
        parts = [dict(_flat(part)) for part in self.parts if part is not None]
        if len(parts) < len(self.parts):
            path = self.origins[[*self.parts].index(None)]
            raise BeginsAnewError(f"{path} has no state")
        blank = dict(_flat(_as_fields(self.blank)))
        probe = dict(_flat(_as_fields(self.probe)))
        names = dict.fromkeys(name for part in parts for name in part)
        values: Fields = {}
        for name in names:
            column = [part.get(name) for part in parts]
            # What is kept for a narrow weight is initialized separately.
            if name in KEPT and (name not in blank or any(x is None for x in column)):
                continue
            values[name] = self._value(name, column, blank.get(name), probe.get(name))
        fields: Fields = _nested(self.parts[0], values)
        return fields

    def differing(self) -> dict[str, list[Any]]:
        """Return by name the counters that differ among the parts."""
        counts = self._counters()
        names = dict.fromkeys(name for count in counts for name in count)
        columns = {name: [count.get(name) for count in counts] for name in names}
        return {n: c for n, c in columns.items() if any(x != c[0] for x in c)}

    @property
    def least_stepped(self) -> int:
        """The number of the part whose counters are used for the whole.

        Corrections for a short past are too cautious if the past was longer; those for
        a long one make steps too large if it was shorter.
        """
        counts = [
            [value for value in count.values() if type(value) is int]
            for count in self._counters()
        ]
        return counts.index(min(counts))

    def _counters(self) -> list[Fields]:
        return [
            {
                name: value.item() if isinstance(value, Tensor) else value
                for name, value in _flat(part)
                if not isinstance(value, Tensor) or value.dim() == 0
            }
            for part in self.parts
        ]

    def _value(self, name: str, column: list[Any], blank: object, probe: object) -> Any:
        if self.is_complex:
            column = list(map(as_pairs, column))
        kind = type(column[0])
        if any(type(value) is not kind for value in column):
            raise BeginsAnewError(f"the parts do not all have {name}")
        if not isinstance(column[0], Tensor):
            return column[self.least_stepped]
        if self._is_of_elements(column, blank, probe):
            return self._rearranged(column)
        if all(value.dim() == 0 for value in column) and self._is_counter(column[0]):
            return column[self.least_stepped].clone()
        shape = tuple(column[0].shape)
        raise BeginsAnewError(f"{name} of shape {shape} belongs to a tensor as a whole")

    def _is_of_elements(
        self, column: list[Tensor], blank: object, probe: object
    ) -> bool:
        # A tensor may have the shape of its parameter by chance, like the sides of a
        # square in SOAP: elementwise values have that of any parameter.
        pair = (2,) if self.is_complex else ()
        forms = [
            (blank, self.entry.shape),
            (probe, probe_shape(len(self.entry.shape))),
            *zip(
                column, [leaf.shape for leaf in source_entries(self.entry)], strict=True
            ),
        ]
        return all(
            isinstance(tensor, Tensor) and tuple(tensor.shape) == (*shape, *pair)
            for tensor, shape in forms
        )

    def _is_counter(self, tensor: Tensor) -> bool:
        """Return whether a number for a tensor remains valid for the computed one."""
        if not tensor.is_floating_point() and not tensor.is_complex():
            return True
        # A sum over all elements is the same in any order.
        leaves = source_entries(self.entry)
        return len(leaves) == 1 and _numel(leaves[0]) == _numel(self.entry)

    def _rearranged(self, column: list[Tensor]) -> Tensor:
        device = column[0].device
        tensors = {
            id(leaf): value.detach().to(device)
            for leaf, value in zip(source_entries(self.entry), column, strict=True)
        }
        with no_grad():
            if not self.is_complex:
                tensor = rearranged(self.entry, lambda leaf: tensors[id(leaf)])
                return tensor.clone(memory_format=torch.contiguous_format)
            tensor = rearranged(
                self.entry, lambda leaf: torch.view_as_complex(tensors[id(leaf)])
            )
            contiguous = tensor.clone(memory_format=torch.contiguous_format)
            return torch.view_as_real(contiguous)


def probe_shape(n_dims: int) -> tuple[int, ...]:
    """Return a small shape of ``n_dims`` dimensions, all of different sizes."""
    return tuple(range(2, 2 + n_dims))


def _as_fields(state: object) -> Fields:
    return {name: as_dicts(v) for name, v in fields_of_state(state).items()}


def _numel(entry: Entry) -> int:
    return torch.Size(entry.shape).numel()


def _flat(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in a nest, each with its path."""
    if not isinstance(value, dict | list | tuple):
        yield name, value
        return
    for key, item in _items(value):
        yield from _flat(item, f"{name}.{key}" if name else str(key))


def _nested(like: object, values: Fields, name: str = "") -> Any:
    """Return the nest ``like`` with the ``values`` by path, without missing ones."""
    if not isinstance(like, dict | list | tuple):
        return values[name]
    paths = {key: f"{name}.{key}" if name else str(key) for key, _ in _items(like)}
    nest = {
        key: _nested(item, values, paths[key])
        for key, item in _items(like)
        if isinstance(item, dict | list | tuple) or paths[key] in values
    }
    return nest if isinstance(like, dict) else type(like)(nest.values())


def _items(nest: Any) -> Any:
    return nest.items() if isinstance(nest, dict) else enumerate(nest)
