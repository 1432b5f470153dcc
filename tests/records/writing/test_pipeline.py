"""Saves by two threads: the same bytes and errors, and nothing left running."""

import io
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish import verify_file
from burnish.records import (
    FlatRecord,
    PrecisionError,
    Record,
    Recorder,
    RecordError,
    open_record,
)
from burnish.records.io import sink as sinks
from burnish.records.tensors import conversion
from burnish.records.tensors.torch_internals import without_subclasses
from burnish.records.writing import payload
from burnish.records.writing.pipeline import Pipeline

pytestmark = pytest.mark.usefixtures("two_threads")


MANY = {
    **{f"small.{i}": torch.randn(64, 64) for i in range(600)},
    "large": torch.randn(3_000_000),
    "turned": torch.randn(300, 1000).t(),
    "double": torch.randn(1000, dtype=torch.float64),
    "flags": torch.tensor([True, False]),
    "empty": torch.empty(0, 3),
    "number": torch.tensor(2.5),
    "sub": torch.randn(1000).as_subclass(torch.nn.Buffer),  # type: ignore[arg-type]
}


class Watched(Tensor):
    """A tensor of a user's class, which must be asked in the thread of the save."""


class Unnumbered(io.BytesIO):
    """A file of somebody else whose number is none of the system's."""

    def fileno(self) -> int:
        """Return nothing, as fakes do."""
        return None  # type: ignore[return-value]


def dumps(record: FlatRecord, n_threads: int, **options: Any) -> bytes:
    torch.set_num_threads(n_threads)
    options.setdefault("precision", "half")
    # Without a file of the system there is no helper.
    with tempfile.TemporaryFile() as file:
        record.save(file, **options)
        file.seek(0)
        return file.read()


