"""Files and folders that the commands are tried with."""

import sys
from pathlib import Path

import pytest

from .modules import FIXED, NEW, OLD
from .runs import EXAMPLES, FAILING, FAILING_FILE, words


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "failing_net.py").write_text(FAILING)
    (tmp_path / "failing.yaml").write_text(FAILING_FILE)
    return words("run", "--config-path", ".", "--config-name", "failing")


@pytest.fixture
def folder_with_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_CONFIG_PATH", str(EXAMPLES))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, source in [("old_net", OLD), ("new_net", NEW), ("fixed_net", FIXED)]:
        (tmp_path / f"{name}.py").write_text(source)
    return tmp_path
