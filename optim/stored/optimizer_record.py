"""The state of an optimizer as a record: by parameter ID, with the path beside it."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...config.process.gc_pause import paused_collection
from ...config.process.interrupts import raise_of_signal
from ...config.process.transaction import Transaction, all_or_nothing
from ...config.short_text import first_names, quantity
from ...records.entries.entries import Entries
from ...records.entries.optimizer_states import optimizers_in, subscripts
from ...records.errors import RecordFormatError, RecordMismatchError
from ...records.flat_record import FlatRecord, flat_record
from ...records.nest import data_of, is_nest
from ...records.processes.agreement import agreed
from ...records.readable import entries_in
from ...records.report import LoadReport
from ...records.sharded.same_record import check_same_record
from ...records.sharded.share_payload import with_shares
from ...records.tensors.grad_mode import ordinary_tensors
from ...records.tensors.shares import groups_of
from ..bound.bound_state import BoundState
from ..bound.initial_states import States
from ..bound.nested_records import as_dicts
from ..bound.param_groups import plain_hyperparameters, schedule_data
from ..bound.state_check import what_is_left_out, what_is_narrow
from ..stepping.step_runner import StepRunner
from .guards import guards_of, other_guards
from .matching import Matching, Rename, match_states
from .module_layout import ModuleLayout
from .record_types import (
    OPTIMIZER_KEY,
    GroupState,
    OptimizerRecord,
    ParamState,
    optimizer_description,
)
from .refused_loads import UNCHANGED, other_optimizer
from .stored_groups import StoredGroups, restore_values, settle_groups, stored_groups_of
from .taken_states import TakenStates


def record_of_optimizer(runner: StepRunner) -> OptimizerRecord:
    """Return the state; it refers to the live tensors. Raises ValueError for none."""
    bound = runner.bound
    if not bound.groups:
        raise ValueError(
            "this optimizer has no groups (optim.param_groups is empty), so there is "
            "nothing to save; add one: optim.add_param_group({'params': [...]})"
        )
    groups = _stored_groups(bound, runner.engine_names())
    states = _stored_states(bound)
    record = OptimizerRecord(groups[0].kind, bound.is_training, groups, states)
    record.metadata[OPTIMIZER_KEY] = _description(bound, record)
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
    """Return metadata that no field has, for readers of the metadata alone."""
    description: dict[str, Any] = {
        "kind": [group.kind for group in record.groups],
        "hyperparameters": [group.hyperparameters for group in record.groups],
        "engine": [group.engine for group in record.groups],
    }
    beside = {str(i): bound.beside_fields(i) for i in range(len(record.groups))}
    if any(beside.values()):
        description["beside"] = beside
    description["guards"] = guards_of(bound)
    if bound.params.module is not None:
        description["module"] = ModuleLayout.of(bound.params.module).as_data()
    departed = [str(p.id) for p in bound.params.departed()]
    # Parameters that were not stepped have no state either.
    description["stateless"] = {
        str(p.id): p.path
        for p in bound.params.current()
        if p.id not in record.states and str(p.id) not in departed
    }
    departed = [param_id for param_id in departed if param_id in record.states]
    if departed:
        description["departed"] = departed
    return description


def load_optimizer_record(
    runner: StepRunner,
    source: Any,
    hyperparameters: str,
    rename: Rename | None,
    strict: bool,
) -> LoadReport:
    """Plan, check everything, then change. Raises RecordMismatchError."""
    if hyperparameters not in ("keep", "restore"):
        raise ValueError(
            f"hyperparameters must be 'keep' or 'restore', got {hyperparameters!r}"
        )
    groups = groups_of(p for g in runner.bound.groups for p in g["params"])
    is_live = isinstance(source, OptimizerRecord)

    def fill(transaction: Transaction) -> tuple[Entries | None, LoadReport]:
        opened = None if is_live else flat_record(entries_in(source))
        report = fill_optimizer(
            runner,
            source if opened is None else opened,
            transaction,
            is_restoring=hyperparameters == "restore",
            rename=rename,
            strict=strict,
            is_of_file=isinstance(source, str | os.PathLike),
        )
        return opened, report

    def fill_all(transaction: Transaction) -> LoadReport:
        # If it raises on one process of a mesh, none may continue with the new state.
        opened, report = agreed(partial(fill, transaction), groups=groups)
        if opened is not None:
            check_same_record(opened, groups)
        return report

    return all_or_nothing(fill_all)


@ordinary_tensors()
@paused_collection()
def fill_optimizer(
    runner: StepRunner,
    source: Any,
    transaction: Transaction,
    *,
    is_restoring: bool,
    rename: Rename | None = None,
    strict: bool = True,
    is_of_file: bool = False,
) -> LoadReport:
    """Load as `load_optimizer_record` does, in a transaction with other changes.

    ``is_restoring`` uses the stored hyperparameters. ``is_of_file`` means that
    ``source`` was opened for this alone, so that its tensors are not shared.
    """
    bound = runner.bound
    bound.current_groups()
    is_record = isinstance(source, OptimizerRecord)
    record = source if is_record else _read(source, bound)
    report = LoadReport(verified="live" if is_record else "all")
    problems = _Problems(_name_of(source), record.kind)
    matching = match_states(bound.params, record, rename, problems.file)
    matching.tell(report)
    sources = stored_groups_of(bound, record.groups, matching.groups())
    transaction.undo_with(bound.undo())
    if is_restoring:
        with _refusing_settings(problems.file):
            restore_values(bound, sources)
    states = _checked_states(bound, record, matching, problems, report)
    is_unmatched = bool(record.states) and not (matching.stored or matching.computed)
    if is_unmatched:
        problems.texts.append(_nothing_fits(bound, record, matching))
    if strict:
        problems.texts += [
            f"{path}: stored, but no parameter has that ID or path"
            for path in matching.unknown
        ]
    if strict or is_unmatched:
        problems.n_left_over = len(matching.unknown)
    if problems.texts:
        raise problems.error()
    if is_restoring:
        _check_conflicts(sources, problems.file)
        report.changed += _other_params(matching)
    # The tensors of a mapped file are not shared; writes to them stay in memory.
    is_own = is_of_file or isinstance(source, str | os.PathLike)
    housed = bound.housed(states, adopt=is_own)
    bound.replace_states(housed)
    bound.is_training = record.is_training
    transaction.undo_with(bound.forget_rates)
    with _refusing_settings(problems.file):
        settle_groups(runner, record.groups, sources, report, is_restoring=is_restoring)
    bound.note_rates()
    report.changed += other_guards(bound, optimizer_description(record), sources)
    return report


def _other_params(matching: Matching) -> list[str]:
    """Return what a resumed run should report about the parameters that it steps."""
    cure = (
        "to continue as the saved run would have, build the optimizer with the "
        "same parameters"
    )
    paths_by_text = {
        "stepped now, but not by the optimizer that was saved": matching.joined,
        "stepped by the optimizer that was saved, but not now": matching.left,
    }
    return [
        f"{first_names(paths, 4)}: {text}; {cure}"
        for text, paths in paths_by_text.items()
        if paths
    ]


def _read(source: Any, bound: BoundState) -> OptimizerRecord:
    """Return the record in ``source``, with everything needed read and verified."""
    entries = entries_in(source)
    if is_nest(entries):
        file = entries.reading.file
        read = f"burnish.open_record({file!r}).to_data()"
        states = [read + subscripts(k) for k, _ in optimizers_in(data_of(entries))]
        raise RecordFormatError(
            file,
            "plain data",
            "the record of an optimizer, as optim.save_record writes it",
            f"Load the state dict in it: optim.load_state_dict({states[0]})."
            if states
            else "",
        )
    entries = with_state_shares(flat_record(entries), bound)
    # A single map of the file serves all states, instead of a read for each of
    # thousands.
    entries.load_all()
    record = entries.typed(OptimizerRecord)
    for state in record.states.values():
        if not 0 <= state.group < len(record.groups):
            raise RecordFormatError(
                entries.reading.file,
                f"the state of {state.path} in group {state.group}",
                f"one of {quantity(len(record.groups), 'stored group')}",
            )
    return record


@contextmanager
def _refusing_settings(file: str) -> Generator[None]:
    """Raise errors of optimizers and schedules about stored settings as file errors.

    RecordMismatchError: they were edited, or their class has changed.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise_of_signal(error)
        raise RecordMismatchError(
            file,
            [f"its hyperparameters cannot be restored: {error}"],
            f"{UNCHANGED} Correct the file, or load only the state, and keep "
            "the hyperparameters that were passed to bind: "
            "optimizer.load_record(file).",
        ) from error


