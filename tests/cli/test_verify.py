import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import burnish
from burnish.cli.main import main
from burnish.records import RecordError, open_record

from .stored_files import Net


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    Net().save_record("net.mpk")
    return tmp_path


def damage(file: str, entry: str) -> None:
    """Change a byte of one entry's values."""
    with open_record(file) as record:
        values = record[entry].contiguous().numpy().tobytes()
    data = bytearray(Path(file).read_bytes())
    data[data.index(values) + 1] ^= 1
    Path(file).write_bytes(data)


def verified(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["verify", *words]) == status
    output = capsys.readouterr()
    assert not output.err
    return output.out


def test_a_whole_file_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert verified(capsys, "net.mpk") == "net.mpk: fine, 6 entries, 220 B\n"


def test_damage_is_told_with_the_entry(capsys: pytest.CaptureFixture[str]) -> None:
    damage("net.mpk", "head.weight")

    text = verified(capsys, "net.mpk", status=1)

    assert "net.mpk: damaged" in text
    assert "head.weight" in text


def test_a_stranger_s_file_is_fine_with_a_note_unless_strict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_file(nn.Linear(2, 2).state_dict(), "x.safetensors")

    assert "no checksums" in verified(capsys, "x.safetensors")
    assert "no checksums" in verified(capsys, "x.safetensors", "--strict", status=1)


def test_what_cannot_be_read_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing.mpk" in verified(capsys, "nothing.mpk", status=2)
    Path("notes.txt").write_text("hello")
    verified(capsys, "net.mpk", "notes.txt", status=2)


def test_damage_outweighs_what_could_not_be_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage("net.mpk", "head.bias")

    text = verified(capsys, "nothing.mpk", "net.mpk", status=1)

    assert text.splitlines()[-1] == "2 of 2 files are not fine"


