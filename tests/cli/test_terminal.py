import io
import sys
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from burnish.cli import terminal
from burnish.cli.terminal import console, print_line, progress_bar, saving_bar


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(is_there: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_there() and time.monotonic() < deadline:
        time.sleep(0.005)


def test_a_long_line_of_facts_goes_on_set_in() -> None:
    file = io.StringIO()
    output = Console(file=file, width=30, markup=False)

    print_line(output, "  " + "word " * 10)

    first, second, *_ = file.getvalue().splitlines()
    assert first.startswith("  word")
    assert second.startswith("      word")
    assert max(map(len, file.getvalue().splitlines())) <= 30


def test_what_looks_like_markup_is_shown_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_line(console(), "[red]name[/red] :smile:")

    assert capsys.readouterr().out == "[red]name[/red] :smile:\n"


def test_a_pipe_has_lines_of_any_length(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    print_line(console(), "word " * 100)

    assert capsys.readouterr().out.count("\n") == 1


def test_a_bar_is_drawn_after_a_while_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen, pipe = Screen(), io.StringIO()
    monkeypatch.setattr(terminal, "_PATIENCE", 0.0)
    for stream in (screen, pipe):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar("reading", "folder/x", 10) as advance:
            advance(5)
            wait_for(screen.getvalue)

    assert "reading x" in screen.getvalue()
    assert pipe.getvalue() == ""


def test_what_tells_nothing_has_a_bar_that_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "_PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stderr", screen := Screen())

    with saving_bar("opening", "folder/x/"):
        wait_for(screen.getvalue)

    assert "opening x" in screen.getvalue()


def test_what_takes_no_time_draws_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Screen())

    with progress_bar("reading", "folder/x", 10) as advance:
        advance(10)

    assert screen.getvalue() == ""
