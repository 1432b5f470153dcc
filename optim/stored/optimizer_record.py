"""The state of an optimizer as a record: by parameter ID, with the path beside it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...config.process.transaction import Transaction, all_or_nothing
from ...records.entries.entry import Param
from ...records.entries.renaming import Renames, renamer_of
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.report import LoadReport
from ...records.tensors.grad_mode import ordinary_tensors
from ..bound.bound_state import BoundState
from ..bound.initial_states import States
from ..bound.nested_records import as_dicts
from ..bound.param_groups import plain_hyperparameters, schedule_data
from ..bound.state_check import left_out, what_is_left_out
from ..stepping.report import engine_names
from ..stepping.step_runner import StepRunner
from .record_types import GroupState, OptimizerRecord, ParamState
from .stored_groups import StoredGroups, settle_groups, stored_groups_of

Rename = Renames | Callable[[str], str]
"""As in `open_record`: paths or beginnings of them, rules, or a function of a path."""


def into_record(runner: StepRunner) -> OptimizerRecord:
    """Return the state; it refers to the live tensors. Raises ValueError for none."""
    bound = runner.bound
    if not bound.groups:
        raise ValueError(
            "this optimizer has no groups (optim.param_groups is empty), so there is "
            "nothing to save; add one: optim.add_param_group({'params': [...]})"
        )
    groups = _stored_groups(bound, engine_names(runner))
    states = _stored_states(bound)
    record = OptimizerRecord(groups[0].kind, bound.is_training, groups, states)
    record.metadata["optimizer"] = _description(bound, record)
    return record


def _stored_groups(bound: BoundState, engines: list[str]) -> list[GroupState]:
    return [
        GroupState(
            group["kind"], plain_hyperparameters(group), engine, schedule_data(group)
        )
        for group, engine in zip(bound.current_groups(), engines, strict=True)
    ]


def _stored_states(bound: BoundState) -> dict[str, ParamState]:
    states: dict[str, ParamState] = {}
    params = {param.tensor: param for param in bound.params.current()}
    for i, group in enumerate(bound.current_groups()):
        for tensor in group["params"]:
            fields = bound.states.get(tensor)
            if fields is not None:
                param = params[tensor]
                states[param.id] = ParamState(param.path, i, as_dicts(fields))
    return states


def _description(bound: BoundState, record: OptimizerRecord) -> dict[str, Any]:
    """Return what a reader of the metadata alone learns, and what no field has."""
    description: dict[str, Any] = {
        "kind": [group.kind for group in record.groups],
        "hyperparameters": [group.hyperparameters for group in record.groups],
        "engine": [group.engine for group in record.groups],
    }
    beside = {str(i): bound.beside_fields(i) for i in range(len(record.groups))}
    if any(beside.values()):
        description["beside"] = beside
    departed = [str(p.id) for p in bound.params.departed() if p.id in record.states]
    if departed:
        description["departed"] = departed
    return description


def load_record(
    runner: StepRunner,
    source: Any,
    hyperparameters: str,
    rename: Rename | None,
    strict: bool,
) -> LoadReport:
    """Plan, check everything, then change. Raises RecordMismatchError."""
    if hyperparameters not in ("keep", "restore"):
        raise ValueError(
            f"hyperparameters is 'keep' or 'restore', got {hyperparameters!r}"
        )
    return all_or_nothing(
        partial(
            fill_optimizer,
            runner,
            source,
            is_restoring=hyperparameters == "restore",
            rename=rename,
            strict=strict,
        )
    )


@ordinary_tensors()
def fill_optimizer(
    runner: StepRunner,
    source: Any,
    transaction: Transaction,
    *,
    is_restoring: bool,
    rename: Rename | None = None,
    strict: bool = True,
) -> LoadReport:
    """Load as `load_record` does, together with what else is changed.

    ``is_restoring`` takes the stored hyperparameters over.
    """
    bound = runner.bound
    bound.current_groups()
    is_record = isinstance(source, OptimizerRecord)
    record = source if is_record else OptimizerRecord.load(source)
    report = LoadReport(verified="live" if is_record else "all")
    new_path_of = _renamer(rename, record)
    matches = _match(bound, record, new_path_of, report)
    problems = _Problems(_name_of(source), record.kind)
    states = _checked_states(bound, record, matches, problems, report)
    problems.texts += _nothing_fits(bound, record, matches)
    if strict:
        problems.texts += _left_over(record, new_path_of, report)
    problems.check()
    pairs = [(param.tensor, param_state.group) for param, param_state in matches]
    sources = stored_groups_of(bound, record.groups, pairs)
    if is_restoring:
        _check_conflicts(sources, problems.file)
    # A mapped file gives tensors that nobody else has; writes stay in memory.
    housed = bound.housed(states, adopt=isinstance(source, str | os.PathLike))
    transaction.undo_with(bound.undo())
    bound.replace_states(housed)
    bound.is_training = record.is_training
    bound.forget_rates()
    settle_groups(runner, record.groups, sources, report, is_restoring=is_restoring)
    return report


@dataclass(slots=True)
class _Problems:
    """Why a record does not fit, all of it before anything is changed."""

    file: str
    kind: str
    """The optimizer that was saved."""
    texts: list[str] = field(default_factory=list[str])
    misfits: list[str] = field(default_factory=list[str])
    """Paths, as they are stored, of states that are none of their parameters."""
    n_of_states: int = 0
    """How many of ``texts`` say that a single state does not fit."""

    def check(self) -> None:
        """Raise RecordMismatchError if there are any."""
        if self.texts:
            raise RecordMismatchError(self.file, self.texts, self._cure())

    def _cure(self) -> str:
        if self.misfits:
            return (
                "The optimizer is as it was. Leave such states out, and they begin "
                f"anew: load_record(file, rename=[DeleteField({self.misfits[0]!r}), "
                "...]), with DeleteField of burnish.config."
            )
        if self.n_of_states:
            return (
                "The optimizer is as it was. Go on with the optimizer that was saved, "
                f"{self.kind}, or load no state: then it begins anew."
            )
        return ""


def _checked_states(
    bound: BoundState,
    record: OptimizerRecord,
    matches: list[tuple[Param, ParamState]],
    problems: _Problems,
    report: LoadReport,
) -> States:
    """Return the stored states as those of their parameters."""
    states: States = {}
    dropped: dict[str, list[str]] = {}
    group_of = bound.group_of_params()
    beside = record.metadata.get("optimizer", {}).get("beside", {})
    for param, param_state in matches:
        index = group_of[param.tensor]
        kind = record.groups[param_state.group].kind
        bound_kind = bound.groups[index]["kind"]
        if kind != bound_kind:
            problems.texts.append(
                f"{param.path}: found the state of {kind}, and this optimizer steps it "
                f"with {bound_kind}"
            )
            continue
        n_problems, values = len(problems.texts), param_state.values
        extras = beside.get(str(param_state.group), ())
        states[param.tensor] = bound.checked(
            param.tensor, index, values, problems.texts, extras
        )
        dropped[param.path] = left_out(bound.blank(index, param.tensor), values)
        report.loaded.append(param.path)
        if len(problems.texts) > n_problems:
            problems.misfits.append(param_state.path)
    problems.n_of_states = len(problems.texts)
    report.changed += what_is_left_out(dropped)
    return states


def _left_over(
    record: OptimizerRecord,
    new_path_of: Callable[[str], str | None],
    report: LoadReport,
) -> list[str]:
    """Say which stored states belong to no parameter, and were to belong to one."""
    departed = {record.states[i].path for i in _departed(record)}
    return [
        f"{path}: stored, and no parameter has that ID or path; strict=False "
        "leaves it out, rename= gives it the name of now"
        for path in report.unexpected
        if path not in departed and new_path_of(path) is not None
    ]


def _check_conflicts(sources: list[StoredGroups], file: str) -> None:
    conflicts = [text for origin in sources for text in origin.conflicts()]
    if conflicts:
        raise RecordMismatchError(file, conflicts, _CURE_OF_GROUPS)


_CURE_OF_GROUPS = (
    "The optimizer is as it was. Bind the groups that were saved "
    "(bind(..., groups=[Group(...), ...])), or take over the state alone, with the "
    "hyperparameters that bind was given: optimizer.load_record(file), where file may "
    "be checkpoints[step].file('optim')."
)


def _match(
    bound: BoundState,
    record: OptimizerRecord,
    new_path_of: Callable[[str], str | None],
    report: LoadReport,
) -> list[tuple[Param, ParamState]]:
    """Return parameters with their stored states: by ID first, then by path."""
    params = bound.params.current()
    by_id = {param.id: param for param in params}
    by_new_path: dict[str, ParamState] = {}
    # What had left its module before the save is missed nowhere, and something else
    # may have its path now.
    departed = _departed(record)
    matched: list[tuple[Param, ParamState]] = []
    for param_id, param_state in record.states.items():
        new_path = new_path_of(param_state.path)
        if new_path is None:
            report.unexpected.append(param_state.path)
            continue
        param = by_id.pop(param_id, None)  # type: ignore[call-overload]  # an ID is a str
        if param is None and param_id in departed:
            report.unexpected.append(param_state.path)
        elif param is None:
            by_new_path[new_path] = param_state
        else:
            matched.append((param, param_state))
    by_path = {param.path: param for param in by_id.values()}
    for path, param_state in by_new_path.items():
        param = by_path.pop(path, None)
        if param is None:
            report.unexpected.append(param_state.path)
        else:
            matched.append((param, param_state))
    report.renamed |= {s.path: p.path for p, s in matched if s.path != p.path}
    if record.states:
        report.missing += by_path
    return matched


def _departed(record: OptimizerRecord) -> list[str]:
    """Return the IDs of parameters that had left the module when it was saved."""
    ids = record.metadata.get("optimizer", {}).get("departed", ())
    return [param_id for param_id in ids if param_id in record.states]


def _name_of(source: Any) -> str:
    """Return what an error calls a source of a record."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return source.reading.file if isinstance(source, FlatRecord) else "record"


def _nothing_fits(
    bound: BoundState, record: OptimizerRecord, matched: list[Any]
) -> list[str]:
    if matched or not record.states:
        return []
    path = next(iter(record.states.values())).path
    return [
        f"none of the {len(record.states)} stored states belongs to a parameter of "
        f"this optimizer; the first is that of {path}, and the optimizer's first is "
        f"{bound.params.current()[0].path}"
    ]


def _renamer(
    rename: Rename | None, record: OptimizerRecord
) -> Callable[[str], str | None]:
    if rename is None:
        return lambda path: path
    if callable(rename):
        return rename
    return renamer_of({state.path for state in record.states.values()}, rename)
