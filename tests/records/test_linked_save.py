"""What is unchanged since an older file is linked, and everything is read as ever."""

import errno
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

import burnish
from burnish.records import RecordChecksumError, RecordError, RecordFormatError
from burnish.records.flat_record import flat_record
from burnish.records.linked_save import MOST_FILES, Linked, save_linked
from burnish.records.nest import record_of_data
from burnish.records.record_writer import writer_for

BIG = 1 << 15
"""Values that are worth a file of their own."""

State = dict[str, Any]


def state(*, adapter: float = 0.0) -> State:
    return {"base": torch.arange(4.0 * BIG), "adapter": torch.full((BIG,), adapter)}


def save(run: Path, step: int, values: State, suffix: str = ".mpk") -> Linked:
    """Save as a run does: a folder for each step, linked to the one before."""
    (run / str(step)).mkdir(parents=True)
    earlier = run / str(step - 1) / f"net{suffix}"
    file = run / str(step) / f"net{suffix}"
    record = writer_for(file).prepare(flat_record(record_of_data(values)))
    return save_linked(record, file, earlier if earlier.exists() else None)


def content(run: Path, step: int, suffix: str = ".mpk") -> State:
    with burnish.open_record(run / str(step) / f"net{suffix}") as record:
        data: State = record.to_data()
        return data


def n_written(run: Path, step: int) -> int:
    """Return the bytes of the files that no other folder has."""
    files = (file.stat() for file in (run / str(step)).iterdir())
    return sum(status.st_size for status in files if status.st_nlink == 1)


def is_equal(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(a[key], b[key]) and a[key].dtype is b[key].dtype for key in a
    )


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst"])
def test_what_is_unchanged_is_not_written_again(suffix: str, tmp_path: Path) -> None:
    for step in range(4):
        save(tmp_path, step, state(adapter=float(step)), suffix)

    for step in range(4):
        assert is_equal(content(tmp_path, step, suffix), state(adapter=float(step)))
        burnish.verify_file(tmp_path / str(step) / f"net{suffix}")
    adapter = state()["adapter"].nbytes
    assert all(n_written(tmp_path, step) < adapter + 3000 for step in (1, 2, 3))


def test_what_is_equal_altogether_is_an_index_alone(tmp_path: Path) -> None:
    save(tmp_path, 0, state())
    linked = save(tmp_path, 1, state())

    assert linked.n_bytes == 5 * BIG * 4
    assert n_written(tmp_path, 1) < 2000
    assert is_equal(content(tmp_path, 1), state())


def test_a_first_save_and_one_of_all_else_are_single_files(tmp_path: Path) -> None:
    save(tmp_path, 0, state())
    save(tmp_path, 1, {"base": torch.ones(BIG), "adapter": torch.ones(BIG)})

    for step in (0, 1):
        assert os.listdir(tmp_path / str(step)) == ["net.mpk"]


