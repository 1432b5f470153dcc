"""The random generators of the process: kept, and put back."""

import random
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def forked(seed: int) -> Generator[None]:
    """Run with generators seeded anew, and leave them as they were.

    With another ``seed`` each time, constructors that depend on chance show it.
    """
    put_back = kept()
    random.seed(seed)
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        put_back()


def drawn_so_far() -> tuple[Any, ...]:
    """Return what differs once Python or numpy has drawn a number.

    Torch's draws are left out: values of buffers come from them, and may.
    """
    numpy: Any = sys.modules.get("numpy.random")
    state = () if numpy is None else numpy.get_state()
    return (
        random.getstate(),
        tuple(map(str, state[2:])),
        bytes(state[1] if state else b""),
    )


def kept() -> Callable[[], None]:
    """Return what puts all generators back to where they are now."""
    python, host = random.getstate(), torch.get_rng_state()
    numpy: Any = sys.modules.get("numpy.random")
    numpys = None if numpy is None else numpy.get_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]  # torch declares nothing

    def put_back() -> None:
        random.setstate(python)
        torch.set_rng_state(host)
        if numpy is not None:
            numpy.set_state(numpys)
        if devices:
            torch.cuda.set_rng_state_all(devices)

    return put_back
