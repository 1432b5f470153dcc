"""TakenStates: stored states converted to those of present parameters, all checked."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...config.process.interrupts import raise_of_signal
from ...config.short_text import first_names
from ...records.entries.entry import Param
from ...records.report import LoadReport
from ..bound.bound_state import BoundState
from ..bound.initial_states import States
from ..bound.state_check import left_out, narrowed
from .matching import ComputedMatch, Matching, StoredMatch
from .rearranged_state import BeginsAnewError, RearrangedState, probe_shape
from .record_types import OptimizerRecord, ParamState, optimizer_description


class TakenStates:
    """The states that a load will set in place of all others, and their problems."""

    def __init__(self, bound: BoundState, record: OptimizerRecord) -> None:
        self.bound, self.record = bound, record
        self.states: States = {}
        self.loaded: list[str] = []
        """The paths of the parameters that have one."""
        self.problems: list[str] = []
        self.misfits: list[str] = []
        """The stored paths of states that do not fit."""
        self.dropped: dict[str, list[str]] = {}
        """What was kept for weights and has no place here, by path."""
        self.narrow: dict[str, str] = {}
        """Fields with less precision than an initial state here, by path."""
        self._group_of = bound.group_of_params()
        self._beside: Mapping[str, Any] = optimizer_description(record).get(
            "beside", {}
        )

    @classmethod
    def of(
        cls,
        bound: BoundState,
        record: OptimizerRecord,
        matching: Matching,
        report: LoadReport,
    ) -> Self:
        """Return everything ``matching`` found; ``report`` lists initialized states."""
        states = cls(bound, record)
        for match in matching.stored:
            states._add_stored(match)
        for computed in matching.computed:
            states._add_computed(computed, report)
        return states

    def _add_stored(self, match: StoredMatch) -> None:
        """Add the state of a parameter that was stored unchanged."""
        param, state = match.param, match.state
        kind, bound_kind = self.record.groups[state.group].kind, self._kind_of(param)
        if kind != bound_kind:
            self.problems.append(
                f"{param.path}: found the state of {kind}, but this optimizer steps "
                f"it with {bound_kind}"
            )
            return
        extras = self._beside.get(str(state.group), ())
        self._add(param, state.path, state.values, extras)

    def _add_computed(self, match: ComputedMatch, report: LoadReport) -> None:
        """Add what rules compute from several states; mention it in ``report``."""
        param = match.param
        origin = f"{param.path}: built from {first_names(match.origins, 4)}"
        try:
            state = self._rearranged(match)
            fields = state.fields()
        except BeginsAnewError as error:
            report.missing.append(param.path)
            report.changed.append(f"{origin}; its state starts from scratch: {error}")
            return
        for name, counts in state.differing().items():
            least = counts[state.least_stepped]
            report.changed.append(
                f"{origin}, whose {name} differ ({', '.join(map(str, counts))}): "
                f"continues with {least}"
            )
        report.derived[param.path] = match.origins
        self._add(param, match.origins[0], fields, ())

    def _rearranged(self, match: ComputedMatch) -> RearrangedState:
        """Return how states are combined. Raises `BeginsAnewError` if they cannot."""
        param, bound_kind = match.param, self._kind_of(match.param)
        for state in match.states:
            kind = self.record.groups[state.group].kind
            if kind != bound_kind:
                text = (
                    f"{state.path} has the state of {kind}, but {bound_kind} steps it"
                )
                raise BeginsAnewError(text)
        tensor, index = param.tensor, self._group_of[param.tensor]
        return RearrangedState(
            entry=match.entry,
            origins=match.origins,
            parts=[None if s is None else self._declared(s) for s in match.parts],
            blank=self.bound.blank(index, tensor),
            probe=self._probe(index, tensor),
            is_complex=tensor.is_complex(),
        )

    def _probe(self, index: int, tensor: Tensor) -> Any:
        """Return the state of a small tensor. Raises `BeginsAnewError` for none."""
        try:
            return self.bound.blank(index, _small(tensor))
        except Exception as error:  # an author's init() may raise anything
            raise_of_signal(error)
            text = f"init() failed for a small tensor: {error!s:.200}"
            raise BeginsAnewError(text) from error

    def _declared(self, state: ParamState) -> dict[str, Any]:
        """Return a state without what tools kept beside its fields."""
        beside = self._beside.get(str(state.group), ())
        return {name: v for name, v in state.values.items() if name not in beside}

    def _add(
        self, param: Param, stored_path: str, fields: dict[str, Any], extras: Any
    ) -> None:
        index, n_problems = self._group_of[param.tensor], len(self.problems)
        self.states[param.tensor] = self.bound.checked(
            param.tensor, index, fields, self.problems, extras
        )
        blank = self.bound.blank(index, param.tensor)
        self.dropped[param.path] = left_out(blank, fields)
        self.narrow[param.path] = narrowed(blank, fields)
        self.loaded.append(param.path)
        if len(self.problems) > n_problems:
            self.misfits.append(stored_path)

    def _kind_of(self, param: Param) -> str:
        kind: str = self.bound.groups[self._group_of[param.tensor]]["kind"]
        return kind


def _small(tensor: Tensor) -> nn.Parameter:
    """Return a small parameter with as many dimensions, in the same order of sizes."""
    values = torch.zeros(probe_shape(tensor.dim()), dtype=tensor.dtype)
    return nn.Parameter(values)
