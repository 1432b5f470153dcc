"""What holds when a run goes on whose config is put together anew each time."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.config import Editable, load
from burnish.config.live.changes import Change, marked_values
from burnish.config.live.history import Edit, EditHistory
from burnish.config.live.resumption import (
    edited_values,
    resume_config,
    values_left_behind,
    with_changes,
)


@dataclass
class Config:
    kwargs: Editable[dict[str, Any]] = field(
        default_factory=lambda: {"lr": 0.1, "decay": 0.0}
    )
    epochs: Editable[int] = 5
    width: int = 8


def config(*overrides: str) -> Config:
    return load(Config, None, overrides)


def words_of(config: Config) -> tuple[str, ...]:
    return tuple(f"{path}={value}" for path, value in marked_values(config).items())


def change(path: str, before: str, after: str) -> Change:
    return Change(path=path, before=before, after=after)


def run(*changes: tuple[int, Change], begun: Config | None = None) -> list[Edit]:
    """Return the history of a run with an edit at each of some steps."""
    history = EditHistory(None)
    history.add("begun", 0, overrides=words_of(begun or config()))
    for step, item in changes:
        history.add("applied", step, changes=(item,))
    return history.edits


LR = (3, change("kwargs.lr", "0.1", "0.2"))
EPOCHS = (7, change("epochs", "5", "9"))


def test_a_run_that_was_not_edited_goes_on_as_configured() -> None:
    start = resume_config(config(), run(), run())

    assert start.config == start.final == config()
    assert start.new_paths == ()


def test_edits_before_the_checkpoint_are_in_force_and_later_ones_lie_ahead() -> None:
    edits = run(LR, EPOCHS)

    start = resume_config(config(), edits[:2], edits)

    assert start.config == config("kwargs.lr=0.2")
    assert start.final == config("kwargs.lr=0.2", "epochs=9")
    assert start.new_paths == ()


def test_what_is_configured_otherwise_than_before_takes_the_place_of_an_edit() -> None:
    edits = run(LR, EPOCHS)

    start = resume_config(config("kwargs.lr=0.7"), edits, edits)

    assert start.config == config("kwargs.lr=0.7", "epochs=9")
    assert start.new_paths == ("kwargs.lr",)


def test_the_config_of_the_run_itself_says_nothing_new() -> None:
    edits = run(LR, EPOCHS)

    start = resume_config(config("kwargs.lr=0.2", "epochs=9"), edits[:2], edits)

    assert start.config == config("kwargs.lr=0.2")
    assert start.overrides == words_of(config())


def test_a_width_is_always_that_of_now() -> None:
    edits = run(LR)

    start = resume_config(config("width=9"), edits, edits)

    assert start.config == config("width=9", "kwargs.lr=0.2")


def test_a_dict_that_was_edited_as_a_whole_is_left_behind_item_by_item() -> None:
    whole = change("kwargs", "{...}", '{"lr": 0.3, "beta": 1.0}')

    values = values_left_behind(run(LR, (4, whole)))

    assert values == {"kwargs.lr": "0.3", "kwargs.beta": "1.0", "epochs": "5"}


def test_what_was_written_into_the_file_since_is_told_apart() -> None:
    left_behind = values_left_behind(run(LR))

    changes = edited_values(config("kwargs.lr=0.2", "epochs=6"), left_behind)

    assert [str(c) for c in changes] == ["epochs: 5 -> 6"]
    assert with_changes(config(), changes) == config("epochs=6")


def test_a_run_without_a_history_has_nothing_new(tmp_path: Path) -> None:
    start = resume_config(config("epochs=6"), [], [])

    assert start.config == config("epochs=6")
    assert start.new_paths == ()
