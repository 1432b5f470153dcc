"""The lines that tell what was edited, and which of them a resumed run meets again."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from burnish.config import DeleteField, MapFieldValue, RenameField, Versioned
from burnish.config.live.changes import Change
from burnish.config.live.history import (
    Edit,
    EditHistory,
    edits_ahead,
    edits_of_now,
    read_history,
    standing_overrides,
)
from burnish.config.rewriting.rewrite_rule import RewriteRule

LR = Change(path="optim.lr", before="0.1", after="0.2")
DECAY = Change(path="optim.decay", before="0.0", after="0.1")


def applied(n: int, *changes: Change, drops: tuple[int, ...] = ()) -> Edit:
    return Edit(id=n, verdict="applied", step=n, time="", changes=changes, drops=drops)


def begun(n: int, *overrides: str) -> Edit:
    return Edit(id=n, verdict="begun", step=0, time="", overrides=overrides)


def test_lines_are_read_as_they_were_written(tmp_path: Path) -> None:
    history = EditHistory(tmp_path / "edits.jsonl")

    history.add("begun", 0, overrides=("optim.lr=0.1",))
    history.add("applied", 3, by="config.ron", changes=(LR,))
    history.add("refused", 4, by="config.ron", problem="é \ud800 \n and more")

    edits = read_history(tmp_path / "edits.jsonl")
    assert [edit.id for edit in edits] == [1, 2, 3]
    assert edits == history.edits
    assert edits[1].time.endswith("+00:00")
    assert "step 3" in str(edits[1])
    assert "optim.lr: 0.1 -> 0.2" in str(edits[1])


def test_a_value_with_any_end_of_a_line_in_it_is_read_as_it_was_written(
    tmp_path: Path,
) -> None:
    ends = "\n \r \x0b \x0c \x1c \x1d \x1e \x85 \u2028 \u2029"
    history = EditHistory(tmp_path / "edits.jsonl")
    history.add("applied", 1, changes=(replace(LR, after=ends),))

    assert read_history(tmp_path / "edits.jsonl") == history.edits


def test_no_file_is_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path / "edits.jsonl") == []


def test_a_line_that_a_kill_cut_off_is_left_out_and_takes_no_other(
    tmp_path: Path,
) -> None:
    file = tmp_path / "edits.jsonl"
    EditHistory(file).add("applied", 1, changes=(LR,))
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:20])

    EditHistory(file, last_id=1).add("applied", 2, changes=(DECAY,))

    assert [edit.step for edit in read_history(file)] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "7",
        "{}",
        '{"id": "1", "verdict": "applied"}',
        '{"id": -1, "verdict": "applied"}',
        '{"id": true, "verdict": "applied"}',
        '{"id": 1, "verdict": "maybe"}',
        '{"id": 1, "verdict": ["applied"]}',
        '{"id": 1, "verdict": "applied", "step": 1.5}',
        '{"id": 1, "verdict": "applied", "changes": [{"path": 1}]}',
        '{"id": 1, "verdict": "applied", "changes": [{"path":1,"before":2,"after":3}]}',
        '{"id": 1, "verdict": "applied", "changes": 5}',
        '{"id": 1, "verdict": "applied", "by": null}',
        '{"id": 1, "verdict": "applied", "drops": ["x"]}',
        "[" * 100_000,
    ],
)
def test_lines_that_are_no_edits_are_left_out(tmp_path: Path, line: str) -> None:
    file = tmp_path / "edits.jsonl"
    good = json.dumps({"id": 2, "verdict": "applied", "step": 1})
    file.write_text(f"{line}\n{good}\n")

    assert [edit.id for edit in read_history(file)] == [2]


def test_what_the_disk_did_not_take_is_written_with_the_next(tmp_path: Path) -> None:
    file = tmp_path / "gone" / "edits.jsonl"
    history = EditHistory(file)
    with pytest.raises(FileNotFoundError):
        history.add("applied", 1, changes=(LR,))
    file.parent.mkdir()

    history.add("applied", 2, changes=(DECAY,))

    assert [edit.step for edit in read_history(file)] == [1, 2]


def test_edits_after_a_checkpoint_lie_ahead_of_it() -> None:
    past = [begun(1), applied(2, LR)]

    assert edits_ahead([*past, applied(3, DECAY)], past) == [applied(3, DECAY)]
    assert edits_ahead(past, past) == []


def test_edits_whose_place_another_took_do_not_come_again() -> None:
    edits = [begun(1), applied(2, LR), applied(3, DECAY, drops=(2,))]

    assert edits_ahead(edits, []) == [applied(3, DECAY, drops=(2,))]


def test_a_new_override_takes_the_place_of_earlier_edits_of_its_field() -> None:
    edits = [begun(1), applied(2, LR, DECAY), begun(3, "optim.lr=0.5")]

    assert edits_ahead(edits, []) == [applied(2, DECAY)]
    assert edits_ahead([*edits, applied(4, LR)], []) == [
        applied(2, DECAY),
        applied(4, LR),
    ]


def test_an_override_that_is_only_repeated_takes_no_place() -> None:
    edits = [begun(1, "optim.lr=0.5"), applied(2, LR), begun(3, "optim.lr=0.5")]

    assert edits_ahead(edits, []) == [applied(2, LR)]


def test_the_words_that_began_a_run_do_not_undo_what_was_edited_since() -> None:
    words = ["optim.lr=0.5", "steps=3"]
    past = [begun(1, *words), applied(2, LR), begun(3, *words)]

    assert standing_overrides(words, past) == ["steps=3"]
    assert standing_overrides(["optim=Sgd"], [begun(1, "optim=Sgd"), past[1]]) == []
    assert standing_overrides(["optim.lr=0.7"], past) == ["optim.lr=0.7"]
    assert standing_overrides(words, [begun(1), applied(2, LR)]) == words


class Part(Versioned):
    """What the configs below hold: a name in use again, a new name, another value."""

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> dict[int, list[RewriteRule]]:
        return {
            0: [
                RenameField("lr", "t"),
                RenameField("decay", "lr"),
                RenameField("t", "decay"),
                RenameField("note", "title"),
                RenameField("notes", "titles"),
                MapFieldValue("scale", lambda value: 10 * value),
                DeleteField("gone"),
            ]
        }


@dataclass
class Optimizer(Part):
    lr: float = 0.0
    decay: float = 0.1
    title: str = ""
    scale: float = 1.0
    titles: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass
class Config:
    optimizers: list[Optimizer] = field(default_factory=lambda: [Optimizer()])
    table: dict[str, Any] = field(default_factory=dict[str, Any])
    by_name: dict[str, Optimizer] = field(default_factory=dict[str, Optimizer])


@pytest.mark.parametrize(
    ("path", "path_now"),
    [
        ("optimizers[0].lr", "optimizers.0.decay"),
        ("optimizers[0].decay", "optimizers.0.lr"),
        ("optimizers[0].note", "optimizers.0.title"),
        ("optimizers[0].scale", "optimizers.0.scale (of an older version)"),
        ("optimizers[0].gone", "optimizers.0.gone (of an older version)"),
        ("table.a.b[0]", "table.a.b[0]"),
        ('by_name["a.b"].lr', 'by_name["a.b"].decay'),
        ('optimizers[0].notes["a.b"].c', 'optimizers.0.titles["a.b"].c'),
    ],
)
def test_edits_are_told_in_the_words_of_a_newer_class(path: str, path_now: str) -> None:
    versions_now = {"": 0, "Config": 0, "Optimizer": 1}
    started = replace(begun(1, f"{path}=1"), versions={**versions_now, "Optimizer": 0})
    edit = applied(2, replace(LR, path=path))

    carried = edits_of_now(Config, [started, edit])

    assert carried[0].overrides == (f"{path_now}=1",)
    assert carried[0].versions == versions_now
    assert carried[1].changes == (replace(LR, path=path_now),)
    assert edits_of_now(Config, carried) == carried


@pytest.mark.parametrize("path", ["", 'a["', "a..b"])
def test_an_edit_whose_path_is_damaged_stays_as_it_is(path: str) -> None:
    started = replace(begun(1, f"{path}=1"), versions={"Config": 1})
    edit = applied(2, replace(LR, path=path))

    carried = edits_of_now(Config, [started, edit])

    assert carried[0].overrides == started.overrides
    assert carried[1] == edit


def test_an_override_is_the_same_however_its_path_is_written() -> None:
    started = begun(1, "optimizers.0.lr=1")
    edited = applied(2, replace(LR, path="optimizers[0].lr"))

    assert standing_overrides(["optimizers[0].lr=1"], [started, edited]) == []
    assert edits_ahead([started, edited, begun(3, "optimizers[0].lr=1")], ()) == [
        edited
    ]


def test_edits_of_a_run_whose_versions_nobody_noted_keep_names_that_are_in_use() -> (
    None
):
    edits = [begun(1), applied(2, replace(LR, path="optimizers[0].lr"))]

    assert edits_of_now(Config, edits, Config()) == edits
