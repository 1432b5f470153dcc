"""Stored states matched to the present parameters: by ID, by path, by upgrade rules."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from ...records.entries.entry import Entry, Param
from ...records.entries.renaming import Renames, renamer_of
from ...records.report import LoadReport
from ..bound.bound_params import BoundParams
from .module_layout import ModuleLayout, UpgradedPaths
from .record_types import OptimizerRecord, ParamState, optimizer_description

Rename = Renames | Callable[[str], str]
"""As in `open_record`: paths or prefixes of them, rules, or a function of a path."""


@dataclass(frozen=True, slots=True)
class StoredMatch:
    """A parameter that was stored unchanged, with its state."""

    param: Param
    state: ParamState


@dataclass(frozen=True, slots=True)
class ComputedMatch:
    """A parameter that rules computed from stored ones, with their states."""

    param: Param
    entry: Entry
    """How the parameter was computed."""
    origins: list[str]
    """The stored paths of its sources."""
    parts: list[ParamState | None]
    """The states of `source_entries` of the entry; at least one exists."""

    @property
    def states(self) -> list[ParamState]:
        """The states that exist."""
        return [state for state in self.parts if state is not None]


@dataclass(slots=True)
class Matching:
    """The matches, and what has no counterpart."""

    stored: list[StoredMatch] = field(default_factory=list[StoredMatch])
    computed: list[ComputedMatch] = field(default_factory=list[ComputedMatch])
    missing: list[str] = field(default_factory=list[str])
    """The paths of parameters without a stored state."""
    joined: list[str] = field(default_factory=list[str])
    """Those of them that the optimizer did not step when it was saved."""
    left: list[str] = field(default_factory=list[str])
    """The stored paths of parameters without a state that it no longer steps."""
    dropped: list[str] = field(default_factory=list[str])
    """The stored paths of states that are not missed: deleted, or removed before."""
    unknown: list[str] = field(default_factory=list[str])
    """The stored paths of all other states without a parameter."""

    def groups(self) -> list[tuple[Tensor, int]]:
        """Return each parameter with the stored groups that its states were in."""
        groups: list[tuple[Tensor, int]] = [
            (match.param.tensor, match.state.group) for match in self.stored
        ]
        groups += [
            (match.param.tensor, state.group)
            for match in self.computed
            for state in match.states
        ]
        return groups

    def tell(self, report: LoadReport) -> None:
        """Add to ``report`` what has no counterpart, and what was matched by path."""
        report.missing += self.missing
        report.unexpected += [*self.dropped, *self.unknown]
        report.renamed |= {
            match.state.path: match.param.path
            for match in self.stored
            if match.state.path != match.param.path
        }


def match_states(
    params: BoundParams, record: OptimizerRecord, rename: Rename | None, file: str
) -> Matching:
    """Return the parameters with their stored states: by ID first, then by path.

    A state that ``rename`` gives the path of another parameter goes there, whatever its
    ID. A parameter computed by rules has the states of its sources. Raises
    RecordMismatchError for rules that do not fit the stored parameters.
    """
    described = optimizer_description(record)
    layout = ModuleLayout.read(described.get("module"), file)
    renamed = _renamer(rename, record)
    upgraded = UpgradedPaths.of(layout, params.module, renamed, file)
    matching = Matching()
    by_id = {str(param.id): param for param in params.current()}
    held_paths = {param.path for param in by_id.values()}
    pending: list[ParamState] = []
    # A parameter that had left its module before the save is not missed, and another
    # one may have its path now.
    departed_ids = described.get("departed", ())
    for param_id, state in record.states.items():
        target = renamed(state.path)
        is_sent = target != state.path and target in held_paths
        is_there = param_id in by_id and target is not None
        if is_there and not (is_sent and target != by_id[param_id].path):
            matching.stored.append(StoredMatch(by_id.pop(param_id), state))
        elif param_id in departed_ids or upgraded.is_deleted(state.path):
            matching.dropped.append(state.path)
        else:
            pending.append(state)
    by_path = {param.path: param for param in by_id.values()}
    pending = _match_paths(pending, upgraded, by_path, matching)
    present = [s for i, s in record.states.items() if i not in departed_ids]
    used_paths = _match_computed(present, upgraded, by_path, matching)
    matching.unknown += [s.path for s in pending if s.path not in used_paths]
    # An optimizer that was saved before its first step lacks nothing.
    matching.missing += by_path if record.states else ()
    # Renames apply to states alone; a resumed run has none.
    if rename is None:
        _compare_held(described.get("stateless"), upgraded, by_path, matching)
    return matching


def _compare_held(
    stateless: object,
    upgraded: UpgradedPaths,
    by_path: dict[str, Param],
    matching: Matching,
) -> None:
    """Record which parameters are held now and were not before, and the reverse.

    ``by_path`` are present ones without a stored state, and ``stateless`` those that
    had none: frozen, never reached. An older file does not state it.
    """
    if not isinstance(stateless, dict):
        return
    ids = {str(param.id) for param in by_path.values()}
    held_ids, held_paths = set[str](), set[str]()
    for param_id, path in stateless.items():
        paths = upgraded.descendants(path)
        held_ids.add(param_id)
        held_paths.update(paths)
        is_held = param_id in ids or not by_path.keys().isdisjoint(paths)
        if not (is_held or upgraded.is_deleted(path)):
            matching.left.append(path)
    matching.joined += [
        path
        for path, param in by_path.items()
        if str(param.id) not in held_ids and path not in held_paths
    ]


def _match_paths(
    states: list[ParamState],
    upgraded: UpgradedPaths,
    by_path: dict[str, Param],
    matching: Matching,
) -> list[ParamState]:
    """Match by path, remove matches from ``by_path``; return the remaining ones."""
    unmatched: list[ParamState] = []
    for state in states:
        path = next((p for p in upgraded.candidates(state.path) if p in by_path), None)
        if path is None:
            unmatched.append(state)
        else:
            matching.stored.append(StoredMatch(by_path.pop(path), state))
    return unmatched


def _match_computed(
    stored_states: list[ParamState],
    upgraded: UpgradedPaths,
    by_path: dict[str, Param],
    matching: Matching,
) -> set[str]:
    """Match what rules computed; return the stored paths of its sources."""
    by_stored_path = {state.path: state for state in stored_states}
    used_paths = set[str]()
    for path, entry in upgraded.computed.items():
        origins = upgraded.origins(entry)
        parts = [by_stored_path.get(origin) for origin in origins]
        if path in by_path and any(part is not None for part in parts):
            match = ComputedMatch(by_path.pop(path), entry, origins, parts)
            matching.computed.append(match)
            used_paths |= {state.path for state in match.states}
    return used_paths


def _renamer(
    rename: Rename | None, record: OptimizerRecord
) -> Callable[[str], str | None]:
    if rename is None:
        return lambda path: path
    if callable(rename):
        return rename
    return renamer_of({state.path for state in record.states.values()}, rename)
