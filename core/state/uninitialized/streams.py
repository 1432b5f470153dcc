"""The states of the process's random generators, saved and restored."""

import importlib
import random
import sys
from typing import Any

import torch


class Streams:
    """The states of all random generators at one moment."""

    def __init__(self) -> None:
        self._torch = _states()
        self._python = random.getstate()
        numpy = numpy_random()
        self._numpy = None if numpy is None else numpy.get_state()

    def have_moved(self) -> bool:
        """Return whether torch's generators are in another state now."""
        now = _states()
        return len(now) != len(self._torch) or not all(
            map(torch.equal, now, self._torch)
        )

    def restore(self) -> None:
        """Restore the states of all generators."""
        host, *devices = self._torch
        torch.default_generator.set_state(host)
        if devices:
            torch.cuda.set_rng_state_all(devices)
        random.setstate(self._python)
        if self._numpy is not None:
            numpy_random().set_state(self._numpy)


def numpy_random() -> Any:
    """Return the module of numpy's generator, None in programs without numpy.

    Waits for another thread that is importing it.
    """
    name = "numpy.random"
    return importlib.import_module(name) if sys.modules.get(name) else None


def _states() -> list[torch.Tensor]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]  # torch declares nothing
    return [torch.default_generator.get_state(), *devices]
