# pyright: reportPrivateUsage=false
# Torch's way to fill one module has no public name.
"""Checks whether stored values fit tensors, and their conversion."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ....config.process.interrupts import raise_of_signal
from ....records.entries.entry import Entry
from ....records.tensors.conversion import convert_loaded, misfit_of_dtype
from ....records.tensors.torch_internals import state_dict_reader, state_dict_version
from ...modules.tree import Places


def misfit(stored_entry: Entry, target: Entry, dtype: torch.dtype) -> str | None:
    """Return why ``stored_entry`` cannot be loaded into ``target``, or None."""
    if stored_entry.shape != target.shape:
        return f"found shape {stored_entry.shape}, expected {target.shape}"
    return misfit_of_dtype(stored_entry.dtype, dtype)


def convert_values(
    tensor: torch.Tensor, entry: Entry, dtype: torch.dtype
) -> torch.Tensor:
    """Return ``tensor`` converted to ``dtype``; itself if it has it already.

    Raises `PrecisionError` for a value that ``dtype`` cannot hold.
    """
    if tensor.dtype is dtype:
        return tensor
    out = torch.empty(tensor.shape, dtype=dtype, device=tensor.device)
    convert_loaded(tensor, out, entry.path)
    return out


class Resizing:
    """Asks the classes of modules, such as observers, which shapes buffers may have."""

    def __init__(self, places: Places, stored_entries: Mapping[str, Entry]) -> None:
        self._places, self._stored = places, stored_entries
        self._results: dict[str, Mapping[str, Tensor | None]] = {}

    def allows(self, target: Entry, stored_entry: Entry) -> bool:
        """Return whether the buffer ``target`` accepts the shape of ``stored_entry``.

        A quantizer that has seen no data has empty ranges, and torch fills it all the
        same, since its class allows it. This is tried on a copy.
        """
        if target.kind != "buffer" or target.ties:
            return False
        before, _, name = target.path.rpartition(".")
        prefix = f"{before}." if before else ""
        resized = self._filled_buffers(prefix, name).get(name)
        return resized is not None and tuple(resized.shape) == stored_entry.shape

    def _filled_buffers(self, prefix: str, name: str) -> Mapping[str, Tensor | None]:
        """Return the buffers of a filled copy of the module that has ``name``."""
        if prefix not in self._results:
            # A wrapper is at the path of the module it wraps.
            owners = (owner for path, owner in self._places if path == prefix)
            owner = next((o for o in owners if name in o._buffers), None)
            if owner is None:
                # A tensor inside a wrapper tensor, which only its class could resize.
                return {}
            self._results[prefix] = self._fill_copy(owner, prefix)
        return self._results[prefix]

    def _fill_copy(self, owner: nn.Module, prefix: str) -> Mapping[str, Tensor | None]:
        if state_dict_reader(type(owner)) is state_dict_reader(nn.Module):
            return {}
        names = [*owner._parameters, *owner._buffers]
        entries = {
            n: self._stored[prefix + n] for n in names if prefix + n in self._stored
        }
        errors: list[str] = []
        try:
            trial = copy.deepcopy(owner)
            values = {n: e.tensor().detach().clone() for n, e in entries.items()}
            version = {"version": state_dict_version(owner)}
            state_dict_reader(trial)(values, "", version, True, [], [], errors)
        except Exception as error:  # a class that refuses it accepts no other shape
            raise_of_signal(error)
            return {}
        return {} if errors else trial._buffers
