"""Random generators, kept unchanged while a step is only tried."""

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ....records.tensors.torch_internals import without_dispatch_modes


class GeneratorWatch:
    """The saved states of the generators, and whether numbers were drawn since."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.before = self._states()

    def _states(self) -> tuple[Any, ...]:
        kind = self.device.type
        device_module = (
            getattr(torch, kind, None) if kind not in ("cpu", "meta") else None
        )
        is_there = device_module is not None and device_module.is_available()
        read = getattr(device_module, "get_rng_state", None) if is_there else None
        numpy: Any = np.random.get_state()
        # A mode that fakes tensors would fake the states of the generators.
        with without_dispatch_modes():
            cpu = bytes(torch.get_rng_state().numpy())
            of_device = None if read is None else bytes(read(self.device).tolist())
        return random.getstate(), numpy, cpu, of_device

    def has_drawn(self) -> bool:
        """Return whether a generator has advanced."""
        python, numpy, *torch_states = self._states()
        was, was_numpy, *torch_states_before = self.before
        same_numpy = numpy[2:] == was_numpy[2:] and bool(
            (numpy[1] == was_numpy[1]).all()
        )
        return python != was or torch_states != torch_states_before or not same_numpy

    def restore(self) -> None:
        """Restore the generators."""
        python, numpy, cpu, of_device = self.before
        random.setstate(python)
        np.random.set_state(numpy)
        with without_dispatch_modes():
            torch.set_rng_state(_tensor(cpu))
            if of_device is not None:
                module = getattr(torch, self.device.type)
                module.set_rng_state(_tensor(of_device), self.device)


def _tensor(state: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(state), dtype=torch.uint8)


@contextmanager
def watched_generators(device: torch.device) -> Generator[GeneratorWatch]:
    """Restore the generators of Python, numpy, torch and ``device`` at the end."""
    watch = GeneratorWatch(device)
    try:
        yield watch
    finally:
        watch.restore()
