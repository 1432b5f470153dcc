"""What one process sends to another is a line that says all of the run."""

import json
import sys

import pytest

from burnish.train.fit.sent_run import MARK, SentRun, is_first_process


def test_a_run_is_one_line_whatever_its_texts_hold() -> None:
    run = SentRun(tree={"a": "two\nlines"}, folder="x", import_path=["places"])

    line = run.line()

    assert line.count(b"\n") == 1
    assert json.loads(line) == [{"a": "two\nlines"}, "x", ["places"]]


def test_modules_are_looked_for_where_the_first_process_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", ["here"])
    run = SentRun(tree={}, folder="x", import_path=["here", "there"])

    assert run.enter().name == "x"
    assert sys.path == ["here", "there"]


def test_a_process_that_another_one_started_is_not_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_first_process()
    monkeypatch.setenv(MARK, "1")
    assert not is_first_process()
