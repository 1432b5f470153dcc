"""A target on the command line that is none is told."""

import sys
from pathlib import Path

import pytest

from burnish.cli.main import main
from burnish.cli.target import find_target


def test_what_is_no_module_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upgrade", "-m", "old_net.py:torch", "a.mpk"]) == 2
    assert main(["schema", "check", "old_net.py:nn"]) == 2

    assert "expected a module" in capsys.readouterr().err


def test_a_file_of_a_package_may_name_its_neighbors_by_dots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    package = tmp_path / "outer_package" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "parts.py").write_text("class Part: pass\n")
    (package / "whole.py").write_text("from .parts import Part as Whole\n")

    target = find_target(f"{package / 'whole.py'}:Whole")

    assert target.__module__ == "outer_package.inner.parts"
