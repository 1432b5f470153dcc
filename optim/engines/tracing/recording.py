"""Recording: a step for one tensor, run on stand-ins, becomes a list of operations.

The operations are the key of a compiled program; the numbers among them (learning rate,
bias corrections) are stored separately, so that schedules never cause a compilation.
"""

from sys import getrefcount
from typing import Any

import torch

from ....config.process.interrupts import raise_of_signal
from ....config.short_text import with_article

Op = tuple[Any, ...]
"""``(name, *arguments)``: a value's number, or ``~i`` for constant number ``i``."""


class NotElementwise(Exception):
    """The step is not elementwise, and runs as written."""


class ImpureStepError(TypeError):
    """A step changed one of its arguments, or returned an invalid result."""


def another_state(returned: object, expected: type) -> ImpureStepError:
    """Return the error for a step whose state is of another class than ``expected``."""
    cls = type(returned)
    problem = (
        f"step() returns {with_article(cls.__name__)} as state, but was called "
        f"with {with_article(expected.__name__)}"
    )
    if (cls.__module__, cls.__qualname__) != (
        expected.__module__,
        expected.__qualname__,
    ):
        return ImpureStepError(problem)
    return ImpureStepError(
        f"{problem} defined earlier: the class was defined again after the "
        "optimizer was bound, for example by running a notebook cell again. "
        "Bind the optimizer again, and load the record of the old one"
    )


class Recording:
    """The operations of one step, in order; value ``i`` is input ``i`` or an op's."""

    __slots__ = (
        "clones",
        "constants",
        "counts",
        "dtypes",
        "has_tensors",
        "head",
        "inputs",
        "lent",
        "like",
        "n_fixed",
        "n_inputs",
        "names",
        "ops",
        "pool",
        "reads_shape",
        "shared",
    )

    def __init__(
        self,
        names: tuple[str, ...],
        dtypes: tuple[torch.dtype, ...],
        like: torch.Tensor,
    ) -> None:
        self.ops: list[Op] = []
        self.constants: list[float] = []
        self.dtypes = list(dtypes)
        self.names = names
        self.like = like
        self.n_inputs = self.n_fixed = len(dtypes)
        self.reads_shape = False
        self.has_tensors = False
        """Whether a number was read from a tensor, which some shapes allow."""
        self.inputs: list[Any] = []
        """The stand-ins of the inputs."""
        self.pool: list[Any] = []
        """The stand-ins of the values after the fixed ones, for the next recording."""
        self.head: Any = None
        """The common beginning of all recordings, if there is one."""
        self.clones: list[Any] = []
        """The stand-ins of this recording that share a value with another."""
        self.lent: list[tuple[Any, int]] = []
        """The stand-ins reused in each recording, and the values they represent."""
        self.counts: list[int] = []
        """Their reference counts before a step first saw them."""
        self.shared = set[int]()
        """Values that two tensors may share, or have separately."""

    def open(self) -> None:
        """Let the reused stand-ins represent their values again."""
        for alias, number in self.lent:
            alias.id = number

    def lend(self, head_values: list[Any]) -> None:
        """Reuse the inputs, and the results of the head, in each recording."""
        # If nothing is converted, the head shares an input.
        ours = [a for a in head_values if type(a) is type(self.inputs[0])]
        aliases = {id(alias): alias for alias in (*self.inputs, *ours)}
        self.lent = [(alias, alias.id) for alias in aliases.values()]

    def count_references(self) -> None:
        """Measure the reference counts of the reused stand-ins before a step."""
        self.counts = self._references()

    def has_kept_inputs(self) -> bool:
        """Return whether a step has kept a stand-in that the next recording reuses.

        It would represent the new value there, and not the one that was kept.
        """
        return self._references() != self.counts

    def _references(self) -> list[int]:
        return [getrefcount(pair[0]) for pair in self.lent]

    def withdraw(self) -> None:
        """Let the reused stand-ins represent nothing until the next recording."""
        try:  # this runs at every step, and suppress() is slower
            for alias, _ in self.lent:
                del alias.id
        except AttributeError:
            pass

    def close(self) -> None:
        """Make stand-ins of this recording that the step kept invalid in later ones.

        The numbers of its values mean others there, or in that of another bucket.
        """
        # An interrupt may have come between a value and its stand-in.
        try:  # this runs at every step, and suppress() is slower
            for alias in self.clones:
                del alias.id
            for alias in self.pool[: len(self.dtypes) - self.n_fixed]:
                del alias.id
        except AttributeError:
            pass
        if self.clones:
            self.clones = []
        self.withdraw()

    def clear(self) -> None:
        """Discard the recording, including the head; the inputs are kept."""
        if self.head is not None:
            self.head, self.pool, self.n_fixed = None, [], self.n_inputs
            self.counts = []  # as for stand-ins that were kept: the head had some
        self.rewind([])

    def fix(self, head: Any) -> None:
        """Let recordings begin with the present one, which is ``head``."""
        self.head, self.pool, self.n_fixed = head, [], len(self.dtypes)

    def rewind(self, ops: list[Op]) -> None:
        """Discard what was recorded after the fixed values, which ``ops`` return."""
        # The lists are new ones: the last trace holds the old ones, and an engine
        # compares them with the next. The dtypes are cut in place, so the key of the
        # old trace is invalid now.
        self.ops = [*ops]
        self.constants = []
        del self.dtypes[self.n_fixed :]
        self.reads_shape = self.has_tensors = False
        if self.shared:
            self.shared.clear()

    def constant(self, value: Any) -> int:
        """Store a number separately and return an operation's reference to it."""
        if type(value) is not float:
            if isinstance(value, torch.Tensor):
                self._require_like_a_number()
            value = _number(value)
        # Equal numbers are stored separately: they may differ at the next step, and
        # then the operations, which are the key of programs, would differ too.
        constants = self.constants
        constants.append(value)
        return -len(constants)

    def _require_like_a_number(self) -> None:
        """Raise NotElementwise if the number of a tensor would give another result."""
        # Between two tensors without dimensions the wider dtype wins; beside a half
        # precision one is rounded to it in some operations and not in others.
        self.has_tensors = True
        if self.like.ndim == 0 or any(d.itemsize == 2 for d in self.dtypes):
            raise NotElementwise("it computes with a tensor that it creates")


_EXACT = 2**53
"""Integers up to this are exact as floats."""


def _number(value: Any) -> float:
    if isinstance(value, complex | str):
        raise NotElementwise("it mixes tensors that it creates with the parameter's")
    if isinstance(value, torch.Tensor) and (value.ndim or value.device.type != "cpu"):
        raise NotElementwise("it uses a tensor that is neither argument nor state")
    if isinstance(value, int) and abs(value) > _EXACT:
        raise NotElementwise("it computes with an integer that a float cannot hold")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise_of_signal(error)
        raise NotElementwise(f"it computes with {value!r:.40}") from None
