"""What a command asks a run for stands in the run's config, or is refused."""

from pathlib import Path

import pytest

from burnish.config.errors import ConfigError
from burnish.config.files import read_tree
from burnish.config.live.request import request_edit

RON = '(\n  lr: 0.1,\n  optim: (name: "adam", betas: [0.9, 0.99]),\n)\n'


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.ron").write_text(RON)
    return tmp_path


def test_values_are_written_into_the_file_at_the_top(run: Path) -> None:
    file = request_edit(run, ["lr=1e-4", "optim.betas.1=0.5", "optim.name=7"], "a test")

    tree = read_tree(file)[0]
    assert tree["lr"] == 1e-4
    assert tree["optim"]["betas"] == [0.9, 0.5]
    assert tree["optim"]["name"] == "7"
    assert "a test" in (run / "config.ron.set").read_text()


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("optmi.name=a", r"optmi.name: the file has no 'optmi'\. Did you mean 'optim'"),
        ("optim.betas.7=1", r"optim\.betas\.7: the file has no '7'"),
        ("lr", "expected field.name=value"),
        ("lr.deep=1", r"the file has no 'deep'"),
    ],
)
def test_what_is_not_in_the_file_is_refused_and_changes_nothing(
    run: Path, override: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        request_edit(run, ["lr=0.5", override], "a test")

    assert (run / "config.ron").read_text() == RON


def test_a_folder_without_a_config_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config is at its top"):
        request_edit(tmp_path, ["lr=1"], "a test")
