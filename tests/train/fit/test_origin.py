"""Where a run comes from is told as far as it is known."""

import subprocess
import sys
from pathlib import Path

import pytest

from burnish.train.fit.origin import origin_of_run


def test_versions_the_date_and_the_command_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["burnish", "fit", "name=two words"])

    origin = origin_of_run()

    assert origin["command"] == "burnish fit 'name=two words'"
    assert "torch " in origin["versions"]
    assert origin["begun"].startswith("20")


def test_a_commit_is_told_with_how_many_files_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "git commit" not in origin_of_run()

    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("1")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = origin_of_run()["git commit"]
    (tmp_path / "file").write_text("2")

    assert len(commit) == 12
    assert origin_of_run()["git commit"] == f"{commit}, 1 file changed since"


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert "git commit" not in origin_of_run()
