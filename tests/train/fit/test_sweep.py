"""Runs of a sweep are added to its page one by one, under short names of settings."""

from pathlib import Path

from burnish.train.fit.sweep import note_run

from ..pages.test_page import data_of
from .test_summary import write


def test_the_page_has_each_run_with_what_was_set_for_it(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / str(i), 1.0 + i)
        words = [
            f"model_config.optimizer.kwargs.lr=0.{i}",
            "++run_config.trainer.max_epochs=2",
            "~model_config.scheduler",
        ]
        note_run(tmp_path, tmp_path / str(i), words, "", "s1")

    page = tmp_path / "sweep.html"
    content = data_of(page.read_text())

    assert isinstance(content, dict)
    assert content["params"] == ["optimizer.kwargs.lr"]
    assert content["same"] == [
        ["max_epochs", "2"],
        ["~model_config.scheduler", "deleted"],
    ]
    assert [run["params"] for run in content["runs"]] == [[0.0], [0.1], [0.2]]
    assert {run["report"] for run in content["runs"]} == {None}


def test_two_settings_that_differ_in_their_section_only_are_two(
    tmp_path: Path,
) -> None:
    words = ["model_config.seed=1", "data_config.seed=2", "++model_config.width=3"]
    write(tmp_path / "0", 1.0)

    page = note_run(tmp_path, tmp_path / "0", words, "", "s1")

    content = data_of(page.read_text())
    assert isinstance(content, dict)
    assert content["same"] == [
        ["model_config.seed", "1"],
        ["data_config.seed", "2"],
        ["width", "3"],
    ]


def test_runs_of_an_earlier_sweep_in_the_folder_are_counted_and_not_compared(
    tmp_path: Path,
) -> None:
    for name, sweep_id in (("0", "old"), ("1", "old"), ("0", "new")):
        write(tmp_path / name, 1.0)
        page = note_run(tmp_path, tmp_path / name, ["lr=1"], "", sweep_id)

    content = data_of(page.read_text())

    assert isinstance(content, dict)
    assert [run["name"] for run in content["runs"]] == ["0"]
    assert content["n_older"] == 1


def test_a_run_that_never_began_is_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()

    page = note_run(tmp_path, tmp_path / "0", ["width=-1"], "ConfigError: width", "s1")

    content = data_of(page.read_text())
    assert isinstance(content, dict)
    [run] = content["runs"]
    assert (run["name"], run["problem"]) == ("0", "ConfigError: width")
