"""The random generators of the process: torch's, numpy's and Python's."""

import random
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from ...config.process.user_warning import warn_user
from ...config.short_text import quantity


class Generators:
    """All global generators, as one stateful object.

    Accelerators that the process has used are included, with each of their devices.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every generator, as plain data."""
        state: dict[str, Any] = {
            "python": random.getstate(),
            "torch": torch.get_rng_state(),
        }
        if "numpy" in sys.modules:
            import numpy as np

            state["numpy"] = np.random.get_state()
        for name, module in _used_accelerators():
            state[name] = module.get_rng_state_all()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore every generator; warn of a device that is gone."""
        version, words, gauss = state_dict["python"]
        random.setstate((version, tuple(words), gauss))
        torch.set_rng_state(state_dict["torch"])
        if "numpy" in state_dict:
            import numpy as np

            np.random.set_state(state_dict["numpy"])
        for name in state_dict.keys() - {"python", "torch", "numpy"}:
            self._load_accelerator(name, state_dict[name])

    def _load_accelerator(self, name: str, states: list[torch.Tensor]) -> None:
        module = getattr(torch, name, None)
        if module is None or not module.is_available():
            lost = "is not available here"
        elif module.device_count() != len(states):
            before = quantity(len(states), "device")
            lost = f"had {before} and now has {module.device_count()}"
        else:
            module.set_rng_state_all(states)
            return
        warn_user(
            f"{name} {lost}: its random generators were not restored, so the "
            "run will differ from an uninterrupted one",
            RuntimeWarning,
        )


@contextmanager
def restored_generators(*, if_it_raises: bool = False) -> Generator[None]:
    """Restore each generator after the block, or only if that raises."""
    generators = Generators()
    before = generators.state_dict()
    try:
        yield
    except BaseException:
        generators.load_state_dict(before)
        raise
    if not if_it_raises:
        generators.load_state_dict(before)


def _used_accelerators() -> list[tuple[str, Any]]:
    modules: list[tuple[str, Any]] = [
        (name, getattr(torch, name, None)) for name in ("cuda", "xpu")
    ]
    # An unused accelerator is seeded as the resumed program will seed it.
    return [
        (name, module)
        for name, module in modules
        if module is not None and module.is_available() and module.is_initialized()
    ]
