"""What a run's page is told of edits and checkpoints."""

from burnish.config.live.changes import Change
from burnish.config.live.history import Edit
from burnish.train.fit.html_report import edit_rows, kept_checkpoints
from burnish.train.lightning.record_checkpoint import RecordCheckpoint


def test_a_run_that_was_not_edited_has_no_rows() -> None:
    assert edit_rows([Edit(id=1, verdict="begun", step=0, time="now")]) == []


def test_each_field_of_an_edit_has_a_row() -> None:
    changes = tuple(
        Change(path=path, before="0.1", after="0.2", note=note)
        for path, note in (("lr", "a schedule from now on"), ("decay", ""))
    )
    edit = Edit(id=2, verdict="applied", step=7, time="today", by="me", changes=changes)
    refused = Edit(id=3, verdict="refused", step=8, time="then", problem="no such")

    assert edit_rows([edit, refused]) == [
        ("7", "today", "me", "lr", "0.1", "0.2", "a schedule from now on"),
        ("7", "today", "me", "decay", "0.1", "0.2", ""),
        ("8", "then", "", "", "", "", "refused: no such"),
    ]


def test_the_best_and_the_last_checkpoint_are_marked() -> None:
    callback = RecordCheckpoint(monitor="loss")
    callback.best_k_models = {"run/b": 2.0, "run/a": 1.0}  # type: ignore[dict-item]  # numbers do as well
    callback.best_model_path, callback.last_model_path = "run/a", "run/last"

    kept = kept_checkpoints(callback)

    assert [(c.name, c.score, c.is_best, c.is_last) for c in kept] == [
        ("a", 1.0, True, False),
        ("b", 2.0, False, False),
        ("last", None, False, True),
    ]
    assert kept_checkpoints(None) == []
