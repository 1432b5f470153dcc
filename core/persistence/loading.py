# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Loading into modules: filling a live one, or building one without initialization."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, Literal, TypedDict, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

from ...config.patterns import Patterns
from ...config.process.gc_pause import paused_collection
from ...config.process.interrupts import call_with_end
from ...config.process.log import LOG
from ...config.process.transaction import (
    Transaction,
    Undo,
    all_or_nothing,
    undo_all,
)
from ...config.short_text import with_article
from ...records.calls import explain_calls
from ...records.entries.entries import Entries, library_part, wrappers_in
from ...records.entries.entry import Entry
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.io.progress import Progress
from ...records.io.source import Maps
from ...records.io.sums_ahead import SumsAhead
from ...records.nest import state_dict_within
from ...records.open import open_record
from ...records.processes.agreement import agreed
from ...records.processes.messages import n_processes
from ...records.readable import Readable
from ...records.report import LoadReport
from ...records.sharded.same_record import check_same_record
from ...records.tensors.dtypes import name_of_dtype
from ...records.tensors.shares import groups_of
from ..evolution.upgrading import upgrade_left_out, upgrade_record
from ..hyperparameters.record_metadata import is_part
from ..modules.module_argument import check_module
from ..modules.tree import Places, places_of
from ..state.entries import ModuleContent, content_of
from ..state.identity import adopt
from ..state.loading.allowed import Allowed, left_out_by_reader
from ..state.loading.commit import Filling, assign_all, copy_all, is_shown
from ..state.loading.cures import cure_of_replaced
from ..state.loading.fillings import read_fillings
from ..state.loading.lazy_tensors import materialize_lazy
from ..state.loading.plan import LoadPlan, plan_load
from ..state.loading.post_hooks import PostHooks
from ..state.loading.stored_extra import StoredExtra, steps_below
from ..state.uninitialized.build import UnfilledBuild
from ..state.uninitialized.factories import arguments_go_to_lambda, check_callable
from ..state.uninitialized.tape import BLANK
from ..state.uninitialized.uninitialized import build_unfilled, rebuild
from ..state.wrapped_tensors import make_wrappers
from .burn_convention import explained, from_burn
from .meaning import compare_ties, compared, lines_of_report

M = TypeVar("M", bound=nn.Module)


class ModuleLoadOptions(TypedDict, total=False):
    """How differences between a record and the module that it fills are treated."""

    strict: bool
    allow_missing: Patterns | None
    allow_unexpected: Patterns | None
    allow_empty: bool
    hyperparameters: Literal["compare", "ignore"] | None
    sha256: str | None
    progress: Progress | None


