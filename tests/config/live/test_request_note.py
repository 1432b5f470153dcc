"""Who asked for a text is noted beside it, and for no other text."""

import os
from pathlib import Path

import pytest

from burnish.config.live.request_note import RequestNote


@pytest.fixture
def note(tmp_path: Path) -> RequestNote:
    return RequestNote.beside(tmp_path / "config.ron")


def test_a_note_is_about_its_text_alone(note: RequestNote) -> None:
    note.add("a command", "before", "after")

    assert note.authors("after") == "a command"
    assert note.authors("edited by hand") == ""


def test_requests_that_still_wait_stay_noted(note: RequestNote) -> None:
    note.add("one", "0", "1")
    note.add("another", "1", "2")

    assert note.authors("2") == "one; another"


def test_requests_that_were_taken_over_are_forgotten(note: RequestNote) -> None:
    note.add("one", "0", "1")
    note.remove()
    note.remove()
    note.add("another", "1", "2")

    assert note.authors("2") == "another"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"text": "1"}', "[[" * 9999])
def test_a_damaged_note_says_nothing(note: RequestNote, text: str) -> None:
    note.file.write_text(text)

    assert note.authors("1") == ""


def test_a_pipe_in_the_place_of_the_note_is_not_waited_for(note: RequestNote) -> None:
    os.mkfifo(note.file)

    assert note.authors("1") == ""
