"""The values of a load, read and checked before any of them is written."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ....records.entries.entries import Entries, announce_entries, check_gaps
from ....records.entries.entry import Entry
from ....records.errors import RecordError, RecordMismatchError
from ....records.io.lazy_payload import LazyPayload, MappedPayloads
from ....records.io.progress import Tally
from ....records.io.source import Maps
from ....records.sharded.placement import is_alike, rectangle_of
from ....records.sharded.share_payload import rectangle_values
from ....records.tensors.grad_mode import no_grad
from ....records.tensors.memory import ORDINARY, is_distributed, values_of
from ....records.tensors.shares import own_share, spread
from .commit import Filling, HeldValues, cannot_fail
from .conversion import convert_values
from .overlaps import Memory, Spans, fillable_spans, find_overwritten
from .plan import LoadPlan, LoadStep


def read_fillings(
    plan: LoadPlan, record: Entries, maps: Maps, *, is_kept: bool = False
) -> list[Filling]:
    """Read, verify and convert all values before anything is changed.

    ``maps`` belong to this load, and no other has read from them. With ``is_kept`` the
    values become the memory of tensors, and are not shared.
    """
    spans = fillable_spans(step.target for step in plan.steps)
    _check_readable(record)
    announce_entries(record, (step.stored for step in plan.steps), maps)
    check_gaps(record, maps)
    live = [step.stored.is_live for step in plan.steps]
    if plan.report.verified in ("touched", "all"):
        # A live tensor may have changed since it was read.
        plan.report.verified = "live" if any(live) else "all"
    # The memory of files is not written by a load.
    may_overlap = any(live) and not is_kept
    targets = Memory(t for step in plan.steps if may_overlap for t in step.tensors)
    reader = _Reader(plan, record, maps, targets, is_kept=is_kept)
    with no_grad():
        # Not by `map`, which would take a StopIteration of a progress call for its end.
        fillings = [
            reader.filling_of(step, is_live)
            for step, is_live in zip(plan.steps, live, strict=True)
        ]
        return _without_overwritten(plan, fillings, spans, record)


class _Reader:
    """Reads each entry once, and reports progress."""

    def __init__(
        self,
        plan: LoadPlan,
        record: Entries,
        maps: Maps,
        targets: Memory,
        *,
        is_kept: bool,
    ) -> None:
        self._maps, self._payloads = maps, MappedPayloads(maps)
        self._held_values = HeldValues(maps)
        self._targets, self._is_kept = targets, is_kept
        self._read: dict[int, Tensor] = {}
        self._repeated = {id(step.stored) for step in plan.steps if step.is_repeated}
        self._tally = Tally(record.reading.progress, _sizes(plan))

    def filling_of(self, step: LoadStep, is_live: bool) -> Filling:
        """Return the values of a step in the form and on the device of its tensors."""
        entry, tensor, is_kept = step.stored, step.tensors[0], self._is_kept
        if type(tensor) not in ORDINARY and is_distributed(tensor):
            filling = self._share_of(step, is_live)
            if filling is not None:
                return filling
        values = stored_values = self._values_of(step, is_live)
        if values.dtype is not step.dtype:
            values = convert_values(values, entry, step.dtype)
        if not (values.is_cpu and tensor.is_cpu) and not tensor.is_meta:
            values = values.to(tensor.device)
        if is_kept:
            memory_format = step.target.memory_format or entry.memory_format
            if memory_format is not None:
                values = values.contiguous(memory_format=getattr(torch, memory_format))
            if values is stored_values and (step.is_repeated or is_live):
                values = values.detach().clone()
        if is_live and self._targets.overlaps(values):
            # It would be overwritten before it is read, or while it is copied.
            values = values.clone()
        if is_kept or is_live or not cannot_fail(step.tensors, values):
            return step.tensors, values
        payload = entry.source if values is stored_values else None
        return step.tensors, self._held_values.hold(values, payload)

    def _values_of(self, step: LoadStep, is_live: bool) -> Tensor:
        """Return the stored values of a step."""
        entry = step.stored
        values = self._read.get(id(entry)) if step.is_repeated else None
        if values is None:
            if is_live:
                values = values_of(entry.read(self._maps), entry.path).detach()
            else:
                source = entry.source
                values = (
                    self._payloads.load(source)
                    if type(source) is LazyPayload
                    else entry.read_stored(self._maps)
                )
            if self._tally.is_told:
                self._tell(entry)
            if id(entry) in self._repeated:
                self._read[id(entry)] = values
        return values

    def _share_of(self, step: LoadStep, is_live: bool) -> Filling | None:
        """Return this process's part of a DTensor, and its values; None if unknown.

        Nothing else is read from a folder.
        """
        entry, tensor = step.stored, step.tensors[0]
        rectangle = rectangle_of(tensor, step.target.path)
        if rectangle is None or entry.shape != tuple(tensor.shape):
            return None
        if not is_live:
            values = rectangle_values(entry, rectangle, self._maps)
        elif is_alike(entry.read(self._maps), tensor):
            # The entry was already reduced to this process's share.
            values = own_share(entry.read(self._maps).detach())
        else:
            return None
        if self._tally.is_told:
            self._tell(entry)
        if id(entry) in self._repeated:
            self._read[id(entry)] = values
        share = own_share(tensor.detach())
        values = convert_values(values, entry, step.dtype)
        if values.device != share.device and not share.is_meta:
            values = values.to(share.device)
        if step.dtype is not tensor.dtype:
            return step.tensors, spread(values, tensor)
        return [share, *(own_share(t.detach()) for t in step.tensors[1:])], values

    def _tell(self, entry: Entry) -> None:
        if not _is_read(entry):
            return
        is_first = id(entry) not in self._read
        self._tally.add(entry.nbytes if is_first else 0, entry.path)


def _sizes(plan: LoadPlan) -> Iterator[int]:
    """Yield the size of each entry, each once."""
    entries = {id(step.stored): step.stored for step in plan.steps}
    yield from (entry.nbytes for entry in entries.values() if _is_read(entry))


def _is_read(entry: Entry) -> bool:
    """Return whether a load reads the values, and progress was not reported before.

    Torch maps its own files, so that their tensors are live from the start.
    """
    return entry.touched is None or not entry.is_stored


def _check_readable(record: Entries) -> None:
    device = record.reading.device
    if device is not None and torch.device(device).type == "meta":
        raise RecordError(
            f"{record.reading.file}: opened with device='meta', where tensors have no "
            "values to load; open it without device=, or with the device of the "
            "module. The module is unchanged."
        )


def _paths(targets: Sequence[Entry], numbers: Sequence[int]) -> str:
    """Return the paths of the first few targets."""
    names = [targets[i].path for i in numbers[:_MOST_PATHS]]
    return ", ".join([*names, "..."] if len(numbers) > _MOST_PATHS else names)


_MOST_PATHS = 5


def _without_overwritten(
    plan: LoadPlan, fillings: list[Filling], spans: Spans, record: Entries
) -> list[Filling]:
    """Refuse values that cannot all be stored in memory that their targets share.

    Those that may be overwritten are replaced by the final content, so that the order
    in which the targets are filled does not matter.
    """
    overwritten = find_overwritten(plan.steps, fillings, spans)
    if not overwritten:
        return fillings
    targets = [step.target for step in plan.steps]
    problems = [
        (
            f"{targets[i].path}: found values that differ from those of "
            f"{_paths(targets, spans.meeting(i))}, with which it shares memory in the "
            "module, expected the same values; leave one of them out with "
            "open_record(file, exclude=...)"
        )
        for i in sorted(overwritten)
        if not overwritten[i].may_give_way
    ]
    if problems:
        raise RecordMismatchError(
            record.reading.file, problems, "The module is unchanged."
        )
    for i in sorted(overwritten):
        plan.report.loaded.remove(targets[i].path)
        plan.report.changed.append(
            f"{targets[i].path}: shares memory with another entry, whose values it has"
        )
        fillings[i] = fillings[i][0], overwritten[i].in_memory
    return fillings
