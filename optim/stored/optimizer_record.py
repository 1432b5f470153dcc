"""The state of an optimizer as a record: by parameter ID, with the path beside it."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...config.process.interrupts import all_or_nothing
from ...records.entry import Param
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.grad_mode import ordinary_tensors
from ...records.record import Record
from ...records.renaming import Renames, renamer_of
from ...records.report import LoadReport
from ..bound.nested_records import as_dicts
from ..bound.param_groups import plain_hyperparameters, restore_schedule
from ..bound.state_check import beside_fields, fitted
from ..stepping.report import engines
from ..stepping.stepper import Stored
from .stored_groups import settle_groups, sources_of

if TYPE_CHECKING:
    from ..adaptor import OptimizerAdaptor

Rename = Renames | Callable[[str], str]
"""As in `open_record`: paths or beginnings of them, rules, or a function of a path."""


class ParamState(Record):
    """The state of one parameter."""

    path: str
    group: int
    values: dict[str, Any]
    """The fields of the state: tensors and numbers."""


class GroupState(Record):
    """What a group is stepped with."""

    kind: str
    hyperparameters: dict[str, Any]
    engine: str
    schedule: dict[str, Any] | None = None


class OptimizerRecord(Record):
    """The state of an optimizer: groups, and states by parameter ID."""

    kind: str
    is_training: bool
    groups: list[GroupState]
    states: dict[str, ParamState]


def into_record(adaptor: "OptimizerAdaptor") -> OptimizerRecord:
    """Return the state; it refers to the live tensors."""
    used = engines(adaptor)
    groups = [
        GroupState(
            group["kind"], plain_hyperparameters(group), used[i], _schedule_of(group)
        )
        for i, group in enumerate(adaptor.param_groups)
    ]
    states: dict[str, ParamState] = {}
    held = {param.tensor: param for param in adaptor.held()}
    for i, group in enumerate(adaptor.param_groups):
        for tensor in group["params"]:
            stored = adaptor.state.get(tensor)
            if stored is not None:
                param = held[tensor]
                states[param.id] = ParamState(param.path, i, as_dicts(stored))
    record = OptimizerRecord(groups[0].kind, adaptor.is_training, groups, states)
    described: dict[str, Any] = {
        "kind": [group.kind for group in groups],
        "hyperparameters": [group.hyperparameters for group in groups],
        "engine": used,
    }
    beside = {str(i): beside_fields(adaptor, i) for i in range(len(groups))}
    if any(beside.values()):
        described["beside"] = beside
    departed = [str(p.id) for p in adaptor.departed() if p.id in states]
    if departed:
        described["departed"] = departed
    record.metadata["optimizer"] = described
    return record


@ordinary_tensors()
def load_record(
    adaptor: "OptimizerAdaptor",
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
    is_record = isinstance(source, OptimizerRecord)
    record = source if is_record else OptimizerRecord.load(source)
    where = _named(source)
    report = LoadReport(verified="live" if is_record else "all")
    problems: list[str] = []
    renamed = _renamer(rename, record)
    matched = _match(adaptor, record, renamed, report)
    misfits: list[str] = []
    states: dict[Tensor, Stored] = {}
    places = {p: i for i, g in enumerate(adaptor.param_groups) for p in g["params"]}
    beside = record.metadata.get("optimizer", {}).get("beside", {})
    for param, stored in matched:
        index = places[param.tensor]
        kind, own = (
            record.groups[stored.group].kind,
            adaptor.param_groups[index]["kind"],
        )
        if kind != own:
            problems.append(
                f"{param.path}: found the state of {kind}, and this optimizer steps it "
                f"with {own}"
            )
            continue
        n_problems = len(problems)
        states[param.tensor] = fitted(
            adaptor,
            index,
            param.tensor,
            param.path,
            stored.values,
            problems,
            beside.get(str(stored.group), ()),
        )
        report.loaded.append(param.path)
        if len(problems) > n_problems:
            misfits.append(stored.path)
    cure = _cure(record, misfits, problems)
    problems += _nothing_fits(adaptor, record, matched)
    if strict:
        departed = {record.states[i].path for i in _departed(record)}
        problems += [
            f"{path}: stored, and no parameter has that ID or path; strict=False "
            "leaves it out, rename= gives it the name of now"
            for path in report.unexpected
            if path not in departed and renamed(path) is not None
        ]
    pairs = [(param.tensor, stored.group) for param, stored in matched]
    sources = sources_of(adaptor, record.groups, pairs)
    if hyperparameters == "restore" and not problems:
        problems += [one for source in sources for one in source.conflicts()]
        cure = _CURE_OF_GROUPS
    if problems:
        raise RecordMismatchError(where, problems, cure)
    # A mapped file gives tensors that nobody else has; writes stay in memory.
    own = adaptor.housed(states, adopt=isinstance(source, str | os.PathLike))

    def attempt(undos: list[Callable[[], object]]) -> None:
        undos.append(undo_of(adaptor))
        adaptor.adopt(own, record.is_training)
        settle_groups(adaptor, record.groups, sources, hyperparameters, report)

    all_or_nothing(attempt, lambda: None)
    return report


_CURE_OF_GROUPS = (
    "The optimizer is as it was. Bind the groups that were saved "
    "(bind(..., groups=[Group(...), ...])), or take over the state alone, with the "
    "hyperparameters that bind was given: optimizer.load_record(file), where file may "
    "be checkpoints[step].file('optim')."
)


def _cure(record: OptimizerRecord, misfits: list[str], problems: list[str]) -> str:
    """Return what to do about states of other shapes and of other optimizers."""
    if misfits:
        return (
            "The optimizer is as it was. Leave such states out, and they begin anew: "
            f"load_record(file, rename=[DeleteField({misfits[0]!r}), ...]), with "
            "DeleteField of burnish.config."
        )
    if problems:
        return (
            "The optimizer is as it was. Go on with the optimizer that was saved, "
            f"{record.kind}, or load no state: then it begins anew."
        )
    return ""


def undo_of(adaptor: "OptimizerAdaptor") -> Callable[[], object]:
    """Return what gives ``adaptor`` the states, groups and schedules of now."""
    state, states = adaptor.state, dict(adaptor.state)
    # torch's own load puts other objects in the place of these.
    held, groups = adaptor.param_groups, list(adaptor.param_groups)
    contents = [dict(group) for group in groups]
    schedules = [_schedule_of(group) for group in groups]

    def undo() -> None:
        adaptor.state, adaptor.param_groups = state, held
        state.clear()
        state.update(states)
        held[:] = groups
        for group, content, schedule in zip(groups, contents, schedules, strict=True):
            group.clear()
            group.update(content)
            if schedule is not None:
                restore_schedule(group, schedule)

    return undo


def _match(
    adaptor: "OptimizerAdaptor",
    record: OptimizerRecord,
    renamed: Callable[[str], str | None],
    report: LoadReport,
) -> list[tuple[Param, ParamState]]:
    """Return parameters with their stored states: by ID first, then by path."""
    held = adaptor.held()
    by_id = {param.id: param for param in held}
    left: dict[str, ParamState] = {}
    # What had left its module before the save is missed nowhere, and something else
    # may have its path now.
    departed = _departed(record)
    matched: list[tuple[Param, ParamState]] = []
    for param_id, stored in record.states.items():
        new_path = renamed(stored.path)
        if new_path is None:
            report.unexpected.append(stored.path)
            continue
        param = by_id.pop(param_id, None)  # type: ignore[call-overload]  # an ID is a str
        if param is None and param_id in departed:
            report.unexpected.append(stored.path)
        elif param is None:
            left[new_path] = stored
        else:
            matched.append((param, stored))
    by_path = {param.path: param for param in by_id.values()}
    for path, stored in left.items():
        param = by_path.pop(path, None)
        if param is None:
            report.unexpected.append(stored.path)
        else:
            matched.append((param, stored))
    report.renamed |= {s.path: p.path for p, s in matched if s.path != p.path}
    if record.states:
        report.missing += by_path
    return matched


def _departed(record: OptimizerRecord) -> list[str]:
    """Return the IDs of parameters that had left the module when it was saved."""
    ids = record.metadata.get("optimizer", {}).get("departed", ())
    return [param_id for param_id in ids if param_id in record.states]


def _named(source: Any) -> str:
    """Return what an error calls a source of a record."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return source.reading.file if isinstance(source, FlatRecord) else "record"


def _nothing_fits(
    adaptor: "OptimizerAdaptor", record: OptimizerRecord, matched: list[Any]
) -> list[str]:
    if matched or not record.states:
        return []
    stored = next(iter(record.states.values())).path
    return [
        f"none of the {len(record.states)} stored states belongs to a parameter of "
        f"this optimizer; the first is that of {stored}, and the optimizer's first is "
        f"{adaptor.held()[0].path}"
    ]


def _schedule_of(group: dict[str, Any]) -> dict[str, Any] | None:
    schedule = group.get("schedule")
    return None if schedule is None else schedule.state_dict()


def _renamer(
    rename: Rename | None, record: OptimizerRecord
) -> Callable[[str], str | None]:
    if rename is None:
        return lambda path: path
    if callable(rename):
        return rename
    return renamer_of({state.path for state in record.states.values()}, rename)
