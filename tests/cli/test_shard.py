import json
from pathlib import Path

import pytest
import torch

import burnish
from burnish.cli.main import main

from .stored_files import Net


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Net().save_record("net.mpk", metadata={"epoch": 3})
    return tmp_path


def test_a_file_becomes_parts_and_they_become_the_file_again(folder: Path) -> None:
    assert main(["shard", "net.mpk", "net/", "--parts", "3"]) == 0
    assert main(["consolidate", "net/", "again.mpk"]) == 0

    assert burnish.diff("net.mpk", "net").same
    assert Path("again.mpk").read_bytes() == Path("net.mpk").read_bytes()
    assert main(["verify", "net/"]) == 0


def test_what_is_there_is_replaced_by_force_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["shard", "net.mpk", "net", "--parts", "3"]) == 0
    Path("net/notes.txt").write_text("mine")
    assert main(["shard", "net.mpk", "net", "--parts", "2"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["shard", "net.mpk", "net", "--parts", "2", "--force"]) == 0
    assert main(["consolidate", "net", "net.mpk"]) == 2
    assert main(["consolidate", "net", "net.mpk", "--force"]) == 0

    assert len([*Path("net").glob("part-*-of-00002.*")]) == 2
    assert len([*Path("net").iterdir()]) == 4


def test_the_folder_may_be_behind_a_url() -> None:
    pytest.importorskip("fsspec")
    words = ["shard", "net.mpk", "memory://shards/net", "--parts", "2"]

    assert main(words) == 0
    assert main(words) == 2
    assert main([*words, "--force"]) == 0
    assert main(["consolidate", "memory://shards/net", "again.mpk"]) == 0

    assert burnish.diff("net.mpk", "again.mpk").same


def test_json_tells_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    main(["shard", "net.mpk", "net", "--parts", "2", "--json"])
    parts = json.loads(capsys.readouterr().out)
    main(["consolidate", "net", "out.mpk", "--json"])
    file = json.loads(capsys.readouterr().out)

    assert (parts["burnish"], parts["n_parts"]) == ("shard", 2)
    assert file["n_entries"] == parts["n_entries"]
    assert file["n_bytes"] == Path("out.mpk").stat().st_size


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["consolidate", ".", "out.mpk"], "has no index.mpk"),
        (["consolidate", "net.mpk", "out.mpk"], "has no index.mpk"),
        (["consolidate", "nte.mpk", "out.mpk"], "did you mean 'net.mpk'?"),
        (["consolidate", "", "out.mpk"], "the name of the file is empty"),
        (["shard", "net.mpk", "net.mpk", "--parts", "2"], "expected a folder"),
        (
            ["consolidate", "parts", "parts"],
            "parts: found a folder, but one file is written",
        ),
        (["consolidate", "parts", "parts", "--force"], "a folder, but one file"),
        (["shard", "parts", "more", "--parts", "2"], "is already a folder of parts"),
        (["shard", "net.mpk", "more", "--parts", "0"], "must have from 1 to"),
        (["shard", "net.mpk", "", "--parts", "2", "--force"], "the folder is empty"),
        (["shard", "run.ckpt", "more", "--parts", "2"], "burnish convert FILE"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["shard", "net.mpk", "parts", "--parts", "2"])
    torch.save({"epoch": 3, "state_dict": {"w": torch.ones(2)}}, "run.ckpt")

    assert main(words) == 2
    assert problem in " ".join(capsys.readouterr().err.split())


def test_no_empty_folder_stays_of_what_could_not_be_cut() -> None:
    content = bytearray(Path("net.mpk").read_bytes())
    content[len(content) // 2] ^= 255
    Path("damaged.mpk").write_bytes(content)
    Path("mine").mkdir()

    for folder in ("new", "mine"):
        assert main(["shard", "damaged.mpk", folder, "--parts", "2"]) == 2
    assert main(["shard", "net.mpk", "new", "--parts", "0"]) == 2

    assert not Path("new").exists()
    assert not [*Path("mine").iterdir()]
