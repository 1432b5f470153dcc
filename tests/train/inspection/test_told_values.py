"""What checkpoints say in texts is compared as well."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

import burnish
from burnish.config import ConfigError
from burnish.train import Checkpoints, HyperState


@dataclass
class Config:
    lr: float = 0.1


@dataclass
class State:
    step: int
    weight: torch.Tensor


def state_in(folder: Path, lr: float = 0.1, step: int = 1) -> Path:
    run = HyperState.load(
        Config,
        State,
        lambda config: State(0, torch.ones(2)),
        checkpoint_dir=folder,
        overrides=[f"lr={lr}"],
        rng=False,
    )
    run.state.step = step
    run.step()
    return folder


def test_the_step_and_the_numbers_of_checkpoints_are_compared(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    runs = Checkpoints(tmp_path)
    runs.save(1, model=net, loss=0.5)
    runs.save(2, model=net, loss=0.5 + 1e-9)

    result = burnish.diff(runs[1], runs[2])

    assert [(c.path, c.a, c.b) for c in result.data] == [
        ("step", 1, 2),
        ("loss", 0.5, 0.5 + 1e-9),
    ]
    assert not result.same
    assert burnish.diff(runs[1], runs[1]).same
    assert burnish.diff(runs[1], runs[1].file("model")).same


def test_the_texts_of_a_hyperstate_are_compared(tmp_path: Path) -> None:
    a = state_in(tmp_path / "a")
    b = state_in(tmp_path / "b", lr=0.2, step=2)

    result = burnish.diff(a, b)

    assert [(c.path, c.a, c.b) for c in result.data] == [
        ("config.lr", 0.1, 0.2),
        ("state.step", 1, 2),
    ]
    assert burnish.diff(a, state_in(tmp_path / "c")).same


def test_a_text_that_cannot_be_read_is_no_answer(tmp_path: Path) -> None:
    a, b = state_in(tmp_path / "a"), state_in(tmp_path / "b")
    (text,) = b.glob("latest-*/config.ron")
    text.write_text("Config(lr: ")

    with pytest.raises(ConfigError, match=r"config\.ron"):
        burnish.diff(a, b)
