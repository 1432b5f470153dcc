import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.cli.main import main
from burnish.records import open_record

from .stored_files import Net, stepped_optimizer


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Net().save_record("net.mpk", metadata={"epoch": 3})
    return tmp_path


def converted(*words: str, status: int = 0) -> None:
    assert main(["convert", *words]) == status


@pytest.mark.parametrize("suffix", [".mpk.zst", ".json", ".safetensors"])
def test_the_suffix_is_the_format_and_nothing_is_lost(suffix: str) -> None:
    converted("net.mpk", f"new{suffix}")

    assert burnish.diff("net.mpk", f"new{suffix}").same
    with open_record(f"new{suffix}") as new, open_record("net.mpk") as old:
        assert new.metadata["epoch"] == 3
        assert [e.id for e in new.entries()] == [e.id for e in old.entries()]


def test_a_file_of_torch_becomes_one_with_checksums() -> None:
    torch.save(nn.Linear(2, 2).state_dict(), "x.pt")

    converted("x.pt", "x.mpk")

    assert burnish.verify_file("x.mpk").verified == "all"


def test_entries_are_chosen_renamed_and_converted() -> None:
    converted(
        "net.mpk",
        "new.mpk",
        *("--only", "classifier.**", "--rename", "head=classifier"),
        *("--precision", "half"),
    )

    with open_record("new.mpk") as record:
        assert {e.path: e.dtype for e in record.entries()} == {
            "classifier.weight": torch.float16,
            "classifier.bias": torch.float16,
        }


def test_many_files_go_into_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Net().save_record("other.safetensors")

    converted("net.mpk", "other.safetensors", "out", "--suffix", ".mpk.zst", "--json")

    assert sorted(p.name for p in Path("out").iterdir()) == [
        "net.mpk.zst",
        "other.mpk.zst",
    ]
    document: Any = json.loads(capsys.readouterr().out)
    assert [f["n_entries"] for f in document["files"]] == [6, 6]


def test_no_folder_is_made_for_what_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    converted("net.mpk", "copies/net.mpk", "new/out", status=2)
    assert "two sources would be written to new/out/net.mpk" in capsys.readouterr().err
    converted("missing.mpk", "other.mpk", "new/out", status=2)

    assert [p.name for p in Path().iterdir()] == ["net.mpk"]


def test_shards_are_a_folder_with_an_index() -> None:
    converted("net.mpk", "folder", "--shards", "100B")

    assert len([*Path("folder").glob("*.safetensors")]) > 1
    assert burnish.diff("net.mpk", "folder").same


def test_what_a_format_cannot_hold_is_refused_and_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = nn.BatchNorm1d(2)
    net.register_buffer("cache", torch.ones(2), persistent=False)
    burnish.save_record(net, "norm.mpk")
    stepped_optimizer(Net()).save_record("optim.mpk")

    converted("norm.mpk", "norm.safetensors", status=2)
    assert "cache" in capsys.readouterr().err
    converted("norm.mpk", "norm.safetensors", "--exclude", "cache")
    converted("optim.mpk", "optim.safetensors", status=2)
    assert not Path("optim.safetensors").exists()


def test_a_value_beyond_the_precision_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net()
    with torch.no_grad():
        net.head.bias.fill_(1e9)
    net.save_record("large.mpk")

    converted("large.mpk", "half.mpk", "--precision", "half", status=2)

    assert "head.bias" in capsys.readouterr().err
    assert not Path("half.mpk").exists()


def test_what_is_there_is_replaced_only_on_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Net().save_record("new.mpk")
    before = Path("new.mpk").read_bytes()

    converted("net.mpk", "new.mpk", status=2)
    assert "--force" in capsys.readouterr().err
    assert Path("new.mpk").read_bytes() == before
    converted("net.mpk", "new.mpk", "--force")
    assert burnish.diff("net.mpk", "new.mpk").same


