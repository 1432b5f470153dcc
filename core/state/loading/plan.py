"""The plan of a load, made and checked before anything is changed."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ....config.spelling import did_you_mean
from ....records.entries.entries import Entries, library_part, path_index, wrappers_in
from ....records.entries.entry import Entry, ParamId
from ....records.errors import RecordMismatchError
from ....records.report import LoadReport
from ....records.tensors.bits import same_bits
from ....records.tensors.conversion import misfit_of_dtype
from ....records.tensors.dtypes import name_of_dtype
from ....records.tensors.memory import values_of
from ...modules.tree import WRAPPING, Places
from ..entries import ModuleContent
from ..grouping import group_paths
from ..wrapped_tensors import form_problems
from .allowed import Allowed, left_out_by_reader
from .conversion import Resizing, misfit
from .cures import IGNORE, RESIZED, cure_of, cure_of_typed
from .derived import Derived, source_entries
from .loading_code import CURE, conversions


@dataclass(slots=True)
class LoadStep:
    """One stored entry, and the tensors over one memory that it fills."""

    target: Entry
    stored: Entry
    dtype: torch.dtype
    tensors: list[Tensor]
    is_repeated: bool
    """Whether another step uses the same stored entry."""


@dataclass(slots=True)
class LoadPlan:
    """Steps that fit, extra state to be set, and the report."""

    steps: list[LoadStep] = field(default_factory=list[LoadStep])
    extra: list[str] = field(default_factory=list[str])
    """Paths of extra state that both sides have."""
    extra_tensors: dict[str, Entry] = field(default_factory=dict[str, Entry])
    """Those in ``extra`` that a state dict holds as tensors, like weights."""
    missing: list[Entry | str] = field(default_factory=list[Entry | str])
    report: LoadReport = field(default_factory=LoadReport)

    def take_over_flags(self) -> list[str]:
        """Freeze and unfreeze parameters as they were stored; return the changed paths.

        Files of other libraries have neither these flags nor IDs. The stored flag is
        that of the first of several parameters over one memory; one that was built with
        a different flag keeps its own.
        """
        changed: list[str] = []
        for step in self.steps:
            stored_entry, flag = step.stored, step.target.requires_grad
            if flag is stored_entry.requires_grad or step.target.kind != "parameter":
                continue
            if stored_entry.id is None and not isinstance(stored_entry.source, Derived):
                continue
            for tensor in step.tensors:
                if isinstance(tensor, nn.Parameter) and tensor.requires_grad is flag:
                    tensor.requires_grad_(stored_entry.requires_grad)
                    changed.append(step.target.path)
        return list(dict.fromkeys(changed))

    @property
    def split_parameters(self) -> list[str]:
        """A message about parameters that were one when stored, and are several here.

        They get the same values, and diverge in training.
        """
        repeated = [
            step
            for step in self.steps
            if step.is_repeated and step.target.kind == "parameter"
        ]
        if not repeated:
            return []
        first_paths = {
            id(s.stored): s.target.path for s in self.steps if not s.is_repeated
        }
        return [
            f"{step.target.path}: stored as one parameter with "
            f"{first_paths[id(step.stored)]}, the module has two"
            for step in repeated
        ]

    @property
    def ids(self) -> dict[int, ParamId]:
        """The stored ID of each parameter, by ``id(parameter)``."""
        return {
            id(step.tensors[0]): stored_id
            for step in self.steps
            if step.target.kind == "parameter"
            # An entry of a file parses it from text at every call.
            and (stored_id := step.stored.id) is not None
        }


def plan_load(
    content: ModuleContent,
    record: Entries,
    allowed: Allowed,
    differing: Sequence[str],
    places: Places,
) -> LoadPlan:
    """Return how ``record`` fills the module of ``content``; change nothing.

    Raises `RecordMismatchError` that lists everything that does not fit, including the
    differences ``differing`` found earlier.
    """
    if record.is_typed:
        raise _no_record_of_a_module(record)
    plan = LoadPlan()
    stored_entries = _by_path(record, content, plan)
    matching = _Matching(content, record, stored_entries, plan)
    matching.match(Resizing(places, stored_entries))
    problems = [*matching.problems]
    if wrappers_in(record.tree or {}):
        problems += form_problems(content.extra, record)
    left_over = matching.left_over(allowed)
    is_matched = not left_over
    has_matches = bool(plan.steps or plan.extra)
    if not (problems or left_over or has_matches or allowed.is_empty_allowed):
        left_over = _nothing_matched(content, stored_entries, plan)
        is_matched = not left_over
    problems += left_over
    # Running the code of classes needs copies of modules: only a fitting record is
    # tried.
    code = [] if problems else list(conversions(places, stored_entries, record))
    if problems or code or differing:
        raise matching.refusal(problems, code, differing, is_matched=is_matched)
    _finish_report(plan, record)
    return plan


def _no_record_of_a_module(record: Entries) -> RecordMismatchError:
    description = f"a record of type {record.type_name}, which has declared fields"
    problem = f"found {description}, expected one of a module"
    cure = cure_of_typed(record)
    return RecordMismatchError(record.reading.file, [problem], cure)


def _shapes(
    entries: Iterable[tuple[str, Entry]], matched: Container[str]
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of entries that are to be stored, or ``matched``, by path."""
    return {p: e.shape for p, e in entries if e.kind != "transient" or p in matched}


