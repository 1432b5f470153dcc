"""The table for GPT-2: what is added to the peers, on a module of a few bytes."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def gpt2() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("gpt2")


@pytest.fixture
def small(gpt2: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(gpt2, "gpt2", lambda: nn.Linear(2, 2))
    return gpt2


def test_every_peer_stands_beside_itself_synced_and_checked(gpt2: Any) -> None:
    promises = {way.name: way.promises for way in gpt2.WAYS}

    for name in ("torch.save", "safetensors"):
        assert promises[name] == "neither"
        assert promises[f"{name} + fsync + hash"] == promises[".mpk"]


def test_a_synced_save_syncs_the_file_its_sum_and_the_folder(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(small, "sync", synced.append)
    way, file = small.synced_and_checked(small.TORCH), tmp_path / "net"

    way.save(nn.Linear(2, 2), file)

    assert synced == [file, tmp_path / "net.xxh3", tmp_path]


@pytest.mark.parametrize("peer", ["TORCH", "SAFETENSORS"])
def test_a_checked_load_gives_the_values_and_refuses_damage(
    small: Any, peer: str, tmp_path: Path
) -> None:
    way, file = small.synced_and_checked(getattr(small, peer)), tmp_path / "net"
    net = nn.Linear(2, 2)
    way.save(net, file)

    assert torch.equal(way.load(file).weight, net.weight)
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match="net is damaged"):
        way.load(file)
