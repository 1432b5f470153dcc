"""`burnish set`: an edit for a run that goes on, by words."""

from pathlib import Path

import pytest

from burnish.cli.main import main

RON = '(lr: 0.1, optim: (name: "adam", betas: [0.9, 0.99]))\n'


def test_values_are_asked_for_and_the_command_says_where_the_answer_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.ron").write_text(RON)

    assert main(["set", str(tmp_path), "lr=1e-4", "optim.name=lion"]) == 0

    assert "0.0001" in (tmp_path / "config.ron").read_text()
    assert "burnish set lr=1e-4" in (tmp_path / "config.ron.set").read_text()
    assert "config.ron.refused" in capsys.readouterr().out


def test_a_wrong_word_ends_with_an_error_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.ron").write_text(RON)

    assert main(["set", str(tmp_path), "lrr=1"]) == 2
    assert main(["set", str(tmp_path / "gone"), "lr=1"]) == 2

    assert (tmp_path / "config.ron").read_text() == RON
    error = capsys.readouterr().err
    assert "the file has no 'lrr'" in error
    assert "gone: there is no such folder" in error


def test_a_refusal_that_still_stands_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.ron").write_text(RON)
    (tmp_path / "config.ron.refused").write_text("lr: a rate of -1\n")

    assert main(["set", str(tmp_path), "optim.name=lion"]) == 0

    out = capsys.readouterr().out
    assert "already refused the file: lr: a rate of -1." in out
    assert "The run applies nothing from this file until" in out


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["--lr=1"], "without dashes: lr=1\n"),
        (["--lr", "1"], "without dashes: lr=1\n"),
        ([], "as in lr=1e-4\n"),
    ],
)
def test_a_field_with_dashes_is_told_how_it_is_written(
    words: list[str],
    advice: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "config.ron").write_text(RON)

    assert main(["set", str(tmp_path), *words]) == 2

    assert capsys.readouterr().err.endswith(advice)
    assert (tmp_path / "config.ron").read_text() == RON
