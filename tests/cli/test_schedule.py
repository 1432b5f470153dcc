import json
from pathlib import Path
from typing import Any

import pytest

from burnish.cli.main import main

TEXT = "step: 0.0@0 lin 1.0@100 cos 0.1@1000"


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_schedule_is_drawn_within_the_terminal(
    columns: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert main(["schedule", TEXT]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].lstrip().startswith("1 ┤")
    assert lines[9].lstrip().startswith("0 ┤")
    assert lines[10].split() == ["0", "1000"]
    assert lines[11] == "step; 0 at 0, 1 at 100, 0.1 at 1000"
    assert max(map(len, lines[:11])) <= int(columns)


def test_a_value_that_does_not_change_is_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["schedule", "step: 0.5@0"]) == 0
    assert "█" in capsys.readouterr().out


def test_values_are_told_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", TEXT, "--at", "50", "--at", "1000"]) == 0
    assert capsys.readouterr().out == "50: 0.5\n1000: 0.1\n"


def test_json_has_points_and_samples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", TEXT, "--json"]) == 0

    document: Any = json.loads(capsys.readouterr().out)
    assert (document["burnish"], document["key"]) == ("schedule", "step")
    assert document["points"][1] == [100, 1.0]
    assert len(document["samples"]) == 101


def test_a_picture_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "x.svg"

    assert main(["schedule", TEXT, "--plot", str(file)]) == 0
    assert "<svg" in file.read_text()


def test_a_text_that_is_no_schedule_is_quoted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["schedule", "step: \x1b1@"]) == 2

    error = capsys.readouterr().err
    assert r"\x1b1@" in error
    assert "\x1b" not in error


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--at", "nan"], "got nan"),
        (["--plot", "a.mpk"], "must end in .png, .svg or .pdf"),
        (["--plot", "none"], "must end in .png, .svg or .pdf"),
        (["--plot", "none/a.png"], "create it first"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--plot" in words:
        pytest.importorskip("matplotlib")
    assert main(["schedule", TEXT, *words]) == 2

    error = capsys.readouterr().err
    assert problem in error
    assert len(error.splitlines()) == 1


def test_the_largest_numbers_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "step: 1.5e308@0 lin -1.5e308@50"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].lstrip().startswith("1.5e+308")
    assert lines[9].lstrip().startswith("-1.5e+308")
