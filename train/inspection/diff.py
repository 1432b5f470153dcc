"""burnish.diff: what only one of two has, and how much the rest differs."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ...config.path import join
from ...config.short_text import first_names
from ...core.persistence.saving import into_record
from ...records.entries.entry import Entry, Payload
from ...records.flat_record import FlatRecord
from ...records.inspection.comparison import (
    Distance,
    content_sum,
    distance_of,
    distance_of_whole,
)
from ...records.inspection.read_ahead import read_ahead
from ...records.io.lazy_payload import LazyPayload
from ...records.io.progress import (
    Progress,
    StopsAsItself,
    Tally,
    progress_call,
    through_generators,
)
from ...records.io.source import Maps, is_remote
from ...records.readable import Readable
from ...records.tensors.memory import values_of
from ..hyperstate.state_folders import place_named
from ..hyperstate.stored_files import StoredFiles
from .diff_result import ABSENT, Diff, ValueChange
from .layers import LayerChanges
from .named_records import StoredPart, StoredParts
from .pairing import Pairing, pair_entries, shared_path
from .part_view import PartView, part_views
from .settings import SettingsPair, settings_of, values_by_path
from .stored_parts import stored_parts
from .tensor_changes import TensorChanges

Comparable: TypeAlias = "Readable | nn.Module | Mapping[str, Any]"
"""A file, a folder, a URL, a record, a module, a state dict."""


def diff(
    a: Comparable,
    b: Comparable,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    progress: Progress | None = None,
) -> Diff:
    """Return the differences between two checkpoints, files, records or modules.

    Folders are opened as `burnish show` opens them, optimizers compared by the names of
    parameters. A renamed tensor is recognized by its ID, its values, or a prefix that
    all names got. Without ``rtol`` and ``atol`` every difference counts; with one of
    them a difference of at most ``atol + rtol * abs(b)`` does not. Tensors are read in
    pieces. ``progress`` is called as by saves. Raises `RecordError` for damage, OSError
    for missing files.
    """
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance is None:
            continue
        is_number = isinstance(tolerance, (int, float))  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        if not is_number or not 0 <= tolerance < math.inf:
            raise ValueError(
                f"{name} must be a finite number of at least 0, got {tolerance!r:.80}"
            )
    with ExitStack() as opened:
        source_a, source_b = (_parts_of(side, opened) for side in (a, b))
        views_a, views_b = _views(source_a), _views(source_b)
        result = _compared(
            (source_a.source, _matched(views_a, views_b)),
            (source_b.source, _matched(views_b, views_a)),
            rtol=rtol,
            atol=atol,
            progress=progress,
        )
        if source_a.kind != source_b.kind:
            return result
        bounds = (rtol or 0.0, atol or 0.0) if result.has_tolerance else None
        values_a, values_b = text_values(source_a), text_values(source_b)
        changes = _changes("", values_a, values_b, bounds)
        return replace(result, data=[*changes, *result.data])


def text_values(source: StoredParts) -> dict[str, object] | None:
    """Return the content of a checkpoint's texts beside its records, by path.

    None for folders without texts. Raises ConfigSyntaxError for one that cannot be
    read.
    """
    if source.kind == "checkpoint":
        return values_by_path(
            {"step": source.facts["step"], **source.facts["values"]}, ""
        )
    if source.kind != "hyperstate":
        return None
    values: dict[str, object] = {}
    names = source.facts["texts"]
    files = source.texts or StoredFiles.of_folder(place_named(source.source), names)
    with closing(files):
        for name in names:
            values |= values_by_path(files.tree(name), name.rpartition(".")[0])
    return values


def _parts_of(side: Any, opened: ExitStack) -> StoredParts:
    if isinstance(side, nn.Module):
        return _of_record(into_record(side), type(side).__name__)
    if isinstance(side, Mapping) and not isinstance(side, FlatRecord):
        return _of_record(FlatRecord.from_state_dict(side), "state dict")
    if isinstance(side, StoredParts):
        return side
    parts = stored_parts(side)
    if isinstance(side, str) or hasattr(side, "__fspath__"):
        opened.enter_context(parts)
    return parts


def _of_record(record: FlatRecord, name: str) -> StoredParts:
    return StoredParts(name, "record", [StoredPart("", name, record)])


def _views(source: StoredParts) -> dict[str, PartView]:
    return {view.part.name: view for view in part_views(source)}


def _matched(
    views: Mapping[str, PartView], other_views: Mapping[str, PartView]
) -> dict[str, PartView]:
    """Return the parts under the names by which they are compared.

    A record alone is compared with the only module of a checkpoint, and an optimizer
    with the only one of its kind.
    """
    if len(views) > 1 and [*other_views] == [""]:
        peers = [*_peers(other_views[""], views.values())]
        if len(peers) == 1:
            return {"": peers[0]}
    if len(views) == len(other_views) == 1:
        return {"": next(iter(views.values()))}
    return dict(views)


def _peers(view: PartView, others: Iterable[PartView]) -> Iterator[PartView]:
    """Yield the parts of a checkpoint that may correspond to ``view``."""
    if view.groups:
        type_name = view.record.type_name
        yield from (v for v in others if v.groups and v.record.type_name == type_name)
        return
    for other in others:
        # A HyperState does not declare the kinds of its parts.
        is_module = not (other.part.kind or other.groups or other.record.is_typed)
        if is_module or other.part.kind == "module":
            yield other


def _compared(
    a: tuple[str, dict[str, PartView]],
    b: tuple[str, dict[str, PartView]],
    *,
    rtol: float | None,
    atol: float | None,
    progress: Progress | None,
) -> Diff:
    views = {n: (a[1].get(n), b[1].get(n)) for n in dict.fromkeys([*a[1], *b[1]])}
    tolerance = None if rtol is None and atol is None else (rtol or 0.0, atol or 0.0)
    settings = {name: settings_of(x, y) for name, (x, y) in views.items()}
    other_settings = {n: _changes(n, pair.a, pair.b) for n, pair in settings.items()}
    other_data = {
        n: _changes(n, _plain_values(x), _plain_values(y), tolerance)
        for n, (x, y) in views.items()
    }
    pairings = {
        name: pair_entries(_entries(x), _entries(y), _sum_of)
        for name, (x, y) in views.items()
    }
    distances = _Distances(rtol or 0.0, atol or 0.0, progress)
    with StopsAsItself():
        distances.add(pairings)
    return Diff(
        a=a[0],
        b=b[0],
        only_a=[join(n, e.path) for n, p in pairings.items() for e in p.only_a],
        only_b=[join(n, e.path) for n, p in pairings.items() for e in p.only_b],
        reshaped=distances.reshaped,
        retyped=distances.retyped,
        renamed={
            join(name, path_a): join(name, path_b)
            for name, pairing in pairings.items()
            for path_a, path_b in pairing.renamed.items()
        },
        changed=distances.changes.rows(distances.layers.movement_of),
        n_beyond=distances.changes.n_beyond,
        equal=distances.equal,
        layers=distances.layers.changed(),
        hyperparameters=[*chain.from_iterable(other_settings.values())],
        tied_a=[_below(n, tie) for n, p in pairings.items() for tie in p.tied_a],
        tied_b=[_below(n, tie) for n, p in pairings.items() for tie in p.tied_b],
        not_compared=[*_beside(views), *_unpaired_text(settings)],
        data=[*chain.from_iterable(other_data.values())],
        equal_parts=[
            name
            for name, (x, y) in views.items()
            if name and x and y
            if not (other_settings[name] or other_data[name])
            if name not in distances.unequal_parts and pairings[name].is_identity
        ],
        has_tolerance=tolerance is not None,
    )


_Views: TypeAlias = Mapping[str, tuple[PartView | None, PartView | None]]
"""What both sides have under the name of a part."""


def _below(part: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(join(part, name) for name in names)


def _beside(views: _Views) -> list[str]:
    """Return the content beside the state dicts of either side, by name."""
    sides = ((n, view) for n, pair in views.items() for view in pair if view)
    names = (join(n, item) for n, view in sides for item in view.record.reading.beside)
    return [*dict.fromkeys(names)]


def _unpaired_text(settings: Mapping[str, SettingsPair]) -> Iterator[str]:
    for name, pair in settings.items():
        if pair.unpaired:
            names = first_names((join(name, path) for path in pair.unpaired), 3)
            yield f"hyperparameters of {names}"


class _Distances:
    """The results for pairs, in order."""

    def __init__(self, rtol: float, atol: float, progress: Progress | None) -> None:
        self.rtol, self.atol = rtol, atol
        call = progress_call(progress)
        self._progress = None if call is None else through_generators(call)
        self.reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self.retyped: dict[str, tuple[torch.dtype, torch.dtype]] = {}
        # Reading small tensors one by one takes as long as comparing them.
        self._maps = Maps()
        self.changes = TensorChanges()
        self.equal: list[str] = []
        self.layers = LayerChanges()
        self.unequal_parts: set[str] = set()
        """Parts with a pair whose shapes, dtypes or values differ."""

    def add(self, pairings: Mapping[str, Pairing]) -> None:
        """Compare the pairs of each part."""
        pairs = (pair for pairing in pairings.values() for pair in pairing.pairs)
        tally = Tally(self._progress, (a.nbytes for a, _ in pairs))
        for part, pairing in pairings.items():
            alike = (pair for pair in pairing.pairs if _is_alike(*pair))
            for a, b in read_ahead(alike):
                if not self._add(a, b, join(part, shared_path(a, b)), tally):
                    self.unequal_parts.add(part)
            reshaped = {
                join(part, shared_path(a, b)): (a.shape, b.shape)
                for a, b in pairing.pairs
                if not _is_alike(a, b)
            }
            if reshaped:
                self.unequal_parts.add(part)
            self.reshaped |= reshaped
        self._maps = Maps()  # so that the pages of the files are released
        self.layers.put_together()

    def _add(self, a: Entry, b: Entry, path: str, tally: Tally) -> bool:
        """Compare a pair, and return whether it is equal."""
        if a.dtype is not b.dtype:
            self.retyped[path] = a.dtype, b.dtype
        distance = self._distance(a, b, tally, path)
        self.layers.add(path, distance)
        if distance.n_changed:
            self.changes.add(path, distance)
        else:
            self.equal.append(path)
        return a.dtype is b.dtype and not distance.n_changed

    def _distance(self, a: Entry, b: Entry, tally: Tally, path: str) -> Distance:
        source_a, source_b = _small_source(a), _small_source(b)
        if source_a is None or source_b is None:
            blocks = _counted(_values(a), tally, path)
            return distance_of(blocks, _values(b), rtol=self.rtol, atol=self.atol)
        x, y = _whole(a, source_a, self._maps), _whole(b, source_b, self._maps)
        tally.add(a.nbytes, path)
        return distance_of_whole(x, y, rtol=self.rtol, atol=self.atol)


def _is_alike(a: Entry, b: Entry) -> bool:
    return a.shape == b.shape


_SMALL = 1 << 16
"""Bytes of a tensor that is read whole: most of hundreds of thousands are."""


def _small_source(entry: Entry) -> Tensor | Payload | None:
    """Return the whole tensor; None for one that is read in blocks, as of URLs."""
    if entry.nbytes > _SMALL:
        return None
    source = entry.reading_source()
    is_of_file = isinstance(source, LazyPayload) and not is_remote(source.source)
    return source if is_of_file or entry.is_live else None


def _whole(entry: Entry, source: Tensor | Payload, maps: Maps) -> Tensor:
    tensor = source if isinstance(source, Tensor) else source.load(maps)
    values: Tensor = values_of(tensor, entry.path)
    return values.detach().reshape(-1)


def _counted(blocks: Iterable[Tensor], tally: Tally, path: str) -> Iterator[Tensor]:
    for block in blocks:
        yield block
        tally.add(block.nbytes, path)


def _values(entry: Entry) -> Iterator[Tensor]:
    """Yield the current values of the entry: of the live tensor, else of the file."""
    return (block.detach() for block in entry.blocks())


def _sum_of(entry: Entry) -> bytes:
    return content_sum(_values(entry))


def _entries(view: PartView | None) -> list[Entry]:
    return [] if view is None else view.entries


def _plain_values(view: PartView | None) -> dict[str, object]:
    return {} if view is None else dict(view.plain)


def _changes(
    part: str,
    a: Mapping[str, object] | None,
    b: Mapping[str, object] | None,
    tolerance: tuple[float, float] | None = None,
) -> list[ValueChange]:
    """Return the differences; where one side has no data, nothing is compared."""
    if a is None or b is None:
        return []
    sides = {p: (a.get(p, ABSENT), b.get(p, ABSENT)) for p in dict.fromkeys([*a, *b])}
    return [
        ValueChange(join(part, path), x, y, _is_close(x, y, tolerance))
        for path, (x, y) in sides.items()
        if not _is_equal(x, y)
    ]


def _is_equal(a: object, b: object) -> bool:
    # The text form distinguishes NaN and numbers of different types.
    return a is b or repr(a) == repr(b)


def _is_close(a: object, b: object, tolerance: tuple[float, float] | None) -> bool:
    """Return whether both are numbers within the tolerance; exact for any size."""
    a, b = (side.item() if isinstance(side, np.generic) else side for side in (a, b))
    if tolerance is None or isinstance(a, bool) or isinstance(b, bool):
        return False
    if not (isinstance(a, int | float) and isinstance(b, int | float)):
        return False
    if any(isinstance(side, float) and not math.isfinite(side) for side in (a, b)):
        return False
    (rtol, atol), x, y = map(Fraction, tolerance), Fraction(a), Fraction(b)
    return abs(x - y) <= atol + rtol * abs(y)
