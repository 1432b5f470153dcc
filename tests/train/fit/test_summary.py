"""What a run came to stands in a file for programs, which a sweep amends."""

import json
import math
import os
from pathlib import Path

from burnish.train.fit.summary import (
    note_in_sweep,
    read_summary,
    summaries_below,
    write_summary,
)


def write(folder: Path, *values: float, problem: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    curves = {"training/loss": ([*range(len(values))], values)}
    write_summary(
        folder,
        curves=curves,
        facts={"epochs": 3},
        results={"test/accuracy": 0.5},
        problem=problem,
    )


def test_each_curve_has_its_last_value_and_the_ends_of_its_range(
    tmp_path: Path,
) -> None:
    write(tmp_path, 3.0, 1.0, 2.0)

    summary = json.loads((tmp_path / "summary.json").read_text())

    assert (summary["burnish"], summary["version"]) == ("run", 1)
    assert (summary["epochs"], summary["problem"]) == (3, "")
    loss = {"last": 2.0, "lowest": 1.0, "highest": 3.0}
    accuracy = {"last": 0.5, "lowest": 0.5, "highest": 0.5}
    assert summary["metrics"] == {"training/loss": loss, "test/accuracy": accuracy}


def test_numbers_that_json_lacks_are_texts_and_no_ends(tmp_path: Path) -> None:
    write(tmp_path, 1.0, math.inf, math.nan)

    summary = read_summary(tmp_path / "summary.json")

    assert summary is not None
    assert summary["metrics"]["training/loss"] == {
        "last": "nan",
        "lowest": 1.0,
        "highest": 1.0,
    }


def test_a_run_that_failed_before_it_wrote_keeps_nothing_of_an_older_one(
    tmp_path: Path,
) -> None:
    write(tmp_path, 1.0)

    note_in_sweep(tmp_path, {"lr": "0.1"}, "ValueError: no", "s1")

    summary = read_summary(tmp_path / "summary.json")
    assert summary is not None
    assert (summary["metrics"], summary["problem"]) == ({}, "ValueError: no")
    assert summary["settings"] == {"lr": "0.1"}


def test_runs_are_found_below_a_sweep_and_other_files_are_no_runs(
    tmp_path: Path,
) -> None:
    write(tmp_path / "lr=1/width=2", 1.0)
    for name, text in [("a", "{"), ("b", "[]"), ("c", '{"metrics": {}}')]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(text)
    (tmp_path / "circle").symlink_to(tmp_path)

    assert [folder for folder, _ in summaries_below(tmp_path)] == [
        tmp_path / "lr=1/width=2"
    ]


def test_what_can_never_be_read_to_its_end_is_no_summary(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "deep").write_text("[" * 100_000)

    for name in ("pipe", "device", "deep"):
        assert read_summary(tmp_path / name) is None
