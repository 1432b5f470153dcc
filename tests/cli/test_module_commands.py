from pathlib import Path

import pytest
import torch

from burnish.cli.main import main
from burnish.records import open_record

OLD = """\
import burnish.core, torch
from torch import nn

@burnish.core.module(name="tests/cli-net")
class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.fc = nn.Linear(width, width)
"""
NEW = OLD.replace("self.fc", "self.head")
FIXED = NEW.replace(
    'name="tests/cli-net"',
    "name=\"tests/cli-net\", version=1, upgrade_rules={0: [RenameField('fc', 'head')]}",
).replace(
    "import burnish.core", "from burnish.config import RenameField\nimport burnish.core"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, source in [("old_net", OLD), ("new_net", NEW), ("fixed_net", FIXED)]:
        (tmp_path / f"{name}.py").write_text(source)
    return tmp_path


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


def test_records_are_rewritten_at_the_newest_version(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from burnish.cli.target import find_target

    old = find_target("old_net.py:Net")(width=4)
    old.save_record("a.mpk")
    old.save_record("b.safetensors")

    status = main(["upgrade", "-m", "fixed_net.py:Net", "a.mpk", "b.safetensors"])
    again = main(["upgrade", "--module", "fixed_net.py:Net", "a.mpk"])

    assert (status, again) == (0, 0)
    told = capsys.readouterr().out
    assert "a.mpk: rewritten" in told
    assert "a.mpk: is of the newest version" in told
    for name in ("a.mpk", "b.safetensors"):
        with open_record(name) as record:
            assert torch.equal(record["head.weight"], old.fc.weight)


def test_a_file_that_cannot_be_rewritten_is_told_and_the_others_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from burnish.cli.target import find_target

    find_target("old_net.py:Net")().save_record("a.mpk")
    (folder / "bad.mpk").write_bytes(b"no record")

    status = main(["upgrade", "-m", "fixed_net.py:Net", "bad.mpk", "none.mpk", "a.mpk"])

    told = capsys.readouterr()
    assert status == 2
    assert "bad.mpk" in told.err
    assert "none.mpk" in told.err
    assert "a.mpk: rewritten" in told.out


def test_what_is_no_module_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upgrade", "-m", "old_net.py:torch", "a.mpk"]) == 2
    assert main(["schema", "check", "old_net.py:nn"]) == 2

    assert "expected a module" in capsys.readouterr().err
