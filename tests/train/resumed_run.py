"""A training run with all that has state; the tests kill it, and so does its caller.

As a program: ``resumed_run.py loop|hyperstate FOLDER OPTIMIZER N_STEPS KILL_AT``.
"""

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

import burnish.optim
from burnish.records import Record
from burnish.train import Checkpoints, HyperState, ResumableLoader

ACCUMULATED = 2


def optimizer_of(name: str, net: nn.Module) -> Any:
    """Return an optimizer of torch (``torch.Adam``) or of ours, by name."""
    if name.startswith("torch."):
        cls: Any = getattr(torch.optim, name.removeprefix("torch."))
        return cls(net.parameters(), lr=0.01)
    cls = getattr(burnish.optim, name)
    if name == "Muon":
        matrices = burnish.optim.Group(
            lambda param: param.tensor.ndim == 2, optimizer=cls()
        )
        return burnish.optim.AdamW().bind(net, lr=0.01, groups=[matrices])
    return cls().bind(net, lr=0.01)


@dataclass
class Run:
    """All that a run consists of."""

    net: nn.Module
    optim: Any
    schedule: Any
    scaler: torch.amp.GradScaler
    loader: Any
    step: int = 0
    losses: list[float] = field(default_factory=list[float])


def new_run(name: str) -> Run:
    """Return a run at its start, the same at each call."""
    torch.manual_seed(3)
    data = TensorDataset(torch.randn(26, 6), torch.randn(26, 3))
    net = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)
    )
    optim = optimizer_of(name, net)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optim, 20)
    loader = ResumableLoader(data, 4, shuffle=True, seed=5)
    return Run(net, optim, schedule, torch.amp.GradScaler("cpu"), loader)


def train(run: Run, n_steps: int, save: Any, kill_at: int = 0) -> None:
    """Train until step ``n_steps``, calling ``save`` after each second step."""
    is_lbfgs = isinstance(run.optim, torch.optim.LBFGS)
    while run.step < n_steps:
        for x, y in run.loader:
            noisy = x + 0.01 * torch.randn_like(x)
            if is_lbfgs:
                step_with_closure(run, noisy, y)
            else:
                step_scaled(run, noisy, y)
            run.step += 1
            if run.step % 2 == 0:
                save(run)
            if run.step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if run.step == n_steps:
                return


def step_scaled(run: Run, x: torch.Tensor, y: torch.Tensor) -> None:
    """Take one scaled step with accumulated gradients."""
    run.optim.zero_grad()
    for part in range(ACCUMULATED):
        loss = nn.functional.mse_loss(run.net(x), y) / ACCUMULATED
        torch.autograd.backward(run.scaler.scale(loss))
        run.losses.append(loss.item() + part)
    run.scaler.step(run.optim)
    run.scaler.update()
    run.schedule.step()


def step_with_closure(run: Run, x: torch.Tensor, y: torch.Tensor) -> None:
    """Take one step of an optimizer that asks for the loss itself."""

    def closure() -> torch.Tensor:
        run.optim.zero_grad()
        loss = nn.functional.mse_loss(run.net(x), y)
        torch.autograd.backward(loss)
        return loss

    run.losses.append(float(run.optim.step(closure).detach()))
    run.schedule.step()


class Result(Record):
    """What the tests compare."""

    weights: dict[str, Any]
    losses: list[float]
    lr: float
    drawn: torch.Tensor


def result_of(run: Run) -> Result:
    """Return everything that must be equal to the bit."""
    weights = {k: v.clone() for k, v in run.net.state_dict().items()}
    rate = float(run.optim.param_groups[0]["lr"])
    return Result(weights, run.losses, rate, torch.rand(2))


def loop(folder: Path, name: str, n_steps: int, kill_at: int) -> Run:
    """Train in a plain loop over Checkpoints."""
    checkpoints = Checkpoints(folder, keep_last=2)
    run = new_run(name)

    def parts(run: Run) -> dict[str, Any]:
        return {
            "net": run.net,
            "optim": run.optim,
            "schedule": run.schedule,
            "scaler": run.scaler,
            "loader": run.loader,
            "losses": run.losses,
        }

    run.step = checkpoints.restore(rng=True, **parts(run))
    train(
        run, n_steps, lambda r: checkpoints.save(r.step, rng=True, **parts(r)), kill_at
    )
    return run


@dataclass
class Config:
    """Which optimizer."""

    name: str = "AdamW"


def hyperstate(folder: Path, name: str, n_steps: int, kill_at: int) -> Run:
    """Train with HyperState."""
    managed = HyperState.load(
        Config,
        Run,
        lambda config: new_run(config.name),
        checkpoint_dir=folder,
        overrides=[f"name={name}"],
    )
    train(managed.state, n_steps, lambda _: managed.step(), kill_at)
    return managed.state


WAYS = {"loop": loop, "hyperstate": hyperstate}

if __name__ == "__main__":
    torch.set_num_threads(1)
    way, folder, name, n_steps, kill_at = sys.argv[1:]
    done = WAYS[way](Path(folder), name, int(n_steps), int(kill_at))
    result_of(done).save(Path(folder) / "result.mpk")