def test_a_checkpoint_of_several_records_names_its_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    burnish.Checkpoints("run").save(1, model=Net(), rng=True)

    converted("run", "new.mpk", status=2)

    assert "model.mpk" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["net.mpk", "new.unknown"],
        ["net.mpk", "new.mpk", "--precision", "quarter"],
        ["net.mpk", "new.mpk", "--only", "nothing"],
        ["net.mpk", "new.mpk", "--rename", "head"],
        ["net.mpk", "new.mpk", "--rename", "head=a,b=c"],
        ["net.mpk", "other/net.mpk", "out/"],
        ["net.mpk", "other/net.mpk", "net.mpk"],
    ],
)
def test_wrong_words_are_told(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    converted(*words, status=2)

    assert capsys.readouterr().err.startswith("error: ")
    assert not Path("new.mpk").exists()


def test_what_stands_beside_a_state_dict_is_named_and_not_lost_in_silence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = nn.Linear(2, 2)
    content = {"epoch": 3, "state_dict": net.state_dict(), "optimizer_states": [{1: 2}]}
    torch.save({**content, "callbacks": {}}, "run.ckpt")

    assert main(["convert", "run.ckpt", "x.mpk"]) == 2
    error = capsys.readouterr().err
    assert "epoch, optimizer_states would be lost" in error
    assert "callbacks" not in error
    assert not Path("x.mpk").exists()

    assert main(["convert", "run.ckpt", "x.mpk", "--weights-only"]) == 0
    assert [*burnish.open_record("x.mpk").to_state_dict()] == ["weight", "bias"]


def test_a_record_of_no_tensors_makes_no_shards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    burnish.save_record(nn.Identity(), "empty.safetensors")

    converted("empty.safetensors", "folder", "--shards", "1GB", status=2)

    assert "has no tensors" in capsys.readouterr().err
    assert not Path("folder").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["out", "--shards", "1GB", "--suffix", ".mpk"], "takes no --suffix"),
        (["out.mpk", "--suffix", ".json"], "--suffix is for a folder"),
        (["out.safetensors", "--shards", "1GB"], "this is the name of a file"),
        (["out.xyz"], ".safetensors.\n"),
        (["out.mpk", "--precision", "quarter"], "bfloat16"),
        ([""], "a file name is empty"),
        (["net.mpk/x/"], "net.mpk is not a folder; name another one"),
        (["net.mpk/x", "--shards", "1GB"], "net.mpk is not a folder; name another"),
        (["out.mpk", "--only", "**", "--exclude", "**"], "leaves none of 6 entries"),
    ],
)
def test_words_that_do_not_go_together_write_nothing(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    converted("net.mpk", *words, status=2)

    assert problem in capsys.readouterr().err
    assert [p.name for p in Path().iterdir()] == ["net.mpk"]


def test_shards_are_replaced_on_request_and_nothing_else_is() -> None:
    converted("net.mpk", "folder", "--shards", "100B")
    Path("folder/notes.txt").write_text("mine")
    foreign = Path("folder/model-00001-of-00077.safetensors")
    foreign.write_bytes(b"another's")

    converted("net.mpk", "folder", "--shards", "150B", status=2)
    converted("net.mpk", "folder", "--shards", "1kB", "--force")

    assert burnish.diff("net.mpk", "folder").same
    assert foreign.read_bytes() == b"another's"
    assert len([*Path("folder").iterdir()]) == 4


@pytest.mark.parametrize(
    "words", [["convert", "--shards", "1kB"], ["shard", "--parts=2"]]
)
def test_weights_of_another_form_in_the_folder_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    Net().save_record("folder/model.safetensors")
    before = Path("folder/model.safetensors").read_bytes()

    verb, *options = words
    assert main([verb, "net.mpk", "folder", *options, "--force"]) == 2

    assert "weights in another form" in capsys.readouterr().err
    assert Path("folder/model.safetensors").read_bytes() == before
    assert len([*Path("folder").iterdir()]) == 1


def test_a_damaged_source_does_not_keep_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("bad.mpk").write_bytes(Path("net.mpk").read_bytes()[:100])
    Net().save_record("other.mpk")

    converted("net.mpk", "bad.mpk", "other.mpk", "out", "--json", status=2)

    output = capsys.readouterr()
    rows: Any = json.loads(output.out)["files"]
    assert [row["problem"] is None for row in rows] == [True, False, True]
    assert "1 of 3 files were not converted" in output.err
    assert sorted(p.name for p in Path("out").iterdir()) == ["net.mpk", "other.mpk"]


def test_a_value_that_does_not_fit_is_told_in_words_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    burnish.save_record({"w": torch.full((2,), 1e30)}, "large.mpk")

    converted("large.mpk", "new.mpk", "--precision", "half", status=2)

    error = capsys.readouterr().err
    assert "w: 1e+30 does not fit float16. --precision bfloat16 has the range" in error


@pytest.mark.parametrize("verb", ["convert", "shard"])
def test_a_flipped_bit_of_a_file_of_torch_gets_no_right_sum(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = torch.arange(64.0)
    torch.save({"w": values}, "net.pt")
    data = bytearray(Path("net.pt").read_bytes())
    data[data.index(values.numpy().tobytes()) + 9] ^= 1
    Path("net.pt").write_bytes(data)
    options = {"convert": ["new.mpk"], "shard": ["parts", "--parts", "2"]}[verb]

    assert main([verb, "net.pt", *options]) == 2

    assert "net.pt" in capsys.readouterr().err
    assert not Path("new.mpk").exists()
    assert not Path("parts").exists()
