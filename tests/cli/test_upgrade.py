"""Records are rewritten at the newest version of their classes."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import burnish
from burnish.cli.main import main
from burnish.records import open_record


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
    assert "a.mpk: already at the newest version" in told
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


class Net(burnish.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 2)


def test_a_record_of_an_unknown_class_asks_for_the_class_and_is_no_answer(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Net().save_record("a.json")
    text = (folder / "a.json").read_text()
    (folder / "a.json").write_text(re.sub(r"(__name__\W+)\w+", r"\1Gone", text))

    assert main(["upgrade", "a.json"]) == 2
    assert "burnish upgrade -m FILE.py:Net a.json" in capsys.readouterr().err
