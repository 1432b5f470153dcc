# pyright: reportPrivateUsage=false
# What stands on a memory is known to its tape alone.
"""Tape: the initializer calls that one memory waits for, and who stands on it.

Below it are what such memory must be, and the blank that stands for it meanwhile.
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
"""Which call of the build it is, what is called, and on what."""


class BuildOfTapes(Protocol):
    """The build that a tape is part of: it numbers calls, and knows all tapes."""

    waiting: "list[Tape]"
    n_noted: int

    def skip_draw(self) -> None:
        """Take note that a random call waits."""

    def view(self, body: Tensor, tape: "Tape") -> Tensor:
        """Return ``body``, memory of another tensor, as one that stands on ``tape``."""
        raise NotImplementedError

    def play(self) -> None:
        """Make the calls of all tapes, in the order in which they were noted."""

    def show_values(self) -> None:
        """Take note that somebody asks for values now."""


class Shell(Protocol):
    """A tensor that stands on the memory of a tape, until it is plain."""

    plain: ClassVar[type[Tensor]]
    data: Tensor
    _body: Tensor
    _tape: "Tape"


class Tape:
    """The initializer calls that one memory still waits for, and who stands on it."""

    __slots__ = ("body", "build", "has_views", "is_random", "shells", "steps")

    def __init__(self, build: BuildOfTapes, body: Tensor) -> None:
        self.build = build
        self.body = body
        self.steps: list[Step] = []
        self.shells: list[Shell] = []
        self.is_random = False
        self.has_views = False
        """Whether a step may be one of another tensor than the body."""

    def note(
        self, function: Function, body: Tensor, args: Any, kwargs: dict[str, Any]
    ) -> None:
        """Put a call on the tape."""
        build = self.build
        if not self.steps:
            build.waiting.append(self)
        build.n_noted += 1
        if function in RANDOM:
            self.is_random = True
            # A seed that was set meanwhile shows now; once others drew, it would not.
            build.skip_draw()
        if body is not self.body:
            self.has_views = True
        self.steps.append((build.n_noted, function, body, args, kwargs))

    def play(self) -> None:
        """Make the calls; with the draws that they would have made in their turn."""
        # Draws share one generator: if this tape drew before those that were noted
        # earlier, each would get the other's numbers. So all tapes are played.
        if self.is_random and self.steps:
            self.build.play()
        else:
            self.play_alone()

    def play_alone(self) -> None:
        """Make the calls in the order in which they were noted."""
        # Emptied first: a call that raises must not be made again by the next reader.
        steps, self.steps = self.steps, []
        run(steps)

    def close(self) -> None:
        """Make the calls, and let all that stands on the memory be plain."""
        self.build.show_values()
        if self.steps:
            self.play()
        self.uncover()

    def uncover(self) -> None:
        """Let all that stands on the memory be plain; its values may be missing."""
        shells, self.shells = self.shells, []
        for shell in shells:
            body = shell._body
            del shell._body, shell._tape
            # The class goes first: an unfilled tensor would close its tape upon this.
            shell.__class__ = shell.plain  # type: ignore[assignment]  # no longer unfilled
            shell.data = body

    def n_bodies(self) -> int:
        """Return how many tensors over the memory the tape itself holds."""
        other_bodies = {
            id(body) for _, _, body, _, _ in self.steps if body is not self.body
        }
        return 1 + len(other_bodies)


def run(steps: Iterable[Step]) -> None:
    """Make calls that were noted, as their initializers make them."""
    with no_grad():
        for _, function, body, args, kwargs in steps:
            function(body, *args, **kwargs)


def is_ordinary(data: Tensor) -> bool:
    """Return whether ``data`` is a plain tensor with values in a memory of strides."""
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
    """Return whether ``n_tensors`` are all that stand on the memory of ``data``.

    Memory that torch cannot resize is another's: numpy's, a file's, a process's.
    """
    return n_tensors_on(data) == n_tensors and data.untyped_storage().resizable()


def _blank() -> Tensor:
    """Return an element of a dtype with which torch computes least; NaN if it does."""
    # Torch before 2.8 lacks the dtype of which it only moves elements, and computes
    # with this one: `past_python` keeps it from doing so.
    dtype = getattr(torch, "float4_e2m1fn_x2", torch.float8_e5m2)
    return torch.full((), 0x7F, dtype=torch.uint8).view(dtype)


BLANK_TENSOR = _blank()
BLANK = BLANK_TENSOR.dtype
"""The dtype that an unfilled tensor has for code past Python."""