@dataclass(slots=True)
class _Problems:
    """Why a record does not fit; complete before anything is changed."""

    file: str
    kind: str
    """The optimizer that was saved."""
    texts: list[str] = field(default_factory=list[str])
    misfits: list[str] = field(default_factory=list[str])
    """Stored paths of states that do not belong to their parameters."""
    n_left_over: int = 0
    """The number of stored states without a parameter."""
    n_of_states: int = 0
    """The number of ``texts`` about a single state that does not fit."""
    n_fitting: int = 0
    """The number of stored states that fit: a load without any is refused."""

    def error(self) -> RecordMismatchError:
        """Return the error that lists them, with advice."""
        return RecordMismatchError(self.file, self.texts, self._cure())

    def _cure(self) -> str:
        return f"{UNCHANGED} {self._next_step()}"

    def _next_step(self) -> str:
        if self.misfits and self.n_fitting:
            return (
                "To start such states from scratch, leave them out: "
                "optimizer.load_record(file, "
                f"rename=[DeleteField({self.misfits[0]!r}), ...]), with "
                "DeleteField of burnish.config."
            )
        if self.misfits:
            return "No stored state fits: to start from scratch, do not load this file."
        if self.n_of_states:
            return other_optimizer(self.kind)
        if self.n_left_over:
            left_out = (
                "optimizer.load_record(file, strict=False) leaves such states out, and "
                if self.n_fitting
                else ""
            )
            return (
                f"{left_out}optimizer.load_record(file, rename={{old: new}}) gives "
                "them their current names."
            )
        return "To start from scratch, do not load this file."


