# pyright: reportPrivateUsage=false
# What stands on a memory is known to its tape alone.
"""Tape: the initializer calls that one memory waits for, and who stands on it."""

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, TypeAlias

from torch import Tensor

from ....records.tensors.grad_mode import no_grad
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
