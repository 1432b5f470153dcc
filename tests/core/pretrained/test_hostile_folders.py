"""Folders whose JSON says anything: an error in words, never a crash."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish import from_pretrained, save_pretrained
from burnish.core.errors import HyperparameterError
from burnish.records import RecordError, RecordFormatError


@burnish.module
class Net(nn.Module):
    def __init__(self, width: int = 3, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))


ODD: list[Any] = [
    None, True, 0, -1, 5, 1.5, "", "x", "..", "../x", "a/b", "\ud800", "\0",
    [], ["x"], {}, {"x": 1}, {"x": ["y"]}, [[]], [{}],
]  # fmt: skip

INDEX = "model.safetensors.index.json"


def variants(plain: dict[str, Any]) -> list[dict[str, Any]]:
    """Return ``plain`` with each value of two levels left out or replaced."""
    found: list[dict[str, Any]] = []
    for key, value in plain.items():
        found += [{**plain, key: odd} for odd in ODD]
        found.append({k: v for k, v in plain.items() if k != key})
        if isinstance(value, dict):
            found += [{**plain, key: inner} for inner in variants(value)]
    return [*found, {**plain, "more": 1}]


@pytest.mark.parametrize("file", [INDEX, "config.json"])
def test_whatever_a_folder_says_is_a_module_or_an_error_in_words(
    file: str, tmp_path: Path
) -> None:
    save_pretrained(Net(), tmp_path, max_shard_size=60)
    whole = json.loads((tmp_path / file).read_text())
    crashes = list[str]()

    for plain in variants(whole):
        (tmp_path / file).write_text(json.dumps(plain))
        try:
            from_pretrained(tmp_path, Net)
        except (RecordError, HyperparameterError, ValueError, OSError):
            continue
        except UserWarning:  # of a class that is another one
            continue
        except Exception as error:  # whatever it is, it is a crash
            crashes.append(f"{type(error).__name__}: {error!s:.80} in {plain!r:.300}")

    assert crashes == []


@pytest.mark.parametrize("names", [["model.safetensors"], {"a": 1}, None, 3])
def test_a_shard_that_is_no_name_is_refused(names: object, tmp_path: Path) -> None:
    save_pretrained(Net(), tmp_path, max_shard_size=60)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["layers.0.weight"] = names
    (tmp_path / INDEX).write_text(json.dumps(index))

    with pytest.raises(RecordFormatError, match=r"the shard .*expected the name of a"):
        from_pretrained(tmp_path, Net)


def test_a_folder_as_it_was_saved_is_read(tmp_path: Path) -> None:
    save_pretrained(net := Net(), tmp_path, max_shard_size=60)

    found = from_pretrained(tmp_path, Net)

    for a, b in zip(found.parameters(), net.parameters(), strict=True):
        assert torch.equal(a, b)
