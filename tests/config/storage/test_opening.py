"""Files that are opened for reading: what is none is an error, at once."""

import os
import stat
from pathlib import Path

import pytest

from burnish.config.storage import opening
from burnish.config.storage.opening import (
    IrregularFileError,
    looks,
    open_regular,
    read_file,
)

from ...irregular_files import make_irregular, no_waiting


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_an_error_that_says_what_it_is(
    kind: str, tmp_path: Path
) -> None:
    make_irregular(kind, tmp_path / "x")

    with (
        pytest.raises(IrregularFileError, match=f"found a .*{kind}, expected a reg"),
        no_waiting(),
    ):
        read_file(tmp_path / "x", 100)


def test_a_pipe_that_takes_the_place_of_a_file_while_it_is_opened_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x"
    os.mkfifo(file)
    real = opening._check  # pyright: ignore[reportPrivateUsage]
    modes = [stat.S_IFREG]

    monkeypatch.setattr(
        opening, "_check", lambda mode, name: real(modes.pop() if modes else mode, name)
    )
    n_open = len(os.listdir("/proc/self/fd"))
    with pytest.raises(IrregularFileError, match="a named pipe"), no_waiting():
        open_regular(file)

    assert len(os.listdir("/proc/self/fd")) == n_open


def test_a_file_is_read_whole_or_to_one_byte_more_than_asked(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"0123456789" * 30_000)

    assert read_file(file, 1 << 20) == b"0123456789" * 30_000
    assert read_file(file, 300_000) == b"0123456789" * 30_000
    assert read_file(file, 11) == b"012345678901"
    assert len(read_file("/proc/self/status", 1 << 20)) > 100


def test_only_the_last_of_several_looks_is_the_last() -> None:
    *earlier, last = looks()

    assert last
    assert earlier
    assert not any(earlier)
