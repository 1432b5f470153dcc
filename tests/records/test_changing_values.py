"""Saving while the values change: what is hashed is what is written."""

import io
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import (
    Entry,
    FlatRecord,
    Precision,
    PrecisionError,
    Record,
    RecordError,
    open_record,
    verify_file,
)

from ..formats_of_records import OWN_RECORDERS

PRECISIONS = [None, "half", Precision(param="bfloat16", underflow="error")]
CASES = [
    (suffix, precision)
    for suffix in OWN_RECORDERS
    # What JSON adds is the same for each.
    for precision in (PRECISIONS[:1] if "json" in suffix else PRECISIONS)
]

SHAPES = [(3,), (64, 64), (520, 520), (530, 500), (), (5,), (130, 70)]


def changing_record() -> FlatRecord:
    """Return small, large and transposed float32 tensors, all of one value."""
    tensors = [torch.ones(shape) for shape in SHAPES]
    tensors[3] = tensors[3].T
    entries = [
        Entry(f"layers.{i}", "parameter", t.dtype, tuple(t.shape), t)
        for i, t in enumerate(tensors)
    ]
    return Record.from_entries(entries)


def change(record: FlatRecord) -> None:
    for entry in record.entries():
        tensor: Any = entry.source
        tensor.neg_()


@contextmanager
def changed_by_a_thread(record: FlatRecord) -> Generator[None]:
    begun, ended = threading.Event(), threading.Event()

    def run() -> None:
        while not ended.is_set():
            change(record)
            begun.set()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def check(file: Any) -> None:
    """Raise unless every byte verifies and every value is one that there was."""
    assert verify_file(file, strict=True).verified == "all"
    with open_record(file) as record:
        for entry in record.entries():
            assert bool((entry.tensor().abs() == 1).all())


@pytest.mark.parametrize("suffix", OWN_RECORDERS)
def test_a_file_saved_while_a_thread_changes_the_values_verifies(
    suffix: str, tmp_path: Path
) -> None:
    record, file = changing_record(), tmp_path / f"x.{suffix}"
    n_saves = 3 if "json" in suffix or "gz" in suffix else 15

    with changed_by_a_thread(record):
        for i in range(n_saves):
            OWN_RECORDERS[suffix].save(record, file, precision=PRECISIONS[i % 3])  # type: ignore[arg-type]  # a precision

            check(file)


class ChangingFile(io.BytesIO):
    """A file that lets the values change before it looks at what it is given."""

    def __init__(self, change: Callable[[], None]) -> None:
        super().__init__()
        self._change = change

    def write(self, data: Any) -> int:
        self._change()
        return super().write(data)


@pytest.mark.parametrize(
    ("suffix", "precision"), [case for case in CASES if case[0] != "safetensors"]
)
def test_a_stream_that_changes_the_values_as_it_is_written_verifies(
    suffix: str, precision: Any
) -> None:
    record = changing_record()
    stream = ChangingFile(lambda: change(record))

    OWN_RECORDERS[suffix].save(record, stream, precision=precision)

    check(stream.getvalue())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_stream_whose_sums_come_first_ends_early_if_the_values_change(
    precision: Any,
) -> None:
    record = changing_record()
    stream = ChangingFile(lambda: change(record))
    whole = len(OWN_RECORDERS["safetensors"].dumps(record, precision=precision))

    with pytest.raises(RecordError, match=r"layers\.\d: its values changed while"):
        OWN_RECORDERS["safetensors"].save(record, stream, precision=precision)

    assert len(stream.getvalue()) < whole
    with pytest.raises(RecordError):
        open_record(stream.getvalue())


@pytest.mark.parametrize(("suffix", "precision"), CASES)
def test_progress_may_change_the_values_in_between(
    suffix: str, precision: Any, tmp_path: Path
) -> None:
    record, file = changing_record(), tmp_path / f"x.{suffix}"

    OWN_RECORDERS[suffix].save(
        record, file, precision=precision, progress=lambda *_: change(record)
    )

    check(file)


@pytest.mark.parametrize("suffix", ["mpk", "mpk.zst", "safetensors"])
def test_a_value_out_of_range_that_appears_meanwhile_is_refused_or_not_stored(
    suffix: str, tmp_path: Path
) -> None:
    record, file = changing_record(), tmp_path / f"x.{suffix}"

    def grow_and_shrink(*_: object) -> None:
        for entry in record.entries():
            tensor: Any = entry.source
            tensor.fill_(1.0 if float(tensor.max()) > 1 else 1e6)

    with suppress(PrecisionError):
        OWN_RECORDERS[suffix].save(
            record, file, precision="half", progress=grow_and_shrink
        )

    if file.exists():
        check(file)


def test_the_sums_of_a_file_that_can_be_written_over_come_in_at_the_end(
    tmp_path: Path,
) -> None:
    state = {'["0000000000000000"]': torch.ones(2), "b": torch.zeros(3)}
    record = Record.from_state_dict(state)
    metadata = {"note": '"xxh3":["0000000000000000","0000000000000000"]'}

    record.save(tmp_path / "x.safetensors", metadata=metadata)

    written = (tmp_path / "x.safetensors").read_bytes()
    assert written == OWN_RECORDERS["safetensors"].dumps(record, metadata=metadata)
    assert verify_file(tmp_path / "x.safetensors", strict=True).n_entries == 2