@dataclass
class _Matching:
    """Matches a module's entries to the stored ones: a plan, and problems."""

    content: ModuleContent
    record: Entries
    stored_entries: dict[str, Entry]
    plan: LoadPlan
    problems: list[str] = field(default_factory=list[str])
    misfits: list[str] = field(default_factory=list[str])
    """Paths at which both sides have an entry, and the stored one does not fit."""
    used_entries: set[int] = field(default_factory=set[int])
    """The stored entries that the module has, by identity."""

    def match(self, resizing: Resizing) -> None:
        """Add what fits to the plan, and record what does not."""
        paths_by_problem: dict[str, list[str]] = {}
        asked_dtype = self.record.reading.dtype
        for target in self.content.entries:
            # Records of other programs may store a tied tensor at each of its paths.
            stored_entry = (
                self._only_one(target)
                if target.ties
                else self.stored_entries.get(target.path)
            )
            if stored_entry is None:
                if target.kind != "transient":
                    self.plan.missing.append(target)
                continue
            dtype = target.dtype
            if asked_dtype is not None and _takes_stored_dtype(
                target, stored_entry, asked_dtype
            ):
                dtype = stored_entry.dtype
            problem = self._plan_step(target, stored_entry, dtype, resizing)
            if problem is not None:
                paths_by_problem.setdefault(problem, []).append(target.path)
        for problem, paths in paths_by_problem.items():
            self.problems += [f"{name}: {problem}" for name in group_paths(paths)]
            self.misfits += paths

    def _plan_step(
        self,
        target: Entry,
        stored_entry: Entry,
        dtype: torch.dtype,
        resizing: Resizing,
    ) -> str | None:
        """Add a step: ``stored_entry`` fills ``target``; return why it cannot."""
        report = self.plan.report
        problem = None
        # This runs for thousands of entries at every load, of which nearly all fit.
        if stored_entry.shape != target.shape or stored_entry.dtype is not dtype:
            problem = misfit(stored_entry, target, dtype)
        if problem is not None and resizing.allows(target, stored_entry):
            report.changed.append(f"{target.path}: took the stored shape")
            problem = misfit_of_dtype(stored_entry.dtype, dtype)
        is_repeated = id(stored_entry) in self.used_entries
        self.used_entries.add(id(stored_entry))
        if problem is not None and target.kind == "transient":
            # It is a cache, and may have grown: the module creates its own.
            report.changed.append(f"{target.path}: {problem}; left unchanged")
            return None
        tensors: list[Tensor] = [target.source]  # type: ignore[list-item]  # a module's are live
        if target.path in self.content.twins:
            tensors += self.content.twins[target.path]
        self.plan.steps.append(
            LoadStep(target, stored_entry, dtype, tensors, is_repeated)
        )
        return problem

    def _only_one(self, target: Entry) -> Entry | None:
        """Return the stored entry of a tied tensor; several must be equal."""
        match: Entry | None = None
        for path in (target.path, *target.ties):
            candidate = self.stored_entries.get(path)
            if candidate is None or candidate is match:
                continue
            if match is None:
                match = candidate
                continue
            self.used_entries.add(id(candidate))
            if not _equal(match, candidate):
                self.problems.append(
                    f"{match.path} and {candidate.path}: found two different tensors, "
                    "expected one, since they are tied in the module; leave one of "
                    "them out with open_record(file, exclude=...)"
                )
        return match

    def left_over(self, allowed: Allowed) -> list[str]:
        """Report what only one side has; return problems where that is not allowed."""
        plan, tree = self.plan, self.record.tree or {}
        for path, owner in self.content.extra.items():
            entry = None if path in tree else self.stored_entries.get(path)
            if entry is not None and isinstance(owner, nn.Module):
                plan.extra_tensors[path] = entry
                self.used_entries.add(id(entry))
            has_it = path in tree or path in plan.extra_tensors
            (plan.extra if has_it else plan.missing).append(path)
        unexpected = self._unexpected(tree)
        plan.report.missing = [_path(item) for item in plan.missing]
        plan.report.unexpected = [_path(item) for item in unexpected]
        if not (plan.missing or unexpected):
            return []
        wrappers = self.content.wrappers | wrappers_in(tree)
        allowed = replace(allowed, wrappers=wrappers)
        is_left_out = left_out_by_reader(self.record.reading, wrappers)
        bad_missing = [
            m for m in plan.missing if not (allowed.allows_missing(m) or is_left_out(m))
        ]
        bad_unexpected = [u for u in unexpected if not allowed.allows_unexpected(u)]
        other_kinds = _other_kinds(bad_missing, bad_unexpected)
        bad_missing = [m for m in bad_missing if _path(m) not in other_kinds]
        bad_unexpected = [u for u in bad_unexpected if _path(u) not in other_kinds]
        return [
            *other_kinds.values(),
            *_problem_lines(bad_missing, "expected {}, found nothing", bad_unexpected),
            *_problem_lines(bad_unexpected, "found {}, expected nothing", plan.missing),
        ]

    def refusal(
        self,
        problems: list[str],
        code: list[str],
        differing: Sequence[str],
        *,
        is_matched: bool,
    ) -> RecordMismatchError:
        """Return the error that lists everything that does not fit, with advice.

        ``code`` is about entries that classes would convert, ``differing`` was found
        earlier.
        """
        expected = {entry.path: entry for entry in self.content.entries}
        matched = expected.keys() & self.stored_entries.keys()
        cure = cure_of(
            self.record,
            _shapes(self.stored_entries.items(), matched),
            _shapes(expected.items(), matched),
            self.misfits,
            [_path(item) for item in self.plan.missing],
            self._unused_paths(),
            is_matched=is_matched,
        )
        more = [*([CURE] if code else []), *([IGNORE] if differing else [])]
        if any(
            expected[path].kind == "buffer"
            and expected[path].shape != self.stored_entries[path].shape
            for path in matched.intersection(self.misfits)
        ):
            more.append(RESIZED)
        return RecordMismatchError(
            self.record.reading.file,
            [*problems, *code, *differing],
            " ".join([cure, *more]),
        )

    def _unused_paths(self) -> list[str]:
        """Return the paths of stored entries that nothing in the module takes."""
        return [
            path
            for path, entry in self.stored_entries.items()
            if id(entry) not in self.used_entries and entry.kind != "transient"
        ]

    def _unexpected(self, tree: Mapping[str, object]) -> list[Entry | str]:
        """Return stored entries, and paths of extra state, that the module lacks."""
        # A tied entry has several paths, and counts once.
        entries = {id(entry): entry for entry in self.stored_entries.values()}
        return [
            *(
                entry
                for key, entry in entries.items()
                if key not in self.used_entries and entry.kind != "transient"
            ),
            *(path for path in tree if path not in self.content.extra),
        ]


