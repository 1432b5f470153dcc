"""The random generators of all processes of a run, stored together."""

from collections.abc import Mapping
from typing import Any, Self

from ...config.short_text import quantity
from ...records.errors import RecordMismatchError
from ...records.open import open_record
from ...records.processes.messages import gathered, n_processes, rank
from ..plain_records import record_of, value_of
from .rng import Generators

_PROCESSES = "processes"
"""The key of the states of several processes, in their order."""


def gathered_generators() -> dict[str, Any]:
    """Return the state of the generators of every process of the group, on each.

    For a single process it is its own, as in `Generators.state_dict`.
    """
    return gathered_states(Generators().state_dict())


def gathered_states(state: dict[str, Any]) -> dict[str, Any]:
    """Return ``state``, plain data, of every process of the group, on each.

    For a single process it is its own; `state_of_process` reads it.
    """
    if n_processes() == 1:
        return state
    states = gathered(record_of(state).save())
    return {_PROCESSES: [value_of(open_record(data)) for data in states]}


def state_of_process(stored_states: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return the state of this process in ``stored_states``.

    RecordMismatchError if it was saved by more processes than there are, or by fewer:
    two of them would draw the same numbers, or some would be lost.
    """
    states = stored_states.get(_PROCESSES, [stored_states])
    if len(states) != n_processes():
        raise RecordMismatchError(
            file,
            [
                "found the random generators of "
                f"{quantity(len(states), 'process', 'processes')}, expected "
                f"those of {n_processes()}, the number of processes now"
            ],
            "Start as many processes as before, or pass rng=False and seed each from "
            "its rank and the step.",
        )
    state: dict[str, Any] = states[rank()]
    return state


def state_of_first(stored_states: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state in ``stored_states`` of the first process that saved it."""
    state: dict[str, Any] = stored_states.get(_PROCESSES, [stored_states])[0]
    return state


class ProcessGenerators:
    """The random generators of every process of the group, as one stateful object.

    Each process restores its own.
    """

    def __init__(self, states: Mapping[str, Any] | None = None) -> None:
        self._states = states

    @classmethod
    def gathered(cls) -> Self:
        """Return their present states; every process of the group calls this."""
        return cls(gathered_generators())

    def state_dict(self) -> dict[str, Any]:
        """Return what was gathered; otherwise the state of this process alone."""
        if self._states is not None:
            return dict(self._states)
        state = Generators().state_dict()
        states = [state if i == rank() else {} for i in range(n_processes())]
        return state if n_processes() == 1 else {_PROCESSES: states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the generators of this process.

        RecordMismatchError if there were more processes, or fewer.
        """
        Generators().load_state_dict(state_of_process(state_dict, "rng"))
