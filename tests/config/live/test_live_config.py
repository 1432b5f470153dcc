"""The config of a run that goes on follows the file at the top of its folder."""

import json
import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from burnish.config import (
    ConfigError,
    Editable,
    Hparams,
    RenameField,
    Versioned,
    dump,
    load,
)
from burnish.config.live import live_config
from burnish.config.live.changes import apply_changes
from burnish.config.live.history import HISTORY, Edit, read_history
from burnish.config.live.live_config import LiveConfig, config_file, config_suffix
from burnish.config.live.request import request_edit
from burnish.config.process.transaction import Transaction

from .clocks import Clocks


class Optim(Hparams):
    lr: Editable[float] = 0.1
    decay: Editable[float] = 0.0


@dataclass
class Config:
    optim: Optim = field(default_factory=lambda: Optim())
    steps: int = 10

    def __post_init__(self) -> None:
        if self.optim.lr == 13:
            raise ZeroDivisionError("unlucky")


def begin(folder: Path, *overrides: str, step: int = 0, **options: Any) -> Any:
    config = load(Config, None, overrides)
    return LiveConfig(folder, config, step=step, overrides=overrides, **options)


def edit(folder: Path, *overrides: str, name: str = "config.ron") -> None:
    dump(load(Config, folder / name, overrides), folder / name)


def look(live: Any, step: int, clocks: Clocks) -> Edit | None:
    """Look as a run does at ``step``, some time after the last one."""
    clocks.pass_by(1.0)
    proposal = live.look(lambda: step)
    if proposal is None:
        return None
    config = apply_changes(live.config, proposal.changes)
    accepted: Edit = live.accept(step, proposal, config, Transaction())
    return accepted


def in_force(live: Any) -> tuple[float, float, int]:
    return live.config.optim.lr, live.config.optim.decay, live.config.steps


def test_the_file_stands_there_from_the_start(tmp_path: Path) -> None:
    live = begin(tmp_path / "run", "optim.lr=step: 0.1@0 lin 0.0@10")

    assert live.file == tmp_path / "run/config.ron"
    assert load(Config, live.file) == live.config
    assert "step: 0.1@0" in live.file.read_text()


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json", ".ron"])
def test_each_format_is_followed(tmp_path: Path, suffix: str, clocks: Clocks) -> None:
    live = begin(tmp_path, suffix=suffix)

    edit(tmp_path, "optim.lr=0.2", name=f"config{suffix}")
    accepted = look(live, 5, clocks)

    assert in_force(live) == (0.2, 0.0, 10)
    assert accepted is not None
    assert (accepted.step, accepted.by) == (5, f"config{suffix}")
    assert read_history(tmp_path / HISTORY)[-1] == accepted
    assert look(live, 6, clocks) is None


def test_the_suffix_is_that_of_the_config_that_the_run_begins_with() -> None:
    names = ("a.yaml", "a.JSON", "folder", "a.txt")

    assert [config_suffix(Path(name)) for name in names] == [
        ".yaml",
        ".json",
        ".ron",
        ".ron",
    ]
    assert config_suffix(None) == ".ron"


def test_two_configs_in_a_folder_are_told(tmp_path: Path) -> None:
    for name in ("config.ron", "config.yaml"):
        (tmp_path / name).write_text("")

    with pytest.raises(ConfigError, match=r"config\.ron and config\.yaml"):
        config_file(tmp_path)


