"""A reader beside a writer, and what a restored optimizer tells."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import AdamW
from burnish.train import Checkpoints
from burnish.train.checkpoints.checkpoint import Checkpoint

from .loaders import saved


@pytest.mark.parametrize("way", ["read", "restore"])
def test_a_reader_at_the_moment_of_retention_gets_the_newer_one(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = saved(tmp_path, 1)
    method = getattr(Checkpoint, way)
    calls: list[Any] = []

    def late(*args: Any, **options: Any) -> Any:
        if not calls:
            calls.append(args)
            saved(tmp_path, 2)
            shutil.rmtree(tmp_path / "step000000000001")
        return method(*args, **options)

    monkeypatch.setattr(Checkpoint, way, staticmethod(late) if way == "read" else late)
    x: list[int] = []

    assert checkpoints.restore(x=x) == 2
    assert x == [2]


def test_a_restored_optimizer_warns_of_another_engine(tmp_path: Path) -> None:
    def bound(fused: bool | None) -> Any:
        net = nn.Linear(3, 2)
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        optim = AdamW().bind(net, lr=0.1, fused=fused)
        optim.step()
        return optim

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, optim=bound(None))

    with pytest.warns(RuntimeWarning, match="optim: group 0: saved on the engine"):
        checkpoints.restore(optim=bound(False))
