"""Whether a module is the one that a record describes, as far as it can be compared."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from ...config.process.interrupts import raise_of_signal
from ...config.process.user_warning import warn_user
from ...config.short_text import first_names
from ...config.spelling import did_you_mean
from ...records.entries.entries import Entries, Reading, with_parts
from ...records.errors import RecordMismatchError
from ..evolution.upgrading import upgrade_paths
from ..hyperparameters.hparams_node import (
    ALL,
    BLUEPRINT,
    CHANGED,
    ORIGIN,
    RESULT,
    UNSTORED,
)
from ..hyperparameters.reader import planned
from ..hyperparameters.record_metadata import stored_hparams
from ..hyperparameters.structure import note_of_changes
from ..hyperparameters.writer import own_node
from ..modules.classes import declared_class
from ..modules.registry import NAME, is_same_class
from ..modules.tree import Places, places_of, unwrapped
from ..state.loading.cures import IGNORE
from ..state.uninitialized.streams import Streams
from ..state.uninitialized.uninitialized import call_unfilled
from .changes import (
    ChangedParts,
    Changes,
    apply_attributes,
    is_below,
    pairs_of_paths_and_node,
    stored_changes,
)
from .comparison import HparamsComparison
from .likeness import first_difference

_MOST = 1000
"""Number of lines after which comparison stops."""


def compared(
    module: nn.Module,
    record: Entries,
    places: Places,
    passed: frozenset[str] = frozenset(),
) -> HparamsComparison:
    """Return how ``module`` differs from the module that ``record`` describes.

    The arguments of its class are compared, and, at each path that a stored blueprint
    changed, the class and its arguments; how ``module`` was created does not matter.
    Arguments ``passed`` to build it are meant to differ.
    """
    comparison = HparamsComparison(passed=passed)
    hparams = stored_hparams(record)
    if hparams is None:
        return comparison
    inner_module = unwrapped(module)
    comparison.root(hparams, inner_module)
    # If neither module was changed after its constructor, arguments decide.
    is_changed = CHANGED in hparams or BLUEPRINT in hparams
    if not (is_changed or ORIGIN in inner_module.__dict__ or comparison.differing):
        return comparison
    parts = _result(hparams, record)
    changes = stored_changes(hparams, record)
    paths = [*changes, *(path for paths, _ in parts for path in paths)]
    carried = upgrade_paths(record, places, paths) if paths else {}
    if parts:
        _compare_parts(comparison, parts, carried, inner_module, record, places)
    if changes:
        ChangedParts(comparison, record, _by_path(places)).compare(changes, carried)
    if not is_same_class(hparams, declared_class(type(inner_module))):
        return comparison
    stored_paths = {p for paths, _ in parts for path in paths if (p := carried[path])}
    is_result_alike = bool(comparison.differing) and _is_result_alike(
        comparison, inner_module, record, changes, stored_paths
    )
    if is_result_alike:
        comparison.differing.clear()
    else:
        _find_untold_changes(comparison, carried, inner_module, places)
    return comparison


def _is_result_alike(
    comparison: HparamsComparison,
    inner_module: nn.Module,
    record: Entries,
    changes: Changes,
    stored_paths: Collection[str],
) -> bool:
    """Return whether other arguments and changes have led to the stored module.

    Without changes of parts on either side only arguments are known, and they differ.
    ``stored_paths`` are those that the stored blueprint changed, after upgrade rules.
    """
    hparams = stored_hparams(record) or {}
    if (
        not (_is_changed(inner_module) or changes or _tape(hparams))
        or comparison.passed
    ):
        return False
    parts = _rebuilt(hparams, inner_module, changes)
    if parts is None:
        return False
    lost_paths = _lost_paths(parts, stored_paths)
    if lost_paths:
        comparison.differing.append(
            f"rebuilt from what is stored with the module, it lacks what a blueprint "
            f"changed at {first_names(lost_paths, 4)}. That follows a rule for the "
            f"part, such as RenameField({lost_paths[0]!r}, ...) or "
            f"DeleteField({lost_paths[0]!r}), and no rules for its tensors"
        )
        return False
    supplied = {p for entry in record.entries() for p in (entry.path, *entry.ties)}
    line = first_difference(parts, inner_module, supplied)
    if line is None:
        return True
    comparison.differing.append(f"rebuilt from what is stored with the module, {line}")
    return False


def _rebuilt(
    hparams: Mapping[str, object], inner_module: nn.Module, changes: Changes
) -> nn.Module | None:
    """Return the stored module without its values; None if it cannot be built."""
    streams = Streams()
    try:
        build = planned(hparams, declared_class(type(inner_module)))
        module = call_unfilled(build)
        return module if apply_attributes(module, changes) else None
    except Exception as error:  # the arguments, which differ, are all that is known
        raise_of_signal(error)
        return None
    finally:
        streams.restore()


def _lost_paths(module: nn.Module, stored_paths: Collection[str]) -> list[str]:
    """Return the paths among ``stored_paths`` that ``module`` has not changed.

    A pattern also finds a part whose new name is given by no rule, so that a path alone
    proves nothing: changes are lost where fewer parts are changed than were.
    """
    origin: Any = module.__dict__.get(ORIGIN)
    places = _by_path(places_of(module))
    changed = {p for p in origin.changed if p and p in places} if origin else set[str]()
    if len(changed) >= len(stored_paths):
        return []
    return sorted(set(stored_paths) - changed)


def _is_changed(inner_module: nn.Module) -> bool:
    """Return whether ``inner_module`` differs from what its arguments build."""
    origin: Any = inner_module.__dict__.get(ORIGIN)
    is_configured = origin is not None and bool(origin.edits)
    return is_configured or bool(note_of_changes(inner_module, places_of(inner_module)))


def compare_ties(
    comparison: HparamsComparison,
    parted: list[str],
    module: nn.Module,
    record: Entries,
) -> None:
    """Add to ``comparison`` the parameters that are tied only in the file.

    The same arguments of the same class create the same ties: others were made by hand.
    Otherwise the difference is the reader's choice.
    """
    hparams = stored_hparams(record)
    is_same = hparams is not None and is_same_class(
        hparams, declared_class(type(unwrapped(module)))
    )
    is_chosen = not is_same or comparison.passed or comparison.differing
    (comparison.noted if is_chosen else comparison.unknown).extend(parted)


def check_meaning(module: nn.Module, hparams: object, file: str) -> None:
    """Raise `RecordMismatchError` if ``module`` is not what ``hparams`` describes.

    For weights that are not loaded from one of our records.
    """
    reading = Reading(file=file)
    record = Entries.of([], metadata={"burnish": {"hparams": hparams}})
    record = with_parts(record, reading=reading)
    comparison = compared(module, record, places_of(module))
    if comparison.differing:
        cure = "Train the module that was saved, or load its weights into this one."
        raise RecordMismatchError(file, comparison.differing, cure)
    lines_of_report(comparison, record, is_ignored=False)


def lines_of_report(
    comparison: HparamsComparison,
    record: Entries,
    *,
    is_ignored: bool,
    is_new: bool = False,
) -> list[str]:
    """Return the report's lines; warn, once, of what could not be compared.

    A reader of a part of a record builds something else: differences are a warning. The
    user who builds a new module of another class sees no report, and is warned.
    """
    differing = comparison.differing
    unknown = [*comparison.unknown, *(comparison.unrelated if is_new else ())]
    silent = is_ignored or not (unknown or differing)
    if not silent:
        lines = [*unknown, *differing]
        more = f" and {len(lines) - 4} more" if len(lines) > 4 else ""
        warn_user(
            f"{record.reading.file}: the module may differ from the stored one: "
            f"{'; '.join(lines[:4])}{more}. {IGNORE}"
        )
    return [*differing, *comparison.unknown, *comparison.unrelated, *comparison.noted]


def _result(
    hparams: Mapping[str, object], record: Entries
) -> list[tuple[list[str], Mapping[str, Any]]]:
    """Return the paths that a blueprint changed, with the nodes there."""
    blueprint: Any = hparams.get(BLUEPRINT)
    pairs: Any = blueprint.get(RESULT, []) if isinstance(blueprint, Mapping) else []
    return pairs_of_paths_and_node(pairs, f"{BLUEPRINT}.{RESULT}", record)


def _compare_parts(
    comparison: HparamsComparison,
    parts: list[tuple[list[str], Mapping[str, Any]]],
    carried: Mapping[str, str | None],
    inner_module: nn.Module,
    record: Entries,
    places: Places,
) -> None:
    """Compare the stored parts with those to which rules have ``carried`` them."""
    modules = _by_path(places)
    is_whole_changed = _changes_whole(record)
    # A path that occurs repeatedly in a file is compared once.
    nodes = {path: node for paths, node in reversed(parts) for path in paths}
    for stored_path, node in nodes.items():
        if len(comparison.differing) + len(comparison.unknown) > _MOST:
            return
        path = carried[stored_path]
        if path is None:
            continue
        part = modules.get(path)
        if part is None:
            hint = did_you_mean(path, modules) if len(comparison.differing) < 20 else ""
            comparison.differing.append(
                f"{path:.200}: stored {node.get(NAME)!s:.80}, the module has no "
                f"module there.{hint}"
            )
            continue
        part = unwrapped(part)
        cls = declared_class(type(part))
        if is_same_class(node, cls):
            live_node = _live_node(inner_module, path, part)
            if path or is_whole_changed or ALL not in live_node.get(UNSTORED, {}):
                comparison.module(node, live_node, cls, path)
        elif path:
            comparison.differing.append(
                f"{path}: stored {node.get(NAME)!s:.80}, the module has "
                f"{cls.__qualname__}"
            )


def _live_node(
    inner_module: nn.Module, path: str, part: nn.Module
) -> Mapping[str, Any]:
    """Return the description of a part; its blueprint may know uncaptured ones."""
    node = own_node(part)
    origin: Any = inner_module.__dict__.get(ORIGIN)
    if ALL in node.get(UNSTORED, {}) and origin is not None:
        node = origin.part(inner_module, path, part) or node
    return node


def _find_untold_changes(
    comparison: HparamsComparison,
    carried: Mapping[str, str | None],
    inner_module: nn.Module,
    places: Places,
) -> None:
    """Record what a blueprint changed in the module, and the file does not state.

    The stored module may have been changed in the same way by hand, so that is not a
    difference.
    """
    origin: Any = inner_module.__dict__.get(ORIGIN)
    if origin is None:
        return
    stored_paths = {path for path in carried.values() if path is not None}
    modules = _by_path(places)
    for path in origin.changed:
        if path and path in modules and not is_below(path, stored_paths):
            name = declared_class(type(unwrapped(modules[path]))).__qualname__
            comparison.unknown.append(
                f"{path}: the module has {name} from its blueprint, and the file does "
                "not say what was there"
            )


def _by_path(places: Places) -> dict[str, nn.Module]:
    """Return the module at each path; of several at one path, the first."""
    return {prefix[:-1]: owner for prefix, owner in reversed(places)}


def _changes_whole(record: Entries) -> bool:
    """Return whether the stored blueprint changed arguments of the whole."""
    entries = _tape(stored_hparams(record) or {})
    return any(isinstance(e, Mapping) and e.get("at") in ("", [""]) for e in entries)


def _tape(hparams: Mapping[str, object]) -> list[Any]:
    """Return the stored changes of a blueprint."""
    blueprint: Any = hparams.get(BLUEPRINT)
    tape: Any = blueprint.get("tape") if isinstance(blueprint, Mapping) else None
    return tape if isinstance(tape, list) else []