def _checked_states(
    bound: BoundState,
    record: OptimizerRecord,
    matching: Matching,
    problems: _Problems,
    report: LoadReport,
) -> States:
    """Return the stored states as those of their parameters."""
    checked_states = TakenStates.of(bound, record, matching, report)
    problems.texts += checked_states.problems
    problems.misfits += checked_states.misfits
    problems.n_of_states = len(problems.texts)
    problems.n_fitting = len(checked_states.loaded) - len(checked_states.misfits)
    report.loaded += checked_states.loaded
    report.changed += what_is_left_out(checked_states.dropped)
    report.changed += what_is_narrow(checked_states.narrow)
    return checked_states.states


def _check_conflicts(sources: list[StoredGroups], file: str) -> None:
    # A single group has no two values of anything.
    several = [origin for origin in sources if len(origin.groups) > 1]
    conflicts = [text for origin in several for text in origin.conflicts()]
    if conflicts:
        raise RecordMismatchError(file, conflicts, _CURE_OF_GROUPS)


_CURE_OF_GROUPS = (
    "The optimizer is unchanged. Bind the groups that were saved (bind(..., "
    "groups=[Group(...), ...])), or load only the state, and keep the "
    "hyperparameters that were passed to bind: optimizer.load_record(file), "
    "where file may be checkpoints[step].file('optim')."
)


def _name_of(source: object) -> str:
    """Return the name of a source of a record in errors."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return source.reading.file if isinstance(source, FlatRecord) else "record"


def _nothing_fits(
    bound: BoundState, record: OptimizerRecord, matching: Matching
) -> str:
    path = next(iter(record.states.values())).path
    if not matching.unknown:
        return (
            "there is nothing to load: the file has "
            f"{quantity(len(record.states), 'stored state')}, but rules delete "
            "them, or their parameters were no longer in the module that was "
            f"saved; the first is that of {path}"
        )
    return (
        f"none of the {len(record.states)} stored states belongs to a parameter of "
        f"this optimizer; the first is that of {path}, and the optimizer's first is "
        f"{bound.params.current()[0].path}"
    )


def with_state_shares(record: FlatRecord, bound: BoundState) -> FlatRecord:
    """Return the record of an optimizer, its tensors distributed as the parameters.

    Those whose parameter or shape has changed are read as a whole.
    """
    params = bound.params.current()
    if not any(hasattr(param.tensor, "device_mesh") for param in params):
        return record
    by_id = {str(param.id): param.tensor for param in params}
    by_path = {param.path: param.tensor for param in params}
    tensors = {
        param_id: by_id.get(param_id, by_path.get(state.path))
        for param_id, state in record.typed(OptimizerRecord).states.items()
    }
    likes: dict[str, Any] = {}
    for entry in record.entries():
        # states.ID.values.exp_avg
        head, _, path = entry.path.partition(".")
        tensor = tensors.get(path.partition(".")[0]) if head == "states" else None
        if hasattr(tensor, "device_mesh"):
            likes[entry.path] = tensor
    return with_shares(record, likes)
