"""Weights in several files, with an index that agrees with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.core import (
    from_pretrained,
)
from burnish.records import RecordFormatError, RecordMismatchError

from .folders import Net, trained


@pytest.mark.parametrize(
    "shard",
    [
        "../model.safetensors",
        "/etc/passwd",
        "a/b",
        "",
        ".hidden",
        "x\x00",
        3,
        None,
        "a..b",
    ],
)
def test_an_index_names_files_of_its_folder_alone(tmp_path: Path, shard: Any) -> None:
    Net(4).save_pretrained(tmp_path, max_shard_size=200)
    index = tmp_path / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    told["weight_map"][next(iter(told["weight_map"]))] = shard
    index.write_text(json.dumps(told))

    with pytest.raises(RecordFormatError, match="name of a file"):
        from_pretrained(tmp_path)


def test_an_index_and_its_shards_agree(tmp_path: Path) -> None:
    Net(4).save_pretrained(tmp_path, max_shard_size=200)
    index = tmp_path / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    shards = list(told["weight_map"].values())
    other, shard = next(x for x in told["weight_map"].items() if shards.count(x[1]) > 1)

    for changed, message in [
        ({**told["weight_map"], "layers.9.weight": shard}, "in none of its shards"),
        ({k: v for k, v in told["weight_map"].items() if k != other}, "a shard has"),
        ({}, "no shards"),
    ]:
        index.write_text(json.dumps({**told, "weight_map": changed}))
        with pytest.raises((RecordFormatError, RecordMismatchError), match=message):
            from_pretrained(tmp_path)


def test_a_lost_shard_is_named(tmp_path: Path) -> None:
    Net(4).save_pretrained(tmp_path, max_shard_size=200)
    lost = next(tmp_path.glob("model-*.safetensors"))
    lost.unlink()

    with pytest.raises(FileNotFoundError, match=lost.name):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("size", [0, -1, "", "x", "5 parsecs", None, True, "0GB"])
def test_a_shard_size_is_bytes_or_a_text_of_them(tmp_path: Path, size: Any) -> None:
    with pytest.raises(ValueError, match="write bytes, or a text such as '5GB'"):
        trained().save_pretrained(tmp_path, max_shard_size=size)
