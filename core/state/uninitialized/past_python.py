"""Prevents code outside of Python from computing with a blank.

Torch before 2.8 has no dtype whose elements can only be moved: TorchScript or a C++
extension would get numbers for a parameter that has no values yet.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from ....config.process.interrupts import raise_of_signal
from ....records.tensors.torch_internals import TorchDispatchMode, without_subclasses
from .modes import call_under, in_force
from .tape import BLANK, BLANK_TENSOR

T = TypeVar("T")


@contextmanager
def blanks_guarded() -> Generator[None]:
    """Make torch raise an error for anything it would compute from a blank."""
    if not TORCH_COMPUTES:
        yield
        return
    with in_force(_Guard()):  # type: ignore[no-untyped-call]  # torch declares nothing
        yield


def call_guarded(function: Callable[[], T]) -> T:
    """Call ``function`` as in a block of `blanks_guarded`: where torch computes."""
    return call_under(_Guard(), function)  # type: ignore[no-untyped-call]  # torch declares nothing


class _Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch declares nothing
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # An unfilled tensor must not see this call: it would be filled, and strides
        # requested from the blank would show a single element everywhere.
        with without_subclasses():
            takes_blank = any(map(_is_blank, (*args, *kwargs.values())))
            if not takes_blank:
                return func(*args, **kwargs)
            # Conversions count as views, since they may return their argument.
            if func.is_view and _is_blank(result := func(*args, **kwargs)):
                return result
        raise NotImplementedError(
            f"{func} needs the values of a parameter that has none yet"
        )


def _is_blank(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_blank, value))
    return isinstance(value, torch.Tensor) and _dtype_of(value) is BLANK


def _computes() -> bool:
    try:
        BLANK_TENSOR.to(torch.float32)
    except (RuntimeError, NotImplementedError) as error:
        raise_of_signal(error)
        return False
    return True


TORCH_COMPUTES = _computes()
"""Whether a build is guarded, since torch would compute from a blank."""

_dtype_of: Any = torch.Tensor.dtype.__get__  # type: ignore[attr-defined]  # past the property of an unfilled one