@explain_calls(
    "burnish.load_record(module, file{})", "read", cure=arguments_go_to_lambda
)
def load_record(
    module: nn.Module,
    source: Readable,
    *,
    strict: bool = True,
    allow_missing: Patterns | None = None,
    allow_unexpected: Patterns | None = None,
    allow_empty: bool = False,
    hyperparameters: Literal["compare", "ignore"] | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> LoadReport:
    """Fill ``module`` with the record, or raise and leave it exactly as it was.

    Values are copied into the memory of the module, so that its optimizer, ties and
    views stay valid; each tensor keeps its dtype unless the record was opened with
    another, and the module its training mode. ``strict=False`` allows missing and
    unexpected entries, a pattern some of them; a wrong shape is never allowed, nor a
    record of which nothing fits (``allow_empty`` does). A module whose hyperparameters
    differ from the stored ones is refused, unless ``hyperparameters="ignore"``, and so
    is a file whose SHA-256 is not ``sha256``, as in `open_record`. Hooks that would
    convert a state dict are not run, and a module whose values they would convert is
    refused; hooks for the end of a load are run. All processes that share a module call
    this: if it raises on one of them, it raises on all, and changes none. ``progress``
    is called with (bytes done, bytes in total, path of the entry) before anything is
    changed; True: a line on stderr after a second. Raises `RecordMismatchError`,
    `RecordChecksumError`, `PrecisionError`.
    """
    check_module(module, "load_record")
    allowed = Allowed(strict, allow_missing, allow_unexpected, allow_empty)

    groups = groups_of_module(module)

    def fill(transaction: Transaction) -> tuple[FlatRecord, LoadReport]:
        record = module_record(source, hyperparameters, sha256, progress)
        return record, fill_module(module, record, allowed, transaction)

    def fill_all(transaction: Transaction) -> LoadReport:
        record, report = agreed(partial(fill, transaction), groups=groups)
        # A record that fits none of the modules was refused earlier, with another
        # message.
        check_same_record(record, groups)
        return report

    return all_or_nothing(fill_all)


def groups_of_module(module: nn.Module) -> list[Any]:
    """Return the process groups that have shares of the module's tensors."""
    return groups_of(chain(module.parameters(), module.buffers()))


def fill_module(
    module: nn.Module, record: Entries, allowed: Allowed, transaction: Transaction
) -> LoadReport:
    """Fill ``module`` as `load_record` does, in a transaction with other changes."""
    fitting_record, places, allowed = _fit_to(module, record, allowed)
    with explained(record, places):
        materialize_lazy(places, fitting_record, transaction)
        return _fill(module, fitting_record, places, allowed, transaction)


def _fit_to(
    module: nn.Module, record: Entries, allowed: Allowed
) -> tuple[Entries, Places, Allowed]:
    """Return ``record`` with the names, orders and version of ``module``.

    Also returns the module's places, and what may be missing.
    """
    places = places_of(module)
    translation, absent = from_burn(record, places)
    upgraded = upgrade_record(translation, places)
    absent |= allowed.absent | record.reading.left_out
    absent = upgrade_left_out(translation, places, absent)
    return upgraded, places, replace(allowed, absent=absent)


def _fill(
    module: nn.Module,
    record: Entries,
    places: Places,
    allowed: Allowed,
    transaction: Transaction,
) -> LoadReport:
    content = content_of(
        places, encode=False, is_left_out=left_out_by_reader(record.reading)
    )
    plan = _plan_filling(module, content, record, places, allowed)
    maps = Maps()
    ahead = SumsAhead(maps)

    def read() -> list[Filling]:
        ahead.begin(_stored_payloads(step.stored for step in plan.steps))
        return read_fillings(plan, record, maps)

    fillings = call_with_end(read, ahead.end)
    parted_numbers = [
        i
        for i, (tensors, values) in enumerate(fillings)
        if tensors[0].dtype is not values.dtype and is_shown(tensors)
    ]
    hooks = PostHooks(places, record.reading.file, plan.report)
    if plan.extra or hooks:
        extra = StoredExtra(content, plan, record)
        _copy_for_modules(fillings, extra, hooks, plan, transaction)
    else:
        copy_all(fillings, transaction)
    adopt(places, plan.ids, transaction)
    _report_views(plan, parted_numbers)
    _log_load(module, record, plan.report)
    return plan.report


def _copy_for_modules(
    fillings: list[Filling],
    extra: StoredExtra,
    hooks: PostHooks,
    plan: LoadPlan,
    transaction: Transaction,
) -> None:
    """Copy the values, and call the modules that compute something from them."""
    current_extra = extra.current()
    undos: list[Undo] = []
    # What modules compute from values is restored with the values.
    transaction.undo_with(hooks.call_again)
    transaction.undo_with(partial(undo_all, undos))
    transaction.make_visible()
    early = steps_below([*extra.prefixes, *hooks.prefixes], plan.steps)
    copy_all(fillings, transaction, early=early)
    extra.hand_over(current_extra, undos)
    hooks.call()


@explain_calls(
    "burnish.from_record(lambda: Net(...), file{})", "read", cure=arguments_go_to_lambda
)
def from_record(
    factory: Callable[[], M],
    source: Readable,
    *,
    strict: bool = True,
    allow_missing: Patterns | None = None,
    allow_unexpected: Patterns | None = None,
    allow_empty: bool = False,
    hyperparameters: Literal["compare", "ignore"] | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> M:
    """Return what ``factory`` builds, filled from the record without initializing it.

    The tensors are the record's own, memory-mapped if the file allows it. Parameters
    that the record does not supply are initialized; `report_of` lists them. Parameters
    are frozen as they were stored, if the file is one of ours. If ``factory`` fails
    without initialization, it is called once more, normally. Skipped draws do not
    advance torch's generators: seed after loading if what follows must be reproducible.
    ``sha256`` and ``progress`` are those of `load_record`. Raises as that does.
    """
    allowed = Allowed(strict, allow_missing, allow_unexpected, allow_empty)
    check_callable(factory)
    try:
        record = module_record(source, hyperparameters, sha256, progress)
    except Exception as error:
        if n_processes() > 1:
            _tell_who_builds(factory, error)
        raise
    return build_from_record(factory, record, allowed)


def _tell_who_builds(factory: Callable[[], nn.Module], error: Exception) -> None:
    """Raise ``error`` on all processes that build this module together.

    They have opened the record, and would wait for this one. Which processes these are
    is known once the module is built, and building it may need several as well.
    """

    def fail() -> None:
        raise error

    module, _ = build_unfilled(factory, None, is_for_whole=False)
    agreed(fail, groups=groups_of_module(module))


def build_from_record(factory: Callable[[], M], record: Entries, allowed: Allowed) -> M:
    """Return what ``factory`` builds, filled from ``record``."""
    maps = Maps()
    ahead = SumsAhead(maps)

    def build() -> M:
        # Other threads hash the file while the constructor runs.
        ahead.begin(_stored_payloads(record.entries()))
        return all_or_nothing(partial(_from_record, factory, record, allowed, maps))

    with paused_collection():
        return call_with_end(build, ahead.end)


def report_of(module: nn.Module) -> LoadReport | None:
    """Return the report of `from_record` on ``module``; None if it did not build it."""
    return _reports.get(module)


_reports: WeakKeyDictionary[nn.Module, LoadReport] = WeakKeyDictionary()


def _from_record(
    factory: Callable[[], M],
    record: Entries,
    allowed: Allowed,
    maps: Maps,
    transaction: Transaction,
    *,
    is_for_whole: bool | None = None,
) -> M:
    is_first_time = is_for_whole is None
    if is_for_whole is None:
        is_for_whole = bool(library_part(record.metadata)) and not is_part(record)
    module, build = build_unfilled(
        factory, record.reading.device, is_for_whole=is_for_whole
    )
    if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]  # users return anything
        raise TypeError(
            f"the factory returned {with_article(type(module).__name__)}, expected an "
            "nn.Module; pass a function without arguments: lambda: Net(width=128)"
        )
    groups = groups_of_module(module)
    if is_first_time:
        # Before they fill: one of two records may have to start again.
        agreed(lambda: None, groups=groups)
        check_same_record(record, groups)
    fill = partial(_filled, factory, module, build, record, allowed, maps, transaction)
    # A process without a module must not leave the others waiting in training.
    return agreed(fill, groups=groups)


def _filled(
    factory: Callable[[], M],
    module: M,
    build: UnfilledBuild | None,
    record: Entries,
    allowed: Allowed,
    maps: Maps,
    transaction: Transaction,
) -> M:
    """Return ``module``, which ``factory`` built, with the values of ``record``."""
    stored_record = record

    def start_over(factory: Callable[[], M]) -> M:
        return _from_record(
            factory, stored_record, allowed, maps, transaction, is_for_whole=False
        )

    record, places, allowed = _fit_to(module, record, allowed)
    materialize_lazy(places, record, transaction)
    if wrappers_in(record.tree or {}):
        make_wrappers(places, record)
    content = content_of(
        places, encode=False, is_left_out=left_out_by_reader(record.reading)
    )
    if build is not None and any(entry.dtype is BLANK for entry in content.entries):
        # Code outside of Python has read a blank as the values of a parameter.
        return start_over(partial(rebuild, factory, build))
    with explained(stored_record, places):
        plan = _plan_filling(module, content, record, places, allowed, is_new=True)
    if build is not None and build.has_left_out and _leaves_some(content, plan):
        build.rewind()
        return start_over(factory)
    fillings = read_fillings(plan, record, maps, is_kept=True)
    parted_numbers = assign_all(fillings, build)
    _report_views(plan, parted_numbers)
    if build is not None and build.fill() and build.has_left_out:
        # A parameter that is in no module is still referenced.
        build.rewind()
        return start_over(factory)
    _hand_over_more(places, content, plan, record, transaction)
    _reports[module] = plan.report
    _log_load(module, record, plan.report)
    return module


def _hand_over_more(
    places: Places,
    content: ModuleContent,
    plan: LoadPlan,
    record: Entries,
    transaction: Transaction,
) -> None:
    """Set the rest of ``record`` on a new module: extra state, flags, IDs.

    After that its hooks for the end of a load are called.
    """
    if plan.extra:
        StoredExtra(content, plan, record).hand_over({}, [])
    plan.report.requires_grad = plan.take_over_flags()
    adopt(places, plan.ids, transaction)
    if plan.missing or content.is_partial:
        plan.report.initialized = _not_supplied(places, content, plan)
    PostHooks(places, record.reading.file, plan.report).call()


def _leaves_some(content: ModuleContent, plan: LoadPlan) -> bool:
    """Return whether a tensor of the module gets no values from the record."""
    is_short = len(plan.steps) < len(content.entries)
    return is_short or bool(plan.missing) or content.is_partial


def _stored_payloads(entries: Iterable[Entry]) -> Iterator[object]:
    """Return which of ``entries`` a load reads: not those that are live tensors."""
    return (entry.source for entry in entries if entry.touched is None)


def module_record(
    source: Readable,
    hyperparameters: Literal["compare", "ignore"] | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> FlatRecord:
    """Return the module's record in ``source``; for plain data, of its state dict."""
    is_as_asked = hyperparameters is None and sha256 is None and progress is None
    record = source if isinstance(source, FlatRecord) and is_as_asked else None
    if record is None:
        record = open_record(
            source, hyperparameters=hyperparameters, sha256=sha256, progress=progress
        )
    return state_dict_within(record) if record.is_typed else record


def _plan_filling(
    module: nn.Module,
    content: ModuleContent,
    record: Entries,
    places: Places,
    allowed: Allowed,
    *,
    is_new: bool = False,
) -> LoadPlan:
    """Return the record to be loaded once the stored module was found."""
    comparison = compared(module, record, places, allowed.arguments)
    is_ignored = record.reading.hyperparameters == "ignore"
    is_refused = not is_ignored and not is_part(record)
    differing = comparison.differing if is_refused else ()
    try:
        plan = plan_load(content, record, allowed, differing, places)
    except RecordMismatchError as error:
        if comparison.replaced:
            error.add_cure(cure_of_replaced(comparison.replaced))
        raise
    compare_ties(comparison, plan.split_parameters, module, record)
    plan.report.changed += lines_of_report(
        comparison, record, is_ignored=is_ignored, is_new=is_new
    )
    return plan


def _log_load(module: nn.Module, record: Entries, report: LoadReport) -> None:
    LOG.debug(
        "%s: %d tensors loaded into a %s, verified: %s",
        record.reading.file,
        len(report.loaded),
        type(module).__name__,
        report.verified,
    )


def _report_views(plan: LoadPlan, numbers: Iterable[int]) -> None:
    """Report tensors that lost their views because of a new dtype."""
    for i in numbers:
        step = plan.steps[i]
        plan.report.changed.append(
            f"{step.target.path}: other tensors that shared its memory have the "
            f"values, but stay {name_of_dtype(step.target.dtype)} and are no longer "
            "views of it"
        )


def _not_supplied(places: Places, content: ModuleContent, plan: LoadPlan) -> list[str]:
    """Return the paths of parameters and buffers that are not from the record."""
    supplied = {id(tensor) for step in plan.steps for tensor in step.tensors}
    paths = [
        entry.path
        for entry in content.entries
        if id(entry.source) not in supplied and entry.kind != "transient"
    ]
    listed = supplied | {id(entry.source) for entry in content.entries}
    for prefix, owner in places:
        for name, parameter in owner._parameters.items():
            if parameter is not None and id(parameter) not in listed:
                paths.append(prefix + name)
    return paths
