"""Renewals: the number of master elements initialized again after weights changed."""

import torch
from torch import Tensor

from ...records.tensors.shares import own_share
from .tracing.extended_state import n_renewed


class Renewals:
    """Counts weights that are no longer the rounding of their master, as steps run.

    The counts stay on the devices of the weights: a step never waits for one.
    """

    def __init__(self) -> None:
        self._counts: dict[torch.device, Tensor] = {}

    def compare(self, weight: Tensor, master: Tensor) -> None:
        """Count the elements of ``weight`` that are not the rounding of ``master``."""
        # Processes write in different orders: torch.equal of whole tensors would wait
        # for the others.
        weight, master = own_share(weight), own_share(master)
        # Nearly always all are equal, which a single pass over the values shows.
        if not (weight.is_cpu and torch.equal(master.to(weight.dtype), weight)):
            self._count(weight, master)

    def renew(self, weight: Tensor, master: Tensor, room: Tensor) -> None:
        """Count as `compare` does, and initialize again what is not a rounding.

        The tensors are on the CPU; ``room`` has the form of ``weight`` and is
        overwritten.
        """
        rounding = room.copy_(master)
        if torch.equal(rounding, weight):
            return
        self._count(weight, master)
        is_rounding = rounding == weight
        master.copy_(torch.where(is_rounding, master, weight.to(master.dtype)))

    def _count(self, weight: Tensor, master: Tensor) -> None:
        self.counter(weight.device).add_(n_renewed(weight, master))

    def counter(self, device: torch.device) -> Tensor:
        """Return the count of a device, one integer, for code that counts itself."""
        if device not in self._counts:
            self._counts[device] = torch.zeros((), dtype=torch.int64, device=device)
        return self._counts[device]

    def total(self) -> int:
        """Return the count of all devices."""
        return sum(int(count) for count in self._counts.values())
