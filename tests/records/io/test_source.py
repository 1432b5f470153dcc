"""Where bytes come from: what is mapped, what is read, and who shares memory."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from burnish.records.errors import RecordFormatError
from burnish.records.io import source as source_module
from burnish.records.io.private_map import private_map
from burnish.records.io.source import ClosedFileError, FileSource

_SMALL = bytes(range(256)) * 4
_LARGE = bytes(1 << 20)


@pytest.mark.parametrize("content", [b"", _SMALL, _LARGE], ids=["0", "1K", "1M"])
def test_two_loads_of_a_file_share_no_memory_with_each_other_or_with_the_file(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    source = FileSource(str(path))
    first, second = (source.mapped().view(0, len(content)) for _ in range(2))
    first[:] = bytes(255 - byte for byte in content)
    assert second == content
    assert path.read_bytes() == content
    source.close()
    assert second == content


@pytest.mark.parametrize(("content", "is_asked"), [(_SMALL, False), (_LARGE, True)])
def test_only_a_file_that_may_be_mapped_is_asked_for_its_device(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    is_asked: bool,
) -> None:
    devices: list[int] = []

    def is_remote(device: int) -> bool:
        devices.append(device)
        return True

    monkeypatch.setattr("burnish.records.io.source._is_remote", is_remote)
    path = tmp_path / "a"
    path.write_bytes(content)
    source = FileSource(str(path))
    assert devices == []
    source.mapped()
    source.view(0, len(content))
    assert devices == [path.stat().st_dev] * is_asked


@pytest.mark.parametrize("content", [_SMALL, _LARGE], ids=["read", "mapped"])
def test_a_file_that_was_cut_meanwhile_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    source = FileSource(str(path), map_file=True)
    path.write_bytes(content[:10])
    with pytest.raises(RecordFormatError, match="its end while it was being read"):
        source.mapped()
    with pytest.raises(RecordFormatError, match="its end while it was being read"):
        source.view(0, len(content))


@pytest.mark.parametrize("size", [1 << 12, 1 << 20], ids=["read", "mapped"])
def test_a_file_closed_by_another_thread_while_it_is_read_is_read_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (tmp_path / "a").write_bytes(bytes(size))
    (tmp_path / "b").write_bytes(b"b" * size)
    source = FileSource(str(tmp_path / "a"), map_file=True)
    others: list[FileSource] = []

    def closing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            source.close()
            # It would get the number of the file that was closed.
            others.append(FileSource(str(tmp_path / "b")))
            return function(*args)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", closing(os.preadv))
        patch.setattr(source_module, "private_map", closing(private_map))
        content = source.view(0, size)

    assert bytes(content) == bytes(size)
    assert others
    with pytest.raises(ClosedFileError):
        source.view(0, size)