@pytest.mark.parametrize(
    "other",
    [
        torch.zeros(BIG, dtype=torch.int32),
        torch.zeros(BIG // 2, 2),
        -torch.zeros(BIG),
        torch.zeros(BIG + 1),
    ],
    ids=["dtype", "shape", "sign of zero", "length"],
)
def test_equal_means_every_bit_and_what_it_means(
    other: torch.Tensor, tmp_path: Path
) -> None:
    save(tmp_path, 0, {"a": torch.zeros(BIG), "rest": torch.ones(2 * BIG)})
    save(tmp_path, 1, {"a": other, "rest": torch.ones(2 * BIG)})

    values = content(tmp_path, 1)
    assert is_equal(values, {"a": other, "rest": torch.ones(2 * BIG)})
    assert torch.equal(values["a"].signbit(), other.signbit())


def test_what_lies_at_another_path_is_written(tmp_path: Path) -> None:
    save(tmp_path, 0, {"a": torch.ones(BIG)})
    assert not save(tmp_path, 1, {"b": torch.ones(BIG)}).n_bytes


def test_plain_data_and_order_are_those_of_the_new_record(tmp_path: Path) -> None:
    save(tmp_path, 0, {"base": torch.ones(BIG), "step": 1})
    new = {"step": 2, "names": ["x"], "more": torch.ones(3), "base": torch.ones(BIG)}
    assert save(tmp_path, 1, new).n_bytes

    assert content(tmp_path, 1) | {"more": 0, "base": 0} == new | {"more": 0, "base": 0}
    assert [*content(tmp_path, 1)] == [*new]


def test_what_stays_by_and_by_gets_files_of_its_own(tmp_path: Path) -> None:
    def values(n_frozen: int, step: int) -> State:
        numbers = [i if i < n_frozen else 100 * step + i for i in range(6)]
        return {f"t{i}": torch.full((BIG,), float(n)) for i, n in enumerate(numbers)}

    save(tmp_path, 0, values(2, 1))
    first = save(tmp_path, 1, values(2, 2))
    second = save(tmp_path, 2, values(2, 3))

    # A third is too little to keep a whole file for; the next time it is apart.
    assert (first.n_bytes, second.n_bytes) == (0, 2 * BIG * 4)
    assert n_written(tmp_path, 2) < 4 * BIG * 4 + 2000
    for step in range(3):
        assert is_equal(content(tmp_path, step), values(2, step + 1))


def test_there_are_never_more_than_some_files(tmp_path: Path) -> None:
    n = MOST_FILES + 6
    for step in range(n):
        values = {
            f"t{i}": torch.full((BIG,), float(i if i < step else 100 * step + i))
            for i in range(n)
        }
        save(tmp_path, step, values)
        assert is_equal(content(tmp_path, step), values)
        assert len(os.listdir(tmp_path / str(step))) <= MOST_FILES + 3


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_without_links_everything_is_written_and_the_reason_returned(
    number: int, tmp_path: Path
) -> None:
    save(tmp_path, 0, state())
    error = OSError(number, os.strerror(number))
    with mock.patch.object(os, "link", side_effect=error):
        linked = save(tmp_path, 1, state(adapter=1.0))

    assert linked.problem is error
    shutil.rmtree(tmp_path / "0")
    assert is_equal(content(tmp_path, 1), state(adapter=1.0))


def test_an_older_file_that_goes_meanwhile_is_no_problem(tmp_path: Path) -> None:
    save(tmp_path, 0, state())
    with mock.patch.object(os, "link", side_effect=FileNotFoundError()):
        assert save(tmp_path, 1, state(adapter=1.0)).problem is None
    assert is_equal(content(tmp_path, 1), state(adapter=1.0))


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst"])
@pytest.mark.parametrize("content_of", ["a record", "an index", "nothing"])
def test_an_older_file_that_is_replaced_meanwhile_is_not_linked(
    content_of: str, suffix: str, tmp_path: Path
) -> None:
    save(tmp_path, 0, state(), suffix)
    other = {**state(), "base": torch.ones(4 * BIG)}
    for step in range(3):
        save(tmp_path / "other", step, other, suffix)
    number = {"a record": 0, "an index": 2}.get(content_of)
    by_another_writer = tmp_path / f"nothing{suffix}"
    by_another_writer.write_bytes(b"")
    if number is not None:
        by_another_writer = tmp_path / "other" / str(number) / f"net{suffix}"
    link = os.link

    def link_late(older: Path, target: Path) -> None:
        shutil.copyfile(by_another_writer, tmp_path / "copy")
        os.replace(tmp_path / "copy", older)
        link(older, target)

    with mock.patch.object(os, "link", side_effect=link_late):
        linked = save(tmp_path, 1, state(adapter=1.0), suffix)

    assert (linked.n_bytes, linked.problem) == (0, None)
    burnish.verify_file(tmp_path / "1" / f"net{suffix}")
    assert is_equal(content(tmp_path, 1, suffix), state(adapter=1.0))


def test_an_older_file_that_is_damaged_is_not_linked(tmp_path: Path) -> None:
    save(tmp_path, 0, state())
    (tmp_path / "0" / "net.mpk").write_bytes(b"nothing")
    assert not save(tmp_path, 1, state(adapter=1.0)).n_bytes
    assert is_equal(content(tmp_path, 1), state(adapter=1.0))


@pytest.mark.parametrize(
    ("suffix", "place"), [(".mpk", 60), (".mpk", -40), (".mpk.zst", 60)]
)
def test_a_shared_file_whose_surroundings_are_damaged_is_written_again(
    suffix: str, place: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(2):
        save(tmp_path, step, state(adapter=float(step)), suffix)
    shared = max((tmp_path / "1").iterdir(), key=lambda file: file.stat().st_size)
    damaged = bytearray(shared.read_bytes())
    damaged[place] ^= 1
    shared.write_bytes(damaged)

    save(tmp_path, 2, state(adapter=2.0), suffix)

    burnish.verify_file(tmp_path / "2" / f"net{suffix}")
    assert is_equal(content(tmp_path, 2, suffix), state(adapter=2.0))
    # A compressed index of such a file is refused, and all of it written again.
    assert shared.name in caplog.text or suffix == ".mpk.zst"


def test_more_plain_data_than_an_index_may_have_is_written_whole(
    tmp_path: Path,
) -> None:
    save(tmp_path, 0, state())
    where = "burnish.records.formats.messagepack.check_readable"
    real = __import__("burnish.records.formats.messagepack", fromlist=["x"])
    check = real.check_readable

    def refuse_index(head: bytes, size: int, n_entries: int) -> None:
        if not n_entries:
            raise RecordError("too much")
        check(head, size, n_entries)

    with mock.patch(where, refuse_index):
        linked = save(tmp_path, 1, state(adapter=1.0))

    assert not linked.n_bytes
    assert os.listdir(tmp_path / "1") == ["net.mpk"]
    assert is_equal(content(tmp_path, 1), state(adapter=1.0))


def shared_file(folder: Path) -> Path:
    return max(folder.glob("net.*.mpk"), key=lambda file: file.stat().st_size)


def saved_twice(run: Path) -> Path:
    save(run, 0, state())
    save(run, 1, state(adapter=1.0))
    return run / "1"


def test_damage_to_a_shared_file_is_named_in_every_folder(tmp_path: Path) -> None:
    folder = saved_twice(tmp_path)
    save(tmp_path, 2, state(adapter=2.0))
    with open(shared_file(folder), "r+b") as file:
        file.seek(5000)
        file.write(b"\xff")

    for damaged in (tmp_path / "0", folder, tmp_path / "2"):
        with pytest.raises(RecordChecksumError, match=r"net\..*mpk.*base"):
            burnish.verify_file(damaged / "net.mpk")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = saved_twice(tmp_path)
    name = shared_file(folder).name
    shared_file(folder).unlink()
    with pytest.raises(RecordFormatError, match=f"{name}, which is not beside it"):
        burnish.open_record(folder / "net.mpk")


def test_a_file_of_another_save_is_named(tmp_path: Path) -> None:
    folder = saved_twice(tmp_path)
    other = burnish.save_record(state(adapter=7.0))
    place = shared_file(folder)
    place.unlink()
    place.write_bytes(other)
    with pytest.raises(RecordFormatError, match="with different content"):
        burnish.open_record(folder / "net.mpk")


def test_bytes_and_open_files_say_that_they_need_their_folder(tmp_path: Path) -> None:
    file = saved_twice(tmp_path) / "net.mpk"
    with pytest.raises(RecordFormatError, match="Open it by its path"):
        burnish.open_record(file.read_bytes())
    words = "Open it by its path"
    with open(file, "rb") as opened, pytest.raises(RecordFormatError, match=words):
        burnish.open_record(opened)


def test_every_byte_of_an_index_is_checked(tmp_path: Path) -> None:
    file = saved_twice(tmp_path) / "net.mpk"
    original = file.read_bytes()
    for i in range(len(original)):
        damaged = bytearray(original)
        damaged[i] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(RecordError):
            burnish.verify_file(file)


def test_a_copy_of_an_opened_index_is_whole_by_itself(tmp_path: Path) -> None:
    folder = saved_twice(tmp_path)
    with burnish.open_record(folder / "net.mpk") as record:
        record.save(tmp_path / "alone.mpk")
    shutil.rmtree(folder)
    with burnish.open_record(tmp_path / "alone.mpk") as record:
        assert is_equal(record.to_data(), state(adapter=1.0))


def test_a_loaded_tensor_is_nobody_elses_memory(tmp_path: Path) -> None:
    folder = saved_twice(tmp_path)
    content(tmp_path, 1)["base"].zero_()
    assert is_equal(content(tmp_path, 0), state())
    burnish.verify_file(folder / "net.mpk")


def failing_at(last: int, call: Any, calls: Iterator[int]) -> Any:
    """Return ``call``, which raises an OSError when ``calls`` count ``last``."""

    def failing(*args: Any, **options: Any) -> Any:
        if next(calls) == last:
            raise OSError(errno.EIO, "the disk")
        return call(*args, **options)

    return failing


@pytest.mark.parametrize("name", ["open", "link", "rename", "fsync", "stat", "preadv"])
def test_an_error_of_the_disk_at_any_call_is_raised_as_that(
    name: str, tmp_path: Path
) -> None:
    """A file that was just written and cannot be read again was one without rows."""
    for last in range(1, 20):
        run, calls = tmp_path / str(last), itertools.count(1)
        save(run, 0, state())
        failing = failing_at(last, getattr(os, name), calls)
        with mock.patch.object(os, name, failing):
            try:
                save(run, 1, state(adapter=1.0))
            except OSError:
                continue
        assert is_equal(content(run, 1), state(adapter=1.0))
        if next(calls) <= last:
            break
