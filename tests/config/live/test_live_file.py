"""A file that others change is read once it has settled, and never waited for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.config.live.live_file import FileReading, LiveFile

from .clocks import Clocks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "config.ron"
    file.write_text("(lr: 0.1)")
    return file


@pytest.fixture
def live(file: Path, clocks: Clocks) -> LiveFile:
    """A file whose content was read."""
    live = LiveFile(file)
    clocks.pass_by(1.0)
    assert look(live).tree == {"lr": 0.1}
    return live


def look(live: LiveFile) -> FileReading:
    reading = live.look()
    assert reading is not None
    return reading


def test_a_file_that_stays_as_it_is_gives_nothing(live: LiveFile) -> None:
    assert [live.look() for _ in range(3)] == [None, None, None]


def test_a_change_is_read_once_it_has_settled(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    clocks.wall_ahead = 0.0
    file.write_text("(lr: 0.2)")

    assert live.look() is None
    clocks.pass_by(0.2)
    reading = look(live)

    assert (reading.tree, reading.text) == ({"lr": 0.2}, "(lr: 0.2)")
    assert live.look() is None


def test_a_file_that_goes_on_changing_is_waited_for(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    for n in range(2, 5):
        clocks.wall_ahead = 0.0
        file.write_text(f"(lr: 0.{n}{'0' * n})")
        assert live.look() is None

    clocks.pass_by(0.2)
    assert look(live).text == "(lr: 0.40000)"


@pytest.mark.parametrize("wall", [-1e6, 0.0])
def test_a_clock_that_is_behind_the_disk_costs_a_moment_alone(
    live: LiveFile, file: Path, clocks: Clocks, wall: float
) -> None:
    file.write_text("(lr: 0.2)")
    clocks.wall_ahead = wall

    assert live.look() is None
    clocks.monotonic_ahead += 0.2

    assert look(live).tree == {"lr": 0.2}


def test_an_old_time_on_a_new_file_does_not_make_it_settled(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    clocks.wall_ahead = 0.0
    file.write_text("(lr: 0.2)")
    os.utime(file, (1, 1))

    assert live.look() is None


def test_a_change_of_equal_size_and_time_is_seen(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    status = os.stat(file)
    file.write_text("(lr: 0.2)")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    clocks.pass_by(0.2)

    assert look(live).tree == {"lr": 0.2}


@pytest.mark.parametrize("half", ["(lr: 0.", "", "  \n", "(lr: 0.1, lr: 0.2)"])
def test_half_a_file_is_tried_again_before_it_counts_as_wrong(
    live: LiveFile, file: Path, clocks: Clocks, half: str
) -> None:
    file.write_text(half)
    clocks.pass_by(0.2)

    assert live.look() is None
    reading = look(live)

    assert reading.problem.startswith("config.ron")
    assert reading.tree is None
    assert live.look() is None


def test_half_a_file_that_is_completed_is_read(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    file.write_text("(lr: 0.")
    clocks.pass_by(0.2)
    assert live.look() is None

    file.write_text("(lr: 0.5)")
    clocks.pass_by(0.2)

    assert look(live).tree == {"lr": 0.5}


def test_each_new_try_of_a_hand_has_its_second_look(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    for text in ("(lr: ", "(lr: 0.2"):
        file.write_text(text)
        clocks.pass_by(0.2)
        assert live.look() is None
        assert look(live).problem


@pytest.mark.parametrize("data", [b"\xff\xfe(lr: 1)", b"(lr: 0.1)\x00"])
def test_bytes_that_are_no_text_are_told(
    live: LiveFile, file: Path, clocks: Clocks, data: bytes
) -> None:
    file.write_bytes(data)
    clocks.pass_by(0.2)

    live.look()

    assert "config.ron" in look(live).problem


def test_a_link_is_followed(live: LiveFile, file: Path, clocks: Clocks) -> None:
    other = file.with_name("other.ron")
    other.write_text("(lr: 0.3)")
    file.unlink()
    file.symlink_to(other)
    clocks.pass_by(0.2)

    assert look(live).tree == {"lr": 0.3}
    other.write_text("(lr: 0.4)")
    clocks.pass_by(0.2)
    assert look(live).tree == {"lr": 0.4}


def test_a_folder_and_a_pipe_are_told_and_not_waited_for(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    for make, name in ((os.mkdir, "a folder"), (os.mkfifo, "a named pipe")):
        file.rmdir() if file.is_dir() else file.unlink()
        make(file)
        clocks.pass_by(0.2)

        assert live.look() is None
        assert name in look(live).problem


def test_a_link_to_nothing_is_told_and_stays(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    file.unlink()
    file.symlink_to("nowhere.ron")

    assert live.look() is None
    clocks.pass_by(1.0)
    reading = look(live)

    assert "broken link" in reading.problem
    assert not reading.is_gone
    assert file.is_symlink()


def test_a_file_that_is_gone_for_a_moment_alone_is_not_missed(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    file.rename(file.with_suffix(".bak"))
    assert live.look() is None

    file.write_text("(lr: 0.6)")
    clocks.pass_by(0.2)

    assert look(live).tree == {"lr": 0.6}


def test_a_file_that_is_gone_is_told_once(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    file.unlink()
    assert live.look() is None
    clocks.pass_by(1.0)

    assert look(live).is_gone
    assert live.look() is None


def test_what_is_written_here_is_read_like_what_others_write(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    live.write("(lr: 0.7)")
    file.write_text("(lr: 0.8)")
    clocks.pass_by(0.2)

    assert look(live).tree == {"lr": 0.8}


def test_what_was_seen_can_be_seen_again(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    file.unlink()
    live.look()
    clocks.pass_by(1.0)
    first = look(live)
    assert live.look() is None

    live.look_again()

    assert first.is_gone
    assert look(live).is_gone


def test_a_file_that_is_skipped_is_read_when_it_changes(
    file: Path, clocks: Clocks
) -> None:
    live = LiveFile(file)
    clocks.pass_by(1.0)
    live.skip()

    assert live.look() is None
    file.write_text("(lr: 0.2)")
    clocks.pass_by(1.0)
    assert look(live).tree == {"lr": 0.2}


def test_a_file_that_changed_a_moment_ago_is_not_skipped(
    file: Path, clocks: Clocks
) -> None:
    live = LiveFile(file)
    live.skip()
    clocks.pass_by(0.2)

    assert look(live).tree == {"lr": 0.1}


def test_a_writer_that_never_stops_gives_whole_texts_alone(
    live: LiveFile, file: Path, clocks: Clocks
) -> None:
    """Whatever the moment of a look, what it takes over was a whole text."""
    code = (
        "import sys\n"
        "for n in range(3000):\n"
        "    with open(sys.argv[1], 'w') as f:\n"
        "        f.write('(lr: 0.'); f.flush(); f.write(f'{n}5, ok: true)')\n"
    )
    readings: list[FileReading] = []
    clocks.wall_ahead = 0.0

    with subprocess.Popen([sys.executable, "-c", code, str(file)]) as writer:
        while writer.poll() is None:
            reading = live.look()
            if reading is not None:
                readings.append(reading)
    clocks.pass_by(1.0)
    last = live.look()
    readings.extend([last] if last is not None else [])

    assert readings[-1].tree == {"lr": 0.29995, "ok": True}
    assert all(r.tree is None or r.tree["ok"] for r in readings)
