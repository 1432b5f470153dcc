"""The random generators of the process: kept, and put back."""

import random
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from ...config.interrupts import call_with_end
from ..state.streams import Streams

T = TypeVar("T")


def call_forked(seed: int, function: Callable[[], T]) -> T:
    """Call ``function`` with generators seeded anew, and leave them as they were.

    With another ``seed`` each time, constructors that depend on chance show it.
    """
    before = Streams()

    def run() -> T:
        random.seed(seed)
        numpy: Any = sys.modules.get("numpy.random")
        if numpy is not None:
            numpy.seed(seed)
        torch.default_generator.manual_seed(seed)
        return function()

    return call_with_end(run, before.restore)


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
