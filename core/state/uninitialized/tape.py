# pyright: reportPrivateUsage=false
# What stands on a memory is known to its tape alone.
"""Tape: the initializer calls that one memory waits for, and the tensors that use it.

Below are the conditions for such memory, and the blank that represents it meanwhile.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor

from ....records.tensors.grad_mode import no_grad
from ....records.tensors.torch_internals import (
    have_one_implementation,
    n_tensors_on,
)
from .tensor_functions import RANDOM, Function

Step: TypeAlias = tuple[int, Function, Tensor, tuple[Any, ...], dict[str, Any]]
"""The call's number in the build, what is called, and on which tensor."""


class BuildOfTapes(Protocol):
    """The build that a tape belongs to: it numbers calls, and knows all tapes."""

    waiting: "list[Tape]"
    n_noted: int

    def skip_draw(self) -> None:
        """Record that a random call waits."""

    def view(self, body: Tensor, tape: "Tape") -> Tensor:
        """Return ``body``, in the memory of another tensor, as one on ``tape``."""
        raise NotImplementedError

    def play(self) -> None:
        """Make the calls of all tapes, in the order in which they were recorded."""

    def show_values(self) -> None:
        """Record that values are needed now."""


class Shell(Protocol):
    """A tensor that uses the memory of a tape, until it is plain."""

    plain: ClassVar[type[Tensor]]
    data: Tensor
    _body: Tensor
    _tape: "Tape"


class Tape:
    """The initializer calls that one memory waits for, and the tensors that use it."""

    __slots__ = ("body", "build", "has_views", "is_random", "shells", "steps")

    def __init__(self, build: BuildOfTapes, body: Tensor) -> None:
        self.build = build
        self.body = body
        self.steps: list[Step] = []
        self.shells: list[Shell] = []
        self.is_random = False
        self.has_views = False
        """Whether a call may be on a tensor other than the body."""

    def note(
        self, function: Function, body: Tensor, args: Any, kwargs: dict[str, Any]
    ) -> None:
        """Record a call on the tape."""
        build = self.build
        if not self.steps:
            build.waiting.append(self)
        build.n_noted += 1
        if function in RANDOM:
            self.is_random = True
            # A seed that was set meanwhile is detected now; after other draws it would
            # not be.
            build.skip_draw()
        if body is not self.body:
            self.has_views = True
        self.steps.append((build.n_noted, function, body, args, kwargs))

    def play(self) -> None:
        """Make the calls, with the random numbers that they would have got in order."""
        # Draws share one generator: if this tape drew before those that were recorded
        # earlier, each would get the other's numbers. So all tapes are played.
        if self.is_random and self.steps:
            self.build.play()
        else:
            self.play_alone()

    def play_alone(self) -> None:
        """Make the calls in the order in which they were recorded."""
        # Emptied first: a call that raises must not be made again by the next reader.
        steps, self.steps = self.steps, []
        run(steps)

    def close(self) -> None:
        """Make the calls, and make all tensors on the memory plain."""
        self.build.show_values()
        if self.steps:
            self.play()
        self.uncover()

    def uncover(self) -> None:
        """Make all tensors on the memory plain; their values may be missing."""
        shells, self.shells = self.shells, []
        for shell in shells:
            body = shell._body
            del shell._body, shell._tape
            # The class changes first, since an unfilled tensor would close its tape.
            shell.__class__ = shell.plain  # type: ignore[assignment]  # no longer unfilled
            shell.data = body

    def n_bodies(self) -> int:
        """Return the number of tensors over the memory that the tape itself holds."""
        other_bodies = {
            id(body) for _, _, body, _, _ in self.steps if body is not self.body
        }
        return 1 + len(other_bodies)


def run(steps: Iterable[Step]) -> None:
    """Make recorded calls, as their initializers make them."""
    with no_grad():
        for _, function, body, args, kwargs in steps:
            function(body, *args, **kwargs)


def is_ordinary(data: Tensor) -> bool:
    """Return whether ``data`` is a plain strided tensor with values."""
    return (
        data.layout is torch.strided
        and data.numel() > 0
        and not data.requires_grad
        and not data.is_meta
        and not data.is_inference()
        and not data.is_neg()
        and not data.is_conj()
        and (data.is_cpu or have_one_implementation(BLANK_TENSOR, data))
    )


def stands_alone(data: Tensor, n_tensors: int) -> bool:
    """Return whether the memory of ``data`` is used by ``n_tensors`` tensors alone.

    Memory that torch cannot resize belongs to numpy, a file or another process.
    """
    return n_tensors_on(data) == n_tensors and data.untyped_storage().resizable()


def _blank() -> Tensor:
    """Return an element of a dtype that torch cannot compute with, or NaN."""
    # Torch before 2.8 lacks a dtype whose elements can only be moved, and computes with
    # this one: `past_python` prevents that.
    dtype = getattr(torch, "float4_e2m1fn_x2", torch.float8_e5m2)
    return torch.full((), 0x7F, dtype=torch.uint8).view(dtype)


BLANK_TENSOR = _blank()
BLANK = BLANK_TENSOR.dtype
"""The dtype that code outside of Python sees of an unfilled tensor."""
