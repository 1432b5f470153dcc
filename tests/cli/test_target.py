"""A target on the command line that is none is told."""

from pathlib import Path

import pytest

from burnish.cli.main import main


def test_what_is_no_module_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upgrade", "-m", "old_net.py:torch", "a.mpk"]) == 2
    assert main(["schema", "check", "old_net.py:nn"]) == 2

    assert "expected a module" in capsys.readouterr().err