def _takes_stored_dtype(target: Entry, stored_entry: Entry, asked_dtype: Any) -> bool:
    if not (stored_entry.dtype.is_floating_point and target.dtype.is_floating_point):
        return False
    return target.kind == "parameter" or asked_dtype == "stored"


def _equal(a: Entry, b: Entry) -> bool:
    if a.shape != b.shape or a.dtype is not b.dtype:
        return False
    return same_bits(values_of(a.tensor(), a.path), values_of(b.tensor(), b.path))


def _nothing_matched(
    content: ModuleContent, stored_entries: dict[str, Entry], plan: LoadPlan
) -> list[str]:
    """Return a problem if both sides have entries, but no name in common."""
    theirs = [p for p, entry in stored_entries.items() if entry.kind != "transient"]
    ours = [e.path for e in content.entries if e.kind != "transient"]
    if not (theirs or plan.report.unexpected) or not (ours or content.extra):
        return []
    found_names = ", ".join([*(theirs or plan.report.unexpected)][:3])
    expected_names = ", ".join([*ours, *content.extra][:3])
    return [
        f"nothing matches: found {found_names}, ..., expected {expected_names}, .... "
        "To load nothing anyway: load_record(module, file, allow_empty=True)"
    ]


def _other_kinds(
    missing: Iterable[Entry | str], unexpected: Iterable[Entry | str]
) -> dict[str, str]:
    """Return a line for each path where the two sides do not match."""
    stored_items = {_path(item): item for item in unexpected}
    # A state dict may have anything in the place of a tensor.
    no_tensor = "extra state, which is not a tensor"
    return {
        path: f"{path}: found {_described(stored_items[path], no_tensor)}, expected "
        f"{_described(item, no_tensor)}"
        for item in missing
        if (path := _path(item)) in stored_items
    }


