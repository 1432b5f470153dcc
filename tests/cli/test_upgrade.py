"""Records are rewritten at the newest version of their classes."""

from pathlib import Path

import pytest
import torch

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
    assert "a.mpk: already has the newest version" in told
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