def helpers_of(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that says of each save from now on whether it has a helper."""
    saves: list[bool] = []
    init = Pipeline.__init__

    def noted(pipeline: Pipeline, sink: sinks.Sink, *, has_helper: bool) -> None:
        saves.append(has_helper)
        init(pipeline, sink, has_helper=has_helper)

    monkeypatch.setattr(Pipeline, "__init__", noted)
    return saves


@pytest.mark.parametrize("precision", [None, "half", "bfloat16", torch.float64])
@pytest.mark.parametrize("format", ["mpk", "safetensors", "bpk"])
def test_two_threads_write_the_bytes_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, precision: Any
) -> None:
    record, saves = Record.from_state_dict(MANY), helpers_of(monkeypatch)
    files = [tmp_path / f"{n}.{format}" for n in (1, 2)]

    for n_threads, file in enumerate(files, 1):
        torch.set_num_threads(n_threads)
        record.save(file, precision=precision)

    assert files[0].read_bytes() == files[1].read_bytes()
    assert saves[-1]
    assert not saves[0]


@pytest.mark.parametrize("format", ["mpk", "safetensors"])
def test_streams_get_the_bytes_of_one_thread(format: str) -> None:
    record, recorder = Record.from_state_dict(MANY), Recorder(format)

    assert dumps(record, 1, recorder=recorder) == dumps(record, 2, recorder=recorder)


@pytest.mark.parametrize("precision", [None, "half"])
@pytest.mark.parametrize("open_file", [io.BytesIO, Unnumbered])
def test_memory_is_written_by_one_thread_with_the_bytes_of_a_file(
    monkeypatch: pytest.MonkeyPatch, open_file: Callable[[], io.BytesIO], precision: Any
) -> None:
    record = Record.from_state_dict(MANY)
    expected = dumps(record, 2, precision=precision)
    saves, file = helpers_of(monkeypatch), open_file()

    record.save(file, precision=precision)

    assert file.getvalue() == expected
    assert saves == [False]


def test_one_thread_of_torch_is_one_thread_of_a_save(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saves = helpers_of(monkeypatch)

    dumps(Record.from_state_dict(MANY), 1)

    assert saves == [False]


def test_a_small_record_is_saved_by_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saves = helpers_of(monkeypatch)

    dumps(Record.from_state_dict({"w": torch.randn(1000)}), 2)

    assert saves == [False]


def test_what_lies_on_another_device_is_saved_by_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tensors = {name: tensor.to("meta") for name, tensor in MANY.items()}
    saves = helpers_of(monkeypatch)

    # Nothing of this device can be read, which is found out later.
    with pytest.raises(RecordError):
        dumps(Record.from_state_dict(tensors), 2, precision=None)

    assert saves == [False]


def test_a_save_in_a_thread_of_the_user_keeps_to_that_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saves = helpers_of(monkeypatch)

    thread = threading.Thread(target=dumps, args=(Record.from_state_dict(MANY), 2))
    thread.start()
    thread.join()

    assert saves == [False]


def test_what_is_no_plain_tensor_is_read_by_the_thread_of_the_save() -> None:
    tensors = {**MANY, "watched": torch.randn(1000).as_subclass(Watched)}
    readers: set[threading.Thread] = set()

    def noted(cls: type, function: Any, *args: Any, **kwargs: Any) -> Any:
        readers.add(threading.current_thread())
        with without_subclasses():
            return function(*args[1], **(args[2] if len(args) > 2 else {}))

    Watched.__torch_function__ = classmethod(noted)  # type: ignore[assignment]
    record = Record.from_state_dict(tensors)

    two = dumps(record, 2)

    assert readers <= {threading.main_thread()}
    assert two == dumps(record, 1)


def test_progress_is_told_in_the_thread_of_the_save_and_in_order() -> None:
    calls: list[tuple[int, str, bool]] = []

    def progress(n_done: int, n_bytes: int, path: str) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        calls.append((n_done, path, is_main))

    dumps(Record.from_state_dict(MANY), 2, progress=progress)
    two = [*calls]
    calls.clear()
    dumps(Record.from_state_dict(MANY), 1, progress=progress)

    assert two == calls
    assert {is_main for _, _, is_main in two} == {True}


def test_an_error_of_progress_ends_the_save(tmp_path: Path) -> None:
    def progress(n_done: int, n_bytes: int, path: str) -> None:
        if path == "small.300":
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        Record.from_state_dict(MANY).save(
            tmp_path / "x.mpk", precision="half", progress=progress
        )

    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("path", ["small.300", "large"])
def test_a_value_that_does_not_fit_names_its_entry(tmp_path: Path, path: str) -> None:
    tensors = {name: t.clone() for name, t in MANY.items()}
    tensors[path].view(-1)[-1] = 1e6

    with pytest.raises(PrecisionError, match=path):
        Record.from_state_dict(tensors).save(tmp_path / "x.mpk", precision="half")

    assert [*tmp_path.iterdir()] == []


def test_a_tensor_without_values_is_refused_as_by_one_thread(tmp_path: Path) -> None:
    tensors = {**MANY, "zz": torch.randn(10)}
    record = Record.from_state_dict(tensors)
    tensors["zz"].untyped_storage().resize_(0)

    with pytest.raises(RecordError, match="zz"):
        record.save(tmp_path / "x.mpk", precision="half")

    assert [*tmp_path.iterdir()] == []


def test_a_full_disk_is_an_error_of_the_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_after(monkeypatch, 3, OSError(28, "No space left on device"))

    with pytest.raises(OSError, match="disk is full"):
        Record.from_state_dict(MANY).save(tmp_path / "x.mpk", precision="half")

    assert [*tmp_path.iterdir()] == []


def test_ctrl_c_leaves_the_old_file_and_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.mpk"
    file.write_bytes(b"old")
    fail_after(monkeypatch, 3, KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        Record.from_state_dict(MANY).save(file, precision="half")

    assert [*tmp_path.iterdir()] == [file]
    assert file.read_bytes() == b"old"


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("precision", [None, "half"])
def test_a_handler_of_signals_that_changes_values_leaves_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_threads: int, precision: Any
) -> None:
    tensors = {name: t.clone() for name, t in MANY.items() if t.is_floating_point()}
    writev: Callable[..., int] = os.writev

    def interrupted(*args: Any) -> int:
        # Right before what was hashed is written.
        signal.raise_signal(signal.SIGUSR1)
        return writev(*args)

    as_if_alone(monkeypatch)
    monkeypatch.setattr(os, "writev", interrupted)
    torch.set_num_threads(n_threads)
    before = signal.signal(
        signal.SIGUSR1, lambda *_: [t.add_(1) for t in tensors.values()]
    )
    try:
        Record.from_state_dict(tensors).save(tmp_path / "x.mpk", precision=precision)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert tensors["number"] > MANY["number"]
    assert verify_file(tmp_path / "x.mpk")


def test_what_progress_changes_beside_the_helper_becomes_no_infinity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = MANY["large"]
    changed = values.clone()
    fits: Callable[..., bool] = vars(conversion)["_fits"]

    def fits_then_changes(*args: Any) -> bool:
        result = fits(*args)
        # Between the look at the range and the cast.
        changed.fill_(1e6)
        return result

    def convert_meanwhile(*args: Any) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(conversion, "_fits", fits_then_changes)
            n_zeroed = conversion.convert(*args)
        changed.copy_(values)
        return n_zeroed

    as_if_alone(monkeypatch)
    monkeypatch.setattr(payload, "convert", convert_meanwhile)
    record = Record.from_state_dict({**MANY, "large": changed})

    data = dumps(record, 2, progress=lambda *_: None)

    assert torch.equal(open_record(data)["large"], values.half())


def test_a_signal_while_the_helper_is_waited_for_ends_the_save(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt_and_wait() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        go_on.wait(60)

    go_on, ended = threading.Event(), threading.Event()
    end = Pipeline._end  # pyright: ignore[reportPrivateUsage]

    def noted(pipeline: Pipeline, threads: list[threading.Thread]) -> None:
        go_on.set()
        end(pipeline, threads)
        ended.set()

    monkeypatch.setattr(Pipeline, "_end", noted)
    pipeline = Pipeline(Written(), has_helper=True)

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(interrupt_and_wait)

    assert ended.is_set()


def test_without_a_thread_to_be_had_the_caller_does_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = Record.from_state_dict(MANY)
    one = dumps(record, 1)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert dumps(record, 2) == one


def test_no_more_is_prepared_than_the_pipeline_is_deep() -> None:
    written = Written()
    pipeline = Pipeline(written, has_helper=True)
    most = [0]

    def prepare() -> None:
        for n in range(50):
            pipeline.writev((bytes([n]),))
            most[0] = max(most[0], n + 1 - len(written.buffers))

    pipeline.run(prepare)

    assert written.buffers == [bytes([n]) for n in range(50)]
    assert most[0] <= pipeline.depth + 1


def test_what_the_caller_is_asked_for_comes_behind_what_was_written() -> None:
    written = Written()
    pipeline = Pipeline(written, has_helper=True)

    def prepare() -> None:
        pipeline.writev((b"1",))
        pipeline.call_and_wait(lambda: pipeline.writev((b"2",)))
        pipeline.writev((b"3",))

    pipeline.run(prepare)

    assert written.buffers == [b"1", b"2", b"3"]


def as_if_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread of pytest be one for whose sake values are copied."""
    monkeypatch.setattr(payload, "is_only_thread", lambda: True)


class Written:
    """A sink that keeps what it got."""

    def __init__(self) -> None:
        self.buffers: list[bytes] = []

    def write(self, buffer: sinks.Buffer) -> None:
        self.buffers.append(bytes(buffer))

    def writev(self, buffers: Any) -> None:
        for buffer in buffers:
            self.write(buffer)


def fail_after(
    monkeypatch: pytest.MonkeyPatch, n_calls: int, error: BaseException
) -> None:
    """Have the call ``n_calls`` of ``os.writev`` raise ``error``."""
    writev: Callable[..., int] = os.writev
    calls = iter(range(n_calls))

    def failing(*args: Any) -> int:
        if next(calls, None) is None:
            raise error
        return writev(*args)

    monkeypatch.setattr(os, "writev", failing)
