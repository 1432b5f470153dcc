"""Commands that check a module against the records that it wrote."""

from pathlib import Path

import pytest

from burnish.cli.main import main


def test_a_refactor_of_a_module_is_noticed_and_fixed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "dump", "old_net.py:Net"]) == 0
    assert (folder / "record-schema.json").exists()
    assert main(["schema", "check", "old_net.py:Net"]) == 0
    capsys.readouterr()

    assert main(["schema", "check", "new_net.py:Net"]) == 1
    told = capsys.readouterr().out
    assert main(["schema", "upgrade", "new_net.py:Net"]) == 1
    assert main(["schema", "check", "fixed_net.py:Net"]) == 0
    assert main(["schema", "upgrade", "fixed_net.py:Net"]) == 0

    assert "warn  renamed to head: fc" in told
    assert "RenameField(old_field=('fc',), new_field=('head',))" in told
    assert "bump version to 1" in told


def test_the_arguments_of_a_module_come_from_a_file(folder: Path) -> None:
    (folder / "config.json").write_text('{"width": 7}')

    assert (
        main(["schema", "dump", "old_net.py:Net", "s.json", "--hparams", "config.json"])
        == 0
    )

    assert "[7, 7]" in (folder / "s.json").read_text()
    assert main(["schema", "check", "old_net.py:Net", "s.json"]) == 1