def test_comments_of_whoever_edits_stay(tmp_path: Path, clocks: Clocks) -> None:
    live = begin(tmp_path)
    text = live.file.read_text().replace("0.1,", "0.2, // diverged")
    live.file.write_text(text)

    look(live, 1, clocks)

    assert in_force(live)[0] == 0.2
    assert live.file.read_text() == text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 0.1", "lr: 0..", "line 3"),
        ("lr: 0.1", 'lr: "much"', "optim.lr"),
        ("lr: 0.1", "lrr: 0.1", "did you mean"),
        ("lr: 0.1", "lr: 0.1, extra: 1", "optim.extra"),
        ("steps: 10", "steps: 20", "steps: cannot be edited"),
        ("steps: 10,", "", "leaves out steps"),
        ("lr: 0.1", "lr: 13.0", "unlucky"),
    ],
)
def test_what_is_wrong_is_told_in_the_log_beside_the_file_and_in_the_history(
    tmp_path: Path,
    old: str,
    new: str,
    message: str,
    clocks: Clocks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    live = begin(tmp_path)
    text = live.file.read_text().replace(old, new)
    live.file.write_text(text)

    results = [look(live, step, clocks) for step in (1, 2, 3)]

    refused = tmp_path / "config.ron.refused"
    assert results == [None, None, None]
    assert in_force(live) == (0.1, 0.0, 10)
    assert message.lower() in refused.read_text().lower()
    assert message.lower() in caplog.text.lower()
    assert [e.verdict for e in live.history.edits] == ["begun", "refused"]
    assert live.file.read_text() == text


def test_what_was_wrong_is_no_longer_told_once_it_is_right(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "steps=11")
    look(live, 1, clocks)

    edit(tmp_path, "steps=10")
    look(live, 2, clocks)

    assert os.listdir(tmp_path).count("config.ron.refused") == 0


def test_a_file_that_was_removed_is_written_again(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")
    look(live, 1, clocks)
    live.file.unlink()

    assert [look(live, step, clocks) for step in (2, 3)] == [None, None]

    assert load(Config, live.file) == live.config


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "loop"])
def test_what_is_no_file_is_told_and_stays(
    tmp_path: Path, kind: str, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    live.file.unlink()
    if kind == "folder":
        live.file.mkdir()
    elif kind == "pipe":
        os.mkfifo(live.file)
    else:
        live.file.symlink_to("nowhere.ron" if kind == "link" else live.file.name)

    results = [look(live, step, clocks) for step in (1, 2, 3)]

    assert results == [None, None, None]
    assert (tmp_path / "config.ron.refused").exists()
    assert not live.file.is_file()


def test_a_folder_that_takes_no_file_stops_nothing(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")
    (tmp_path / HISTORY).unlink()
    (tmp_path / HISTORY).mkdir()

    accepted = look(live, 1, clocks)

    assert accepted is not None
    assert "history could not be written" in caplog.text
    (tmp_path / HISTORY).rmdir()
    edit(tmp_path, "optim.lr=0.3")
    look(live, 2, clocks)
    edits = read_history(tmp_path / HISTORY)
    assert [e.step for e in edits if e.verdict == "applied"] == [1, 2]


def test_who_asked_is_told(tmp_path: Path, clocks: Clocks) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")
    asked = {"text": live.file.read_text(), "by": "burnish set optim.lr=0.2"}
    note = tmp_path / "config.ron.set"
    note.write_text(json.dumps(asked))

    first = look(live, 1, clocks)
    note.write_text(json.dumps(asked))
    edit(tmp_path, "optim.lr=0.3")
    second = look(live, 2, clocks)

    assert first is not None
    assert first.by == "burnish set optim.lr=0.2"
    assert second is not None
    assert second.by == "config.ron"
    assert not note.exists()


def test_who_asked_for_what_is_refused_is_told(tmp_path: Path, clocks: Clocks) -> None:
    live = begin(tmp_path)
    request_edit(tmp_path, ["optim.lr=13"], "burnish set optim.lr=13")

    look(live, 1, clocks)
    request_edit(tmp_path, ["optim.lr=12"], "burnish set optim.lr=12")
    look(live, 2, clocks)

    asked = [edit.by for edit in live.history.edits[1:]]
    assert asked == ["burnish set optim.lr=13", "burnish set optim.lr=12"]


def test_the_note_of_a_command_that_comes_while_an_edit_is_made_stays(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    request_edit(tmp_path, ["optim.lr=0.2"], "one")
    clocks.pass_by(1.0)
    proposal = live.look(lambda: 1)
    request_edit(tmp_path, ["optim.decay=0.5"], "another")

    config = apply_changes(live.config, proposal.changes)
    live.accept(1, proposal, config, Transaction())
    second = look(live, 2, clocks)

    assert second is not None
    assert second.by == "one; another"
    assert in_force(live) == (0.2, 0.5, 10)


def test_a_refusal_of_the_past_is_gone_when_a_run_begins_with_its_file(
    tmp_path: Path,
) -> None:
    begin(tmp_path)
    refusal = tmp_path / "config.ron.refused"
    refusal.write_text("of the past")

    begin(tmp_path)

    assert not refusal.exists()


@contextmanager
def busy(folder: Path, *, wait_seconds: float) -> Generator[bool]:
    """Return what `edit_lock` is while a command writes."""
    yield False


def test_a_file_that_is_gone_while_a_command_writes_is_written_later(
    tmp_path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = begin(tmp_path)
    live.file.unlink()
    look(live, 1, clocks)

    with monkeypatch.context() as patched:
        patched.setattr(live_config, "edit_lock", busy)
        look(live, 2, clocks)
        assert not live.file.exists()
    look(live, 3, clocks)

    assert load(Config, live.file) == live.config


def test_a_file_that_came_back_while_the_lock_was_waited_for_stays(
    tmp_path: Path, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = begin(tmp_path)
    text = live.file.read_text()
    live.file.unlink()
    look(live, 1, clocks)

    @contextmanager
    def just_written(folder: Path, *, wait_seconds: float) -> Generator[bool]:
        live.file.write_text(text.replace("0.1", "0.7"))
        yield True

    with monkeypatch.context() as patched:
        patched.setattr(live_config, "edit_lock", just_written)
        look(live, 2, clocks)
    look(live, 3, clocks)

    assert in_force(live) == (0.7, 0.0, 10)


def past_of(folder: Path, step: int) -> list[Edit]:
    """Return what a checkpoint of ``step`` knows."""
    return [edit for edit in read_history(folder / HISTORY) if edit.step <= step]


def test_edits_after_the_checkpoint_come_again_at_their_steps(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    for step, value in ((3, "optim.lr=0.2"), (7, "optim.decay=0.5")):
        edit(tmp_path, value)
        look(live, step, clocks)
    before = live.file.read_text()

    again = begin(tmp_path, "optim.lr=0.2", step=4, past=past_of(tmp_path, 4))

    for step in (5, 6):
        assert look(again, step, clocks) is None
        assert in_force(again) == (0.2, 0.0, 10)
    replayed = look(again, 7, clocks)
    assert in_force(again) == (0.2, 0.5, 10)
    assert replayed is not None
    assert replayed.step == 7
    assert again.file.read_text() == before
    assert len(read_history(tmp_path / HISTORY)) == 4
    assert [e.step for e in again.history.edits] == [0, 3, 4, 7]


def test_a_hand_takes_the_place_of_edits_that_lie_ahead(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2", "optim.decay=0.5")
    look(live, 7, clocks)
    edit(tmp_path, "optim.lr=0.1")

    again = begin(tmp_path, step=4, past=past_of(tmp_path, 4))
    look(again, 5, clocks)

    assert in_force(again) == (0.1, 0.5, 10)
    assert look(again, 7, clocks) is None
    last = begin(tmp_path, step=4, past=past_of(tmp_path, 4))
    assert look(last, 5, clocks) is not None
    assert in_force(last) == (0.1, 0.5, 10)
    assert look(last, 8, clocks) is None


def test_a_hand_that_takes_all_back_takes_the_edits_ahead_away(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")
    look(live, 7, clocks)
    edit(tmp_path, "optim.lr=0.1")

    again = begin(tmp_path, step=4, past=past_of(tmp_path, 4))
    look(again, 5, clocks)

    assert look(again, 7, clocks) is None
    assert in_force(again) == (0.1, 0.0, 10)


def test_an_edit_that_was_made_and_not_noted_is_made_at_the_next_look(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")
    clocks.pass_by(1.0)
    assert live.look(lambda: 3) is not None  # and here the run is killed

    again = begin(tmp_path, step=2, past=past_of(tmp_path, 2))
    accepted = look(again, 3, clocks)

    assert in_force(again) == (0.2, 0.0, 10)
    assert accepted is not None
    assert accepted.step == 3


def test_an_edit_while_nothing_runs_is_made_at_the_first_look(
    tmp_path: Path, clocks: Clocks
) -> None:
    begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")

    again = begin(tmp_path, step=2, past=past_of(tmp_path, 2))
    look(again, 3, clocks)

    assert in_force(again) == (0.2, 0.0, 10)


def test_a_new_override_is_written_into_the_file(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2", "optim.decay=0.5")
    look(live, 7, clocks)

    again = begin(tmp_path, "optim.lr=0.3", step=4, past=past_of(tmp_path, 4))

    assert load(Config, again.file) == load(
        Config, None, ["optim.lr=0.3", "optim.decay=0.5"]
    )
    assert look(again, 5, clocks) is None
    look(again, 7, clocks)
    assert in_force(again) == (0.3, 0.5, 10)
    assert look(again, 8, clocks) is None


def test_an_edit_ahead_that_fits_no_more_is_told_and_does_not_come_again(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")
    look(live, 7, clocks)
    again = begin(tmp_path, step=4, past=past_of(tmp_path, 4))
    clocks.pass_by(1.0)

    proposal = again.look(lambda: 7)
    again.refuse(7, "it does not fit", proposal)

    assert "it does not fit" in caplog.text
    assert [e.verdict for e in again.history.edits][-1] == "refused"
    last = begin(tmp_path, step=4, past=past_of(tmp_path, 4))
    proposal = last.look(lambda: 7)
    assert proposal is None or proposal.replayed is None


def test_a_run_from_scratch_says_that_it_repeats_edits_and_how_it_would_not(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")
    look(live, 7, clocks)
    assert not caplog.text

    begin(tmp_path)
    assert "repeats the edits" in caplog.text
    assert "optim.lr: 0.1 -> 0.2. To start without them" in caplog.text
    assert "remove edits.jsonl and config.ron" in caplog.text
    (tmp_path / HISTORY).unlink()
    (tmp_path / "config.ron").unlink()
    caplog.clear()
    anew = begin(tmp_path)

    assert look(anew, 8, clocks) is None
    assert in_force(anew) == (0.1, 0.0, 10)
    assert not caplog.text


def test_applied_edits_are_told_at_info(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "burnish.edits")
    live = begin(tmp_path)
    edit(tmp_path, "optim.lr=0.2")

    look(live, 1, clocks)

    assert "optim.lr: 0.1 -> 0.2" in caplog.text


class OldRun(Hparams, Versioned):
    lr: Editable[float] = 0.1
    steps: int = 10

    @classmethod
    def version(cls) -> int:
        return 0


class NewRun(Hparams, Versioned):
    rate: Editable[float] = 0.1
    steps: int = 10
    decay: Editable[float] = 0.5

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Any:
        return {0: [RenameField("lr", "rate")]}


@pytest.mark.parametrize("suffix", [".ron", ".yaml", ".json"])
def test_a_file_that_the_run_wrote_with_an_older_class_is_written_anew(
    tmp_path: Path, suffix: str, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    file = LiveConfig(tmp_path, OldRun(lr=0.3), suffix=suffix).file

    live = LiveConfig(tmp_path, NewRun(rate=0.3), suffix=suffix)
    clocks.pass_by(1.0)

    assert live.look(lambda: 1) is None
    assert load(NewRun, file) == NewRun(rate=0.3)
    assert "rate" in file.read_text()
    assert "lr" not in file.read_text()
    assert not caplog.records


def test_an_edit_of_a_file_of_an_older_class_is_made(
    tmp_path: Path, clocks: Clocks
) -> None:
    file = LiveConfig(tmp_path, OldRun(lr=0.3)).file
    file.write_text(file.read_text().replace("0.3", "0.2"))

    live = LiveConfig(tmp_path, NewRun(rate=0.3, decay=0.7))
    clocks.pass_by(1.0)
    proposal = live.look(lambda: 1)

    assert proposal is not None
    assert [str(change) for change in proposal.changes] == ["rate: 0.3 -> 0.2"]
    assert load(NewRun, file) == NewRun(rate=0.2, decay=0.7)


def test_a_file_of_an_older_class_is_read_while_the_run_goes_on(
    tmp_path: Path, clocks: Clocks
) -> None:
    live = LiveConfig(tmp_path, NewRun())
    live.file.write_text("OldRun(lr: 0.2, steps: 10, decay: 0.5)")
    clocks.pass_by(1.0)

    proposal = live.look(lambda: 1)

    assert proposal is not None
    assert [str(change) for change in proposal.changes] == ["rate: 0.1 -> 0.2"]


def test_an_edit_ahead_follows_its_field_to_another_name(
    tmp_path: Path, clocks: Clocks
) -> None:
    old = LiveConfig(tmp_path, OldRun())
    old.file.write_text("OldRun(lr: 0.2, steps: 10)")
    clocks.pass_by(1.0)
    proposal = old.look(lambda: 7)
    assert proposal is not None
    old.accept(7, proposal, OldRun(lr=0.2), Transaction())

    again = LiveConfig(tmp_path, NewRun(), step=4)
    clocks.pass_by(1.0)

    assert again.look(lambda: 5) is None
    assert load(NewRun, again.file) == NewRun(rate=0.2)
    replayed = again.look(lambda: 7)
    assert replayed is not None
    assert [c.path for c in replayed.changes] == ["rate"]