def _described(item: Entry | str, of_extra_state: str = "extra state") -> str:
    if isinstance(item, str):
        return of_extra_state
    return f"{item.kind} {name_of_dtype(item.dtype)} {item.shape}"


def _problem_lines(
    items: Iterable[Entry | str], sentence: str, other_side: Iterable[Entry | str]
) -> list[str]:
    by_path = {_path(item): item for item in items}
    if not by_path:
        return []
    others = {_path(item): item for item in other_side}
    candidates = {
        name: _shape(others[members[0]])
        for name, members in [*group_paths(others).items()][:500]
    }
    lines: list[str] = []
    for name, members in group_paths(by_path).items():
        item = by_path[members[0]]
        # A name alone would propose the bias of an adapter for the weight of its base.
        alike = [other for other, shape in candidates.items() if shape == _shape(item)]
        # More hints would not be read, and each compares the name with all candidates.
        hint = did_you_mean(name, alike) if len(lines) < 20 else ""
        lines.append(f"{name}: {sentence.format(_described(item))}.{hint}")
    return lines


def _shape(item: Entry | str) -> tuple[int, ...] | None:
    return tuple(item.shape) if isinstance(item, Entry) else None


def _by_path(
    record: Entries, content: ModuleContent, plan: LoadPlan
) -> dict[str, Entry]:
    """Return stored entries by path; without wrapper prefixes if they fit then."""
    stored_entries = {p: e for p, e in path_index(record).items() if e.kind != "extra"}
    expected = {entry.path for entry in content.entries}
    expected.update(tie for entry in content.entries for tie in entry.ties)
    expected.update(content.extra)
    if not stored_entries or expected.issuperset(stored_entries):
        return stored_entries
    # DataParallel and others put "module." before every name; a single module of that
    # name is the user's.
    wrapped = all(path.startswith("module.") for path in stored_entries)
    unwrapped: dict[str, Entry] = {}
    for path, entry in stored_entries.items():
        name = path if path in expected else _without_wrappers(path, wrapped)
        # A name that another entry has remains that entry's, whichever comes first.
        if name not in expected or name in stored_entries or name in unwrapped:
            name = path
        if name != path:
            plan.report.renamed[path] = name
        unwrapped[name] = entry
    return unwrapped


def _without_wrappers(path: str, wrapped: bool) -> str:
    parts = path.split(".")
    if wrapped:
        parts = parts[1:]
    return ".".join(part for part in parts if part not in WRAPPING)


def _finish_report(plan: LoadPlan, record: Entries) -> None:
    report = plan.report
    report.loaded = [step.target.path for step in plan.steps] + plan.extra
    report.renamed = {**record.reading.renamed, **report.renamed}
    report.derived = {
        step.target.path: [leaf.path for leaf in source_entries(step.stored)]
        for step in plan.steps
        if isinstance(step.stored.source, Derived)
    }
    report.verified = record.verified
    differing: Any = library_part(record.metadata).get("differing", ())
    report.changed += [
        (
            f"{path}: the processes that saved it had different values; those of the "
            "first were stored"
        )
        for path in differing
        if path in path_index(record)
    ]
    report.converted = {
        step.target.path: (step.stored.dtype, step.dtype)
        for step in plan.steps
        if step.stored.dtype is not step.dtype
    }


def _path(item: Entry | str) -> str:
    return item if isinstance(item, str) else item.path
