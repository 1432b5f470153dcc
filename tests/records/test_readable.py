"""What a record is read from: files, paths, bytes; and what is none."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.records import (
    Record,
    RecordError,
    RecordFormatError,
    open_record,
)

from .opened import TENSORS


def test_every_kind_of_source_gives_the_same_record(file: Path) -> None:
    data = file.read_bytes()
    with file.open("rb") as opened:
        opened.seek(0)
        sources = [file, str(file), opened, io.BytesIO(data), data, bytearray(data)]
        for source in [*sources, memoryview(data), open_record(data)]:
            found = open_record(source).to_state_dict()  # type: ignore[arg-type]  # each kind

            assert list(found) == list(TENSORS)
            assert all(torch.equal(found[k], v) for k, v in TENSORS.items())


def test_a_file_object_is_read_from_where_it_stands(file: Path) -> None:
    stream = io.BytesIO(b"before" + file.read_bytes())
    stream.seek(6)

    assert torch.equal(open_record(stream)["head.weight"], TENSORS["head.weight"])


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00" * 100, b"PK", b"{"])
def test_what_is_no_record_is_a_format_error(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.mpk"
    file.write_bytes(content)

    with pytest.raises(RecordFormatError, match=r"x\.mpk"):
        open_record(file)


def test_missing_files_folders_and_text_files_say_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.mpk"):
        open_record(tmp_path / "none.mpk")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        open_record(tmp_path)
    with pytest.raises(TypeError, match="open it with mode 'rb'"):
        open_record(io.StringIO("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # what is tested
    with pytest.raises(TypeError, match="got 3"):
        open_record(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # what is tested


def test_a_small_tensor_of_an_object_takes_no_more_than_a_mebibyte_around_it() -> None:
    pytest.importorskip("fsspec")
    from .object_storage import CountingStorage

    large = {f"a{i}": torch.full((1 << 20,), float(i)) for i in range(8)}
    data = Record.from_state_dict({**large, "bias": torch.ones(1024)}).save()
    CountingStorage.objects["net.mpk"] = data
    CountingStorage.fetched.clear()

    bias = open_record("counting://net.mpk")["bias"]

    assert torch.equal(bias, torch.ones(1024))
    assert sum(end - start for start, end in CountingStorage.fetched) < 4 << 20
    assert len(CountingStorage.fetched) < 12


def test_a_missing_file_is_answered_with_the_name_that_is_near(tmp_path: Path) -> None:
    Record.from_state_dict({"a": torch.ones(1)}).save(tmp_path / "model.mpk")

    with pytest.raises(FileNotFoundError, match=r"mean '.*/model\.mpk'") as caught:
        open_record(tmp_path / "modle.mpk")
    assert caught.value.filename == str(tmp_path / "modle.mpk")
    with pytest.raises(FileNotFoundError, match=r"holds model\.mpk"):
        open_record(tmp_path / "weights-of-yesterday.pt")
    with pytest.raises(FileNotFoundError, match=r"the folder '.*/runs' is missing"):
        open_record(tmp_path / "runs" / "model.mpk")
    (tmp_path / "last.mpk").symlink_to("gone.mpk")
    with pytest.raises(FileNotFoundError, match=r"link to 'gone\.mpk', which is miss"):
        open_record(tmp_path / "last.mpk")


def test_a_missing_file_in_the_current_folder_is_told_where_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(FileNotFoundError, match=r"current folder, '.*', holds no file"):
        open_record("model.mpk")


class _Stream(io.BytesIO):
    """A file object whose ``read`` returns what a test says."""

    def __init__(self, content: bytes, change: Callable[[bytes], Any]) -> None:
        super().__init__(content)
        self.change = change

    def read(self, count: int | None = -1, /) -> Any:
        return self.change(super().read(count))


@pytest.mark.parametrize("is_seekable", [True, False])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda data: None, BlockingIOError, "nothing to read yet"),
        (lambda data: data.decode("latin1"), TypeError, "'rb'"),
    ],
    ids=["not ready", "text"],
)
def test_a_file_object_that_returns_no_bytes_is_not_called_a_truncated_file(
    change: Callable[[bytes], Any],
    error: type[Exception],
    words: str,
    is_seekable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_Stream, "seekable", lambda _: is_seekable, raising=False)
    stream = _Stream(burnish.save_record(torch.nn.Linear(2, 2)), change)

    with pytest.raises(error, match=words):
        open_record(stream)


def test_a_file_object_that_returns_more_than_it_was_asked_for_is_refused() -> None:
    data = burnish.save_record(torch.nn.Linear(2, 2))

    with pytest.raises(ValueError, match=r"read\(64\) returned 65 bytes"):
        open_record(_Stream(data, lambda piece: piece + b"x"))


def test_a_file_object_need_not_say_where_it_went() -> None:
    class Silent(io.BytesIO):
        def seek(self, *where: int) -> Any:
            super().seek(*where)

    module = torch.nn.Linear(2, 2)

    with open_record(Silent(burnish.save_record(module))) as record:
        assert record["weight"].equal(module.weight)


def test_a_file_object_beyond_its_end_has_no_bytes() -> None:
    stream = io.BytesIO(b"x")
    stream.seek(100)

    with pytest.raises(RecordFormatError, match="no bytes after position 100"):
        open_record(stream)


def test_a_file_object_whose_name_is_a_number_is_called_a_file_object() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x" * 100)
    os.close(writer)

    with os.fdopen(reader, "rb") as stream, pytest.raises(RecordError) as caught:
        open_record(stream)

    assert str(caught.value).startswith("file object:")
