"""The commands with URLs in the place of files."""

from hashlib import sha256
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.cli.main import main

fsspec: Any = pytest.importorskip("fsspec")
URL = "memory://commands/net.mpk"


@pytest.fixture(autouse=True)
def net() -> nn.Module:
    module = nn.Linear(30, 20)
    burnish.save_record(module, URL)
    return module


def memory() -> Any:
    return fsspec.filesystem("memory")


@pytest.mark.parametrize("options", [[], ["--stats"], ["--digest"], ["--json"]])
def test_show_reads_a_url(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", URL, *options]) == 0

    assert "weight" in capsys.readouterr().out


def test_the_digest_of_a_folder_is_that_of_all_its_objects(
    net: nn.Module, capsys: pytest.CaptureFixture[str]
) -> None:
    burnish.save_record(net, "memory://commands/net/")

    assert main(["show", "memory://commands/net/", "--digest"]) == 0

    files = memory().find("/commands/net")
    shown = capsys.readouterr().out
    assert len(files) == 2
    for file in files:
        assert sha256(memory().cat_file(file)).hexdigest() in shown


def test_verify_reads_a_url_and_finds_damage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", URL]) == 0
    data = bytearray(memory().cat_file("/commands/net.mpk"))
    data[-600] ^= 1
    memory().pipe_file("/commands/bad.mpk", bytes(data))

    assert main(["verify", "memory://commands/bad.mpk"]) == 1
    assert main(["verify", URL, "--sha256", "0" * 64]) == 1
    assert main(["verify", "memory://commands/none.mpk"]) == 2

    assert "memory://commands/bad.mpk: damaged" in capsys.readouterr().out


def test_convert_reads_and_writes_urls_and_replaces_on_request(net: nn.Linear) -> None:
    target = "memory://commands/net.safetensors"

    assert main(["convert", URL, target]) == 0
    assert main(["convert", URL, target]) == 2
    assert main(["convert", URL, target, "--force", "--precision", "half"]) == 0

    weight = burnish.open_record(target)["weight"]
    assert torch.equal(weight, net.weight.half())


def test_convert_puts_several_beside_each_other_and_makes_no_folder_here(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    memory().copy("/commands/net.mpk", "/commands/other.mpk")
    other = "memory://commands/other.mpk"

    assert main(["convert", URL, other, "memory://commands/half/"]) == 0

    assert memory().exists("/commands/half/other.mpk")
    assert not [*tmp_path.iterdir()]


def test_diff_compares_a_url_with_a_file(tmp_path: Any, net: nn.Linear) -> None:
    burnish.save_record(net, tmp_path / "net.mpk")
    assert main(["diff", URL, str(tmp_path / "net.mpk")]) == 0
    nn.init.zeros_(net.weight)
    burnish.save_record(net, URL)

    assert main(["diff", URL, str(tmp_path / "net.mpk")]) == 1


def test_repair_takes_what_is_damaged_from_a_url_and_writes_to_one() -> None:
    data = bytearray(memory().cat_file("/commands/net.mpk"))
    data[-600] ^= 1
    bad, whole = "memory://commands/bad.mpk", "memory://commands/whole.mpk"
    memory().pipe_file("/commands/bad.mpk", bytes(data))
    if memory().exists("/commands/whole.mpk"):
        memory().rm("/commands/whole.mpk")

    assert main(["verify", bad, "--repair-from", URL, "--out", whole]) == 0

    assert memory().cat_file("/commands/whole.mpk") == memory().cat_file(
        "/commands/net.mpk"
    )
    assert main(["verify", bad, "--repair-from", URL, "--out", whole]) == 2


def test_shards_go_to_a_url_whose_index_is_read_like_a_record(net: nn.Module) -> None:
    folder = "memory://commands/shards/"
    index = f"{folder}model.safetensors.index.json"

    assert main(["convert", URL, folder, "--shards", "2kB"]) == 0
    assert main(["convert", URL, folder, "--shards", "2kB"]) == 2

    assert len(memory().find("/commands/shards")) == 3
    assert main(["diff", URL, index]) == 0
    memory().rm_file("/commands/shards/model-00002-of-00002.safetensors")
    assert main(["show", index]) == 2


@pytest.mark.parametrize("form", ["parts", "shards"])
def test_verify_reads_a_folder_and_finds_damage_in_any_part(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = f"memory://commands/verified/{form}"
    words = ["--parts", "2"] if form == "parts" else ["--shards", "1KB"]
    assert main(["shard" if form == "parts" else "convert", URL, folder, *words]) == 0
    assert main(["verify", folder]) == 0
    part = max(memory().find(f"/commands/verified/{form}"), key=memory().size)
    data = bytearray(memory().cat_file(part))
    data[-600] ^= 1
    memory().pipe_file(part, bytes(data))

    assert main(["verify", folder]) == 1
    assert "damaged" in capsys.readouterr().out


def test_an_object_that_is_not_there_is_told_in_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "memory://commands/none.mpk"]) == 2

    error = capsys.readouterr().err
    assert error == "error: memory://commands/none.mpk: No such file or directory\n"