def test_a_run_is_verified_whole_with_its_manifests(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = burnish.Checkpoints("run")
    for step in (1, 2):
        run.save(step, model=Net(), rng=True)
    assert verified(capsys, "run").splitlines()[-1] == "all fine"

    Net().save_record(run[1].folder / "model.mpk")

    assert "'model' in model.mpk is not the one that was" in verified(
        capsys, "run", status=1
    )
    Path(run[2].folder, "model.mpk").unlink()
    assert "'model' in model.mpk is missing" in verified(capsys, "run", status=1)


def test_a_shard_that_is_missing_is_damage(capsys: pytest.CaptureFixture[str]) -> None:
    burnish.save_pretrained(Net(), "folder", max_shard_size=100)
    verified(capsys, "folder")
    next(Path("folder").glob("model-00002*")).unlink()

    assert "model.safetensors.index.json: damaged" in verified(
        capsys, "folder", status=1
    )


def test_a_sha256_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(Path("net.mpk").read_bytes()).hexdigest()

    verified(capsys, "net.mpk", "--sha256", digest.upper())
    text = verified(capsys, "net.mpk", "--sha256", "0" * 64, status=1)
    assert digest in text
    assert main(["verify", "net.mpk", "--sha256", "0"]) == 2
    assert "--sha256: it must be 64 hexadecimal digits" in capsys.readouterr().err


def test_json_has_a_schema_and_a_row_for_each_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document: Any = json.loads(
        verified(capsys, "net.mpk", "nothing.mpk", "--json", status=2)
    )

    assert (document["burnish"], document["version"]) == ("verify", 1)
    assert [f["verdict"] for f in document["files"]] == ["fine", "unreadable"]
    assert document["files"][0]["n_entries"] == 6


def test_damaged_entries_are_taken_from_a_second_copy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = Path("net.mpk").read_bytes()
    Path("copy.mpk").write_bytes(whole)
    damage("net.mpk", "layers.0.bias")
    damage("copy.mpk", "head.weight")

    text = verified(capsys, "net.mpk", "--repair-from", "copy.mpk", "--out", "new.mpk")

    assert "taken from the copy: layers.0.bias" in text
    assert Path("new.mpk").read_bytes() == whole


@pytest.mark.parametrize(
    ("out", "copy", "words"),
    [
        ("copy.mpk", "copy.mpk", "name a new one"),
        ("new.mpk", "other.mpk", "It is not a copy"),
        ("new.mpk", "net.mpk", "checksum"),
    ],
)
def test_a_repair_that_could_lose_something_is_refused(
    out: str, copy: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("copy.mpk").write_bytes(Path("net.mpk").read_bytes())
    Net().save_record("other.mpk")
    damage("net.mpk", "layers.0.bias")

    assert main(["verify", "net.mpk", "--repair-from", copy, "--out", out]) == 2
    assert words in capsys.readouterr().err
    assert not Path("new.mpk").exists()


def test_repair_needs_a_new_file_and_one_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (
        ["net.mpk", "--repair-from", "x.mpk"],
        ["net.mpk", "b.mpk", "--repair-from", "x.mpk", "--out", "y.mpk"],
    ):
        assert main(["verify", *words]) == 2
    assert "must be given together" in capsys.readouterr().err


def test_a_damaged_header_is_taken_from_a_copy_that_is_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = Path("net.mpk").read_bytes()
    Path("copy.mpk").write_bytes(whole)
    Path("net.mpk").write_bytes(whole[:40] + bytes([whole[40] ^ 255]) + whole[41:])

    text = verified(capsys, "net.mpk", "--repair-from", "copy.mpk", "--out", "new.mpk")

    assert "the whole file is the copy's, and 99." in text
    assert Path("new.mpk").read_bytes() == whole


def test_a_damaged_header_is_taken_from_no_other_file_and_from_no_damaged_copy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = Path("net.mpk").read_bytes()
    Path("copy.mpk").write_bytes(whole)
    burnish.save_record({"x": torch.randn(5000)}, "other.mpk")
    damage("copy.mpk", "head.weight")
    Path("net.mpk").write_bytes(whole[:40] + bytes([whole[40] ^ 255]) + whole[41:])

    for copy, words in (("other.mpk", "not a copy"), ("copy.mpk", "checksum")):
        arguments = ["net.mpk", "--repair-from", copy, "--out", "new.mpk"]
        assert main(["verify", *arguments]) == 2
        assert words in capsys.readouterr().err
    assert not Path("new.mpk").exists()


@pytest.mark.parametrize("lost", ["checkpoint.json", "*"])
def test_a_run_that_does_not_go_on_is_told_as_restoring_tells_it(
    lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = burnish.Checkpoints("run")
    for step in (1, 2):
        run.save(step, model=Net())
    for file in Path(run[2].folder).glob(lost):
        file.unlink()

    text = verified(capsys, "run", status=1)

    assert "a checkpoint without checkpoint.json" in text
    assert main(["show", "run"]) == 0
    assert "a checkpoint without checkpoint.json" in capsys.readouterr().out
    with pytest.raises(RecordError, match=r"without checkpoint\.json"):
        run.restore(model=Net())


def test_a_run_before_its_first_checkpoint_is_told_as_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("run/checkpoints").mkdir(parents=True)
    Path("run/summary.json").write_text("{}")

    assert "no checkpoint yet" in verified(capsys, "run", status=2)
    assert main(["show", "run"]) == 2
    assert "no checkpoint yet" in capsys.readouterr().err


def test_a_wrong_sha256_is_the_one_verdict_on_a_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = verified(capsys, "net.mpk", "--sha256", "0" * 64, status=1)

    assert text.count("net.mpk") == 1
    assert "files are not fine" not in text


def test_no_checksums_is_no_damage_if_strict_either(
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_file({"x": torch.ones(2)}, "x.safetensors")

    text = verified(capsys, "x.safetensors", "--strict", "--json", status=1)

    assert [f["verdict"] for f in json.loads(text)["files"]] == ["no checksums"]


FOREIGN: dict[str, Callable[[], Any]] = {
    "quantized": lambda: {
        "x": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    },
    "sparse": lambda: {"x": torch.eye(2).to_sparse()},
    "meta": lambda: {"x": torch.ones(2, device="meta")},
    "list": lambda: [1, 2],
    "int": lambda: 3,
    "int keys": lambda: {1: torch.ones(2)},
    "module": lambda: nn.Linear(2, 2),
}


# torch means to remove tensors of this kind; files of them stay.
@pytest.mark.filterwarnings("ignore:.*quantize:UserWarning")
@pytest.mark.filterwarnings("ignore:TypedStorage:UserWarning")
@pytest.mark.parametrize("name", FOREIGN)
def test_an_intact_file_of_something_else_is_not_called_damaged(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(FOREIGN[name](), "x.pt")

    assert "x.pt: unreadable: " in verified(capsys, "x.pt", status=2)


@pytest.mark.parametrize("dtype", ["F4", "ZZ"])
def test_what_a_younger_library_wrote_is_not_called_damaged(
    dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"dtype": dtype, "shape": [2], "data_offsets": [0, 1]}
    head = json.dumps({"x": row}).encode()
    Path("x.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + b"\0")

    assert "unreadable" in verified(capsys, "x.safetensors", status=2)


def test_a_text_or_a_pipe_is_no_damaged_record_whatever_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("text.mpk").write_text("hello there")
    os.mkfifo("pipe.mpk")

    document: Any = json.loads(
        verified(capsys, "text.mpk", "pipe.mpk", "--json", status=2)
    )

    assert [f["verdict"] for f in document["files"]] == ["unreadable"] * 2


def test_a_bit_that_flipped_in_a_file_of_torch_is_found_by_its_crc(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"a": torch.ones(8), "b": torch.arange(64)}, "x.pt")
    assert "checked by CRC-32" in verified(capsys, "x.pt", "--strict")
    data = bytearray(Path("x.pt").read_bytes())
    data[data.index(torch.arange(64).numpy().tobytes()) + 8] ^= 1
    Path("x.pt").write_bytes(data)

    text = verified(capsys, "x.pt", status=1)

    assert "x.pt: damaged: " in text
    assert "'x/data/1'" in text


def test_a_damaged_header_is_taken_from_no_other_save_of_the_same_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Net()
    net.save_record("net.mpk")
    with torch.no_grad():
        net.head.bias.add_(1)
    net.save_record("sibling.mpk")
    whole = Path("net.mpk").read_bytes()
    Path("net.mpk").write_bytes(whole[:40] + bytes([whole[40] ^ 255]) + whole[41:])

    words = ["verify", "net.mpk", "--repair-from", "sibling.mpk", "--out", "new.mpk"]
    assert main(words) == 2

    assert "the bytes of head.bias differ" in capsys.readouterr().err
    assert not Path("new.mpk").exists()


def test_what_a_file_that_was_cut_lacks_is_taken_from_the_copy_and_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    burnish.save_record({"x": torch.ones(999), "y": torch.zeros(99)}, "copy.mpk")
    whole = Path("copy.mpk").read_bytes()
    Path("net.mpk").write_bytes(whole[:-200])

    text = verified(capsys, "net.mpk", "--repair-from", "copy.mpk", "--out", "new.mpk")

    assert "which differs in: header, y" in text
    assert Path("new.mpk").read_bytes() == whole


def test_a_repair_of_damaged_checksums_does_not_say_that_all_was_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = Path("net.mpk").read_bytes()
    Path("copy.mpk").write_bytes(whole)
    Path("net.mpk").write_bytes(whole[:-3] + bytes([whole[-3] ^ 255]) + whole[-2:])
    verified(capsys, "net.mpk", status=1)

    text = verified(capsys, "net.mpk", "--repair-from", "copy.mpk", "--out", "new.mpk")

    assert "no entry was damaged" in text
    assert Path("new.mpk").read_bytes() == whole


def test_a_folder_s_records_of_json_are_found_whatever_they_begin_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Net().save_record("whole.json")
    content = Path("whole.json").read_bytes()
    Path("other_name.json").write_bytes(content.replace(b'"burnish"', b'"curnish"', 1))
    Path("lost_head.json").write_bytes(content[40:])
    Path("cut.json").write_bytes(content[:-40])
    Path("empty.json").touch()
    for name in ("tokenizer", "vocab"):
        Path(f"{name}.json").write_text('{"version": "burnish"}\n')
    Path("list.json").write_text("[1, 2]")

    lines = verified(capsys, ".", status=1).splitlines()

    names = {line.partition(": ")[0] for line in lines if line.startswith("./")}
    fine = {line.partition(": ")[0] for line in lines if ": fine, " in line}
    broken = {f"./{n}.json" for n in ("other_name", "lost_head", "cut", "empty")}
    assert fine == {"./net.mpk", "./whole.json"}
    assert names - fine == broken
