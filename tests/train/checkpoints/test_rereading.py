"""A run may save, and remove what it saved, while others look at its folder."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.cli.main import main
from burnish.records import FlatRecord
from burnish.train import Checkpoints, RecordIO
from burnish.train.checkpoints.rereading import reread_if_replaced
from burnish.train.inspection.diff import text_values
from burnish.train.inspection.stored_parts import stored_parts
from burnish.train.lightning.record_io import read_checkpoint

Act = Callable[[], object]


def before_call(
    monkeypatch: pytest.MonkeyPatch, place: str, n_calls: int, act: Act
) -> None:
    """Let another process do something ahead of the ``n_calls``-th call of a name."""
    module, _, name = place.rpartition(".")
    original: Any = getattr(__import__(module, fromlist=[name]), name)
    n_to_come = [n_calls]

    def called(*args: Any, **options: Any) -> Any:
        n_to_come[0] -= 1
        if n_to_come[0] == 0:
            act()
        return original(*args, **options)

    monkeypatch.setattr(place, called)


def save(folder: Path, step: int) -> None:
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.fill_(step)
    state = {"state_dict": net.state_dict(), "epoch": step, "global_step": step}
    RecordIO().save_checkpoint(state, folder)


@pytest.mark.parametrize("n_calls", [1, 2])
def test_a_checkpoint_that_is_saved_again_meanwhile_is_read_of_one_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_calls: int
) -> None:
    folder = tmp_path / "last"
    save(folder, 1)
    before_call(
        monkeypatch,
        "burnish.train.checkpoints.checkpoint.open_record",
        n_calls,
        lambda: save(folder, 2),
    )

    checkpoint = read_checkpoint(folder)

    assert checkpoint["epoch"] == 2
    assert float(checkpoint["state_dict"]["weight"][0, 0]) == 2


def test_what_is_gone_for_good_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reread_if_replaced(tmp_path / "none", lambda: os.stat(tmp_path / "none"))


def test_an_error_of_a_folder_that_stays_is_raised_at_once(tmp_path: Path) -> None:
    n_calls: list[int] = []

    def fail() -> None:
        n_calls.append(1)
        raise OSError("of the disk")

    with pytest.raises(OSError, match="of the disk"):
        reread_if_replaced(tmp_path, fail)

    assert len(n_calls) == 1


@pytest.mark.parametrize("name", [".last.01234567.tmp", ".last.01234567.old"])
def test_what_a_save_has_not_finished_is_no_part_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    save(tmp_path / "last", 1)
    shutil.copytree(tmp_path / "last", tmp_path / name)
    (tmp_path / name / "checkpoint.json").unlink()

    assert main(["verify", str(tmp_path)]) == 0
    assert main(["show", str(tmp_path)]) == 0

    assert name not in capsys.readouterr().out


def test_what_was_put_aside_is_verified_where_nothing_took_its_place(
    tmp_path: Path,
) -> None:
    save(tmp_path / "other", 1)
    save(tmp_path / "last", 1)
    aside = (tmp_path / "last").rename(tmp_path / ".last.01234567.old")
    (aside / "model.mpk").write_bytes(b"damaged")

    assert main(["verify", str(tmp_path)]) == 1


def run_of_two(folder: Path) -> Act:
    """Save two steps, and return what saves the next one and removes the first."""
    checkpoints, net = Checkpoints(folder, keep_last=2), nn.Linear(2, 2)
    for step in (1, 2):
        checkpoints.save(step, model=net)
    return lambda: checkpoints.save(3, model=net)


@pytest.mark.parametrize(
    "place",
    [
        "burnish.records.open.verify_file",
        "burnish.train.inspection.folder_problems.digest_of",
    ],
)
def test_verify_goes_on_with_what_a_run_has_saved_meanwhile(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    next_save = run_of_two(tmp_path)
    before_call(monkeypatch, place, 1, next_save)
    monkeypatch.setenv("COLUMNS", "500")  # paths of parallel tests are long

    assert main(["verify", str(tmp_path)]) == 0

    text = capsys.readouterr().out
    assert "step000000000003/model.mpk: fine" in text
    assert "step000000000001" not in text


def test_show_takes_the_newest_that_is_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(tmp_path / "a", 1)
    save(tmp_path / "b", 2)
    before_call(
        monkeypatch,
        "burnish.train.inspection.stored_parts.open_record",
        1,
        lambda: shutil.rmtree(tmp_path / "b"),
    )

    assert main(["show", str(tmp_path)]) == 0
    assert "step 1" in capsys.readouterr().out


def replaced_during_call(
    monkeypatch: pytest.MonkeyPatch, place: str, folder: Path, n_calls: int = 1
) -> None:
    """Put a folder aside for the first calls of a name, and another there after each.

    A writer does both, and a reader may stand between them.
    """
    module, _, name = place.rpartition(".")
    original: Any = getattr(__import__(module, fromlist=[name]), name)
    n_to_come = [n_calls]

    def called(*args: Any, **options: Any) -> Any:
        n_to_come[0] -= 1
        if n_to_come[0] < 0:
            return original(*args, **options)
        # Kept until the end, lest the next folder gets its number.
        aside = folder.parent.parent / f"aside{n_to_come[0]}"
        folder.rename(aside)
        try:
            return original(*args, **options)
        finally:
            shutil.copytree(aside, folder)

    monkeypatch.setattr(place, called)


PLACES = {
    "verify": [
        "burnish.records.open.verify_file",
        "burnish.train.inspection.folder_problems.digest_of",
        "burnish.train.inspection.folder_problems.problems_in",
        "burnish.train.inspection.stored_files.walk_with_links",
        "burnish.train.inspection.stored_files.files_of",
    ],
    "show": [
        "burnish.train.inspection.stored_parts.open_record",
        "burnish.train.inspection.stored_parts._checkpoint",
        "burnish.train.inspection.stored_parts._in_folder_of_now",
    ],
}


@pytest.mark.parametrize("n_calls", [1, 2])
@pytest.mark.parametrize("name", ["last", "step000000000001"])
@pytest.mark.parametrize(
    ("command", "place"), [(name, place) for name in PLACES for place in PLACES[name]]
)
def test_a_checkpoint_that_is_back_under_its_name_is_read_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    place: str,
    name: str,
    n_calls: int,
) -> None:
    save(tmp_path / "run" / name, 1)
    replaced_during_call(monkeypatch, place, tmp_path / "run" / name, n_calls)

    assert main([command, str(tmp_path / "run")]) == 0


@pytest.mark.parametrize("place", PLACES["verify"][:3])
def test_what_is_replaced_is_verified_as_it_is_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    save(tmp_path / "run" / "last", 1)
    (tmp_path / "run" / "last" / "model.mpk").write_bytes(b"damaged")
    replaced_during_call(monkeypatch, place, tmp_path / "run" / "last")

    assert main(["verify", str(tmp_path / "run")]) == 1


def test_what_is_shown_is_not_of_two_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Result:
        is_discarded = False

        def discard(self) -> None:
            self.is_discarded = True

    save(tmp_path / "last", 1)
    results: list[Result] = []

    def read() -> Result:
        results.append(Result())
        if len(results) == 1:
            (tmp_path / "last").rename(tmp_path / "aside")
            save(tmp_path / "last", 2)
        return results[-1]

    result = reread_if_replaced(tmp_path / "last", read, Result.discard)

    assert result is results[1]
    assert [result.is_discarded for result in results] == [True, False]


def test_a_limit_of_time_is_no_error_of_a_folder_that_was_replaced(
    tmp_path: Path,
) -> None:
    def limit(*_: object) -> None:
        raise TimeoutError("limit of time")

    def read() -> None:
        shutil.rmtree(tmp_path / "last")
        signal.raise_signal(signal.SIGALRM)

    save(tmp_path / "last", 1)
    before = signal.signal(signal.SIGALRM, limit)
    try:
        with pytest.raises(TimeoutError):
            reread_if_replaced(tmp_path / "last", read)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_what_is_told_of_a_state_is_of_the_save_whose_records_were_opened(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "step000000000001"
    folder.mkdir()
    (folder / "state.ron").write_text("(step: 1)")
    record_of(1).save(folder / "net.mpk")

    with stored_parts(folder) as parts:
        shutil.rmtree(folder)

        assert text_values(parts) == {"state.step": 1}


def record_of(value: float) -> FlatRecord:
    return FlatRecord.from_state_dict({"a": torch.full((2,), value)})
