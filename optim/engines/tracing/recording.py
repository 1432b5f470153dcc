"""Recording: a step for one tensor, run on stand-ins, becomes a list of operations.

The operations are the key of a compiled program; the numbers among them (learning
rate, bias corrections) are kept apart, so that schedules never compile anything.
"""

from sys import getrefcount
from typing import Any

import torch

from ....config.process.interrupts import raise_of_signal
from ....config.short_text import with_article

Op = tuple[Any, ...]
"""``(name, *arguments)``: a value's number, or ``~i`` for constant number ``i``."""


class NotElementwise(Exception):
    """The step does what cannot be done one element at a time; it runs as written."""


class ImpureStepError(TypeError):
    """A step changed one of its arguments, or returned what does not fit."""


def another_state(returned: object, expected: type) -> ImpureStepError:
    """Return the error of a step whose state is of another class than ``expected``."""
    cls = type(returned)
    problem = (
        f"step() returns {with_article(cls.__name__)} as state, but it came as "
        f"{with_article(expected.__name__)}"
    )
    if (cls.__module__, cls.__qualname__) != (
        expected.__module__,
        expected.__qualname__,
    ):
        return ImpureStepError(problem)
    return ImpureStepError(
        f"{problem} defined earlier: the class was defined again after the optimizer "
        "was bound, for example by running a notebook cell again. Bind it again, and "
        "load the record of the old one"
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
        """Whether a number was a tensor, which is one to parameters of some shapes."""
        self.inputs: list[Any] = []
        """The stand-ins of the inputs."""
        self.pool: list[Any] = []
        """Those of the values behind the fixed ones, for the next recording."""
        self.head: Any = None
        """What each recording begins with, where that is always the same."""
        self.clones: list[Any] = []
        """The stand-ins of this recording that share a value with another."""
        self.lent: list[tuple[Any, int]] = []
        """The stand-ins that serve each recording, and what they stand for."""
        self.counts: list[int] = []
        """How often those were referred to before a step first saw them."""
        self.shared = set[int]()
        """Values that two tensors may have in common, or each for itself."""

    def open(self) -> None:
        """Let the stand-ins that serve each recording stand for their values again."""
        for alias, number in self.lent:
            alias.id = number

    def lend(self, head_values: list[Any]) -> None:
        """Let the inputs serve each recording, and what the head made."""
        # Where nothing is converted, the head lends an input.
        ours = [a for a in head_values if type(a) is type(self.inputs[0])]
        aliases = {id(alias): alias for alias in (*self.inputs, *ours)}
        self.lent = [(alias, alias.id) for alias in aliases.values()]

    def count_references(self) -> None:
        """Note how often what serves each recording is referred to before a step."""
        self.counts = self._references()

    def has_kept_inputs(self) -> bool:
        """Return whether a step has kept a stand-in that serves the next recording.

        It would stand for the new value there, and not for the one that was kept.
        """
        return self._references() != self.counts

    def _references(self) -> list[int]:
        return [getrefcount(pair[0]) for pair in self.lent]

    def withdraw(self) -> None:
        """Let what serves each recording stand for nothing until the next one."""
        try:  # every step comes here, and suppress() costs more
            for alias, _ in self.lent:
                del alias.id
        except AttributeError:
            pass

    def close(self) -> None:
        """Let what the step kept of this recording stand for nothing in a later one.

        Its values have numbers that mean others there, or in that of another bucket.
        """
        # An interrupt may have come between a value and its stand-in.
        try:  # every step comes here, and suppress() costs more
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
        """Forget what was recorded, the head too; the inputs stay."""
        if self.head is not None:
            self.head, self.pool, self.n_fixed = None, [], self.n_inputs
            self.counts = []  # as of stand-ins that are kept: the head had some
        self.rewind([])

    def fix(self, head: Any) -> None:
        """Let recordings begin with what was recorded up to now, which is ``head``."""
        self.head, self.pool, self.n_fixed = head, [], len(self.dtypes)

    def rewind(self, ops: list[Op]) -> None:
        """Forget what was recorded behind the fixed values, which ``ops`` give."""
        # The lists are new ones: the last trace holds those, and an engine compares
        # them with the next. The dtypes are cut, so its key is good until now only.
        self.ops = [*ops]
        self.constants = []
        del self.dtypes[self.n_fixed :]
        self.reads_shape = self.has_tensors = False
        if self.shared:
            self.shared.clear()

    def constant(self, value: Any) -> int:
        """Keep a number apart and return how an operation refers to it."""
        if type(value) is not float:
            if isinstance(value, torch.Tensor):
                self._require_like_a_number()
            value = _number(value)
        # Equal numbers stay apart: they may differ at the next step, and then the
        # operations, which are the key of programs, would differ too.
        constants = self.constants
        constants.append(value)
        return -len(constants)

    def _require_like_a_number(self) -> None:
        """Raise NotElementwise where a tensor's number would give something else."""
        # Between two tensors without dimensions the wider dtype wins; beside a half
        # precision one is rounded to that at some places and not at others.
        self.has_tensors = True
        if self.like.ndim == 0 or any(d.itemsize == 2 for d in self.dtypes):
            raise NotElementwise("it computes with a tensor of its own")


_EXACT = 2**53
"""Integers up to here are floats."""


def _number(value: Any) -> float:
    if isinstance(value, complex | str):
        raise NotElementwise("it mixes tensors of its own with the parameter's")
    if isinstance(value, torch.Tensor) and (value.ndim or value.device.type != "cpu"):
        raise NotElementwise("it uses a tensor that is neither argument nor state")
    if isinstance(value, int) and abs(value) > _EXACT:
        raise NotElementwise("it computes with an integer that a float cannot hold")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise_of_signal(error)
        raise NotElementwise(f"it computes with {value!r:.40}") from None
