"""Torch's grad mode for a block, restored whatever interrupts it."""

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def no_grad() -> Generator[None]:
    """Record nothing for autograd in the block, as `torch.no_grad` does.

    That one stays active if Ctrl-C comes at its end, and the program would continue
    without gradients.
    """
    if not torch.is_grad_enabled():
        # The outer block restores it. A block that Ctrl-C left without its end is ended
        # later than the outer ones, and would turn off again what they turned on.
        yield
        return
    # An interrupt may replace one of the two calls; the other is still made.
    try:
        try:
            torch.set_grad_enabled(False)
            yield
        finally:
            torch.set_grad_enabled(True)
    finally:
        torch.set_grad_enabled(True)


@contextmanager
def grad_mode_after_errors() -> Generator[None]:
    """Restore the grad mode if an exception ends the block.

    Torch's initializers turn it off for a moment, and a Ctrl-C at the end of that
    moment leaves it off.
    """
    before = torch.is_grad_enabled()
    try:
        yield
    except BaseException:
        torch.set_grad_enabled(before)
        raise


@contextmanager
def ordinary_tensors() -> Generator[None]:
    """Create tensors that autograd accepts, even inside `torch.inference_mode`."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    # Leaving inference mode turns the grad mode on.
    with torch.inference_mode(False), no_grad():
        yield
