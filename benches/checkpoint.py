"""What does a checkpoint of a training run cost?

Peer: Lightning's checkpoint plugin, with the same dict of 124 M parameters and their
AdamW state, in memory and without fsync, which Lightning never calls. And what
`HyperState.step` adds to a training step of a small MLP when nothing is saved.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from harness import Row, no_fsync, race, scratch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from models import gpt2
from torch import nn

from burnish.train import Checkpoints, HyperState, RecordIO

PAIRS = 5
STEPS = 2000


def run() -> list[Row]:
    torch.set_num_threads(1)
    return [*saving(), stepping()]


def saving() -> list[Row]:
    net = gpt2()
    optim = torch.optim.AdamW(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optim.step()
    tree: dict[str, Any] = {
        "epoch": 3,
        "global_step": 4000,
        "state_dict": net.state_dict(),
        "optimizer_states": [optim.state_dict()],
        "lr_schedulers": [],
        "loops": {},
        "callbacks": {},
        "hyper_parameters": {"width": 768},
    }
    ours, theirs = RecordIO(), TorchCheckpointIO()
    with scratch() as folder, no_fsync():
        place = Path(folder)

        def clear() -> None:
            for entry in place.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

        loop = Checkpoints(place / "run")
        samples = race(
            {
                "ours": lambda: ours.save_checkpoint(tree, place / "last"),
                "peer": lambda: theirs.save_checkpoint(tree, place / "last.ckpt"),
                "loop": lambda: loop.save(1, model=net, optim=optim, rng=True),
            },
            pairs=PAIRS,
            before=clear,
        )
    case = "GPT-2 and AdamW, 1.5 GB"
    mine, peer = samples["ours"], samples["peer"]
    return [
        Row.timed("RecordCheckpoint, per save", case, mine, peer, at_most=0.75),
        Row.timed("RecordCheckpoint", case, mine, peer, by="wall"),
        Row.timed("Checkpoints.save", case, samples["loop"], peer, at_most=0.75),
    ]


@dataclass
class Config:
    lr: float = 0.01
    width: int = 32


@dataclass
class State:
    step: int
    net: nn.Module
    optim: torch.optim.Optimizer


def begin(config: Config) -> State:
    layers = (nn.Linear(8, config.width), nn.Tanh(), nn.Linear(config.width, 1))
    net = nn.Sequential(*layers)
    return State(0, net, torch.optim.Adam(net.parameters(), lr=config.lr))


def stepping() -> Row:
    managed = HyperState.load(Config, State, begin)
    state, x = managed.state, torch.randn(16, 8)

    def train() -> None:
        state.optim.zero_grad()
        state.net(x).square().mean().backward()
        state.optim.step()

    share = 100 * seconds(managed.step) / seconds(train)
    case = "MLP, 8-32-1, Adam"
    return Row.bounded("HyperState.step", case, share, "% of a step", at_most=0.5)


def seconds(action: Callable[[], object]) -> float:
    """Return the CPU time of one call, the least of five runs."""
    times: list[float] = []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(STEPS):
            action()
        times.append(time.process_time() - begun)
    return min(times) / STEPS
