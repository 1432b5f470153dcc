"""Runs of every kind that stop, and are continued by another process.

A case is drawn by its number: optimizer, engine, schedule, groups, clip, dtype, where
it stops, and what it is saved by. Each part of it runs in a process of its own.
"""

import hashlib
import logging
import os
import random
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import burnish
from burnish import optim
from burnish.optim import Group, SimpleOptimizer, schedulers
from burnish.train import Checkpoints, HyperState, RecordCheckpoint

from ..optim.nets import UserAdamW

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Noisy(SimpleOptimizer[None]):
    """Draws random numbers for each element."""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        return tensor - (grad + 0.01 * torch.rand_like(grad)) * lr, None


OPTIMIZERS: dict[str, Callable[[], SimpleOptimizer[Any]]] = {
    "SGD": optim.SGD,
    "SGD, momentum": lambda: optim.SGD(momentum=0.9),
    "SGD, nesterov": lambda: optim.SGD(momentum=0.9, nesterov=True),
    "SGD, dampening": lambda: optim.SGD(momentum=0.9, dampening=0.5),
    "Adam": optim.Adam,
    "Adam, amsgrad": lambda: optim.Adam(amsgrad=True, weight_decay=0.1),
    "AdamW": optim.AdamW,
    "AdamW, cautious": lambda: optim.AdamW(cautious=True),
    "Adan": optim.Adan,
    "Adagrad": optim.Adagrad,
    "RMSprop": optim.RMSprop,
    "RMSprop, centered": lambda: optim.RMSprop(centered=True, momentum=0.9),
    "Lion": optim.Lion,
    "Adafactor": optim.Adafactor,
    "LAMB": optim.LAMB,
    "ScheduleFreeAdamW": optim.ScheduleFreeAdamW,
    "NAdam": optim.NAdam,
    "RAdam": optim.RAdam,
    "Adamax": optim.Adamax,
    "Adadelta": optim.Adadelta,
    "ASGD": lambda: optim.ASGD(t0=3),
    "Rprop": optim.Rprop,
    "Muon": optim.AdamW,
    "a user's AdamW": UserAdamW,
    "one that draws": Noisy,
    "LBFGS": optim.SGD,
}
"""Muon steps the matrices beside AdamW; LBFGS is bound by itself."""

SCHEDULES: dict[str, Callable[[], Any]] = {
    "number": lambda: 0.01,
    "StepLR of torch": lambda: 0.01,
    "Cosine": lambda: schedulers.Cosine(0.02, 7),
    "Warmup": lambda: schedulers.Warmup([schedulers.Linear(0.02, 0.001, 9)], 3),
    "Sequential": lambda: schedulers.Sequential(
        [schedulers.Constant(0.01), schedulers.Exponential(0.02, 0.8)], [3]
    ),
}

CLIPS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "value": lambda: optim.ClipValue(0.05),
    "norm": lambda: optim.ClipNorm(0.1),
    "global norm": lambda: optim.ClipGlobalNorm(0.1),
}

WEIGHTS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "masters": {"master_dtype": torch.float32},
    "rounded": {"rounding": "stochastic", "seed": 3},
}

GROUPS = ("none", "biases", "another optimizer", "frozen", "unfrozen later")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained how, and where it stops."""

    optimizer: str
    schedule: str
    groups: str
    clip: str
    dtype: torch.dtype
    fused: bool | None
    is_wide: bool
    """Whether the state is kept in float32."""
    way: str
    n_before: int
    n_after: int
    weights: str
    """What lets weights in half precision learn."""


def drawn(seed: int, number: int, ways: tuple[str, ...] = ()) -> Case:
    """Return the case of a number."""
    draw = random.Random(f"resumed {seed} {number}")
    return Case(
        optimizer=draw.choice([*OPTIMIZERS]),
        schedule=draw.choice([*SCHEDULES]),
        groups=draw.choice(GROUPS),
        clip=draw.choice([*CLIPS]),
        dtype=draw.choice(DTYPES),
        fused=draw.choice([None, None, True, False]),
        is_wide=draw.random() < 0.2,
        way=draw.choice(ways or tuple(WAYS)),
        n_before=draw.randint(1, 5),
        n_after=draw.randint(1, 4),
        weights=draw.choice([*WEIGHTS]),
    )


@burnish.module
class Net(nn.Module):
    """Layers of several kinds, with dropout, in one dtype."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.first = nn.Linear(6, 9)
        self.norm = nn.LayerNorm(9)
        self.late = nn.Linear(9, 9)
        self.last = nn.Linear(9, 3)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.drop = nn.Dropout(0.2)
        self.to(getattr(torch, dtype))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.drop(self.norm(self.first(x.to(self.scale.dtype)).tanh()))
        result: Tensor = self.last(self.late(hidden) + hidden) * self.scale
        return result


@dataclass
class Run:
    """A net, its optimizer, a schedule of torch, and how far they are."""

    step: int
    net: Net
    optim: Any
    schedule: Any = None


def begun(case: Case) -> Run:
    """Return the run at its start, the same at each call."""
    torch.manual_seed(3)
    net = Net(str(case.dtype).removeprefix("torch."))
    if case.groups == "frozen":
        net.first.requires_grad_(False)
    bound = _bound(case, net)
    step_lr = torch.optim.lr_scheduler.StepLR
    with_torch = case.schedule == "StepLR of torch"
    return Run(0, net, bound, step_lr(bound, 2, 0.5) if with_torch else None)


def _bound(case: Case, net: Net) -> Any:
    if case.optimizer == "LBFGS":
        return optim.LBFGS(max_iter=3).bind(net, lr=0.1)
    groups: list[Group] = []
    if case.groups == "biases":
        groups = [Group("**.bias", lr=0.003)]
    if case.groups == "another optimizer":
        rate = schedulers.Cosine(0.01, 5)
        groups = [Group("last.**", optimizer=optim.Lion(), lr=rate)]
    if case.optimizer == "Muon":
        groups.append(Group("late.weight", optimizer=optim.Muon(), lr=0.02))
    return OPTIMIZERS[case.optimizer]().bind(
        net,
        lr=SCHEDULES[case.schedule](),
        groups=groups,
        clip=CLIPS[case.clip](),
        fused=case.fused,
        state_dtype=torch.float32 if case.is_wide else None,
        **WEIGHTS[case.weights],
    )


def loss_of(case: Case, net: Net, step: int) -> Tensor:
    """Return the loss of a step; one layer has no gradient in the first steps."""
    net.late.requires_grad_(case.groups != "unfrozen later" or step >= 2)
    x = torch.sin(torch.arange(24.0).reshape(4, 6) * 0.7 + step)
    loss: Tensor = (net(x).float() - x[:, :3]).square().mean()
    return loss


def train(case: Case, run: Run, n_steps: int) -> None:
    """Train until step ``n_steps``."""

    def closure() -> Tensor:
        run.optim.zero_grad()
        loss = loss_of(case, run.net, run.step)
        torch.autograd.backward(loss)
        return loss

    while run.step < n_steps:
        run.optim.step(closure)
        if run.schedule is not None:
            run.schedule.step()
        run.step += 1


def plainly(case: Case, folder: Path, n_steps: int, saved: int) -> Run:
    """Train with records of the module and the optimizer."""
    run = begun(case)
    if saved:
        burnish.load_record(run.net, folder / "net.mpk")
        run.optim.load_record(folder / "optim.mpk", hyperparameters="restore")
        _load_rest(run, torch.load(folder / "rest.pt", weights_only=True))
    train(case, run, n_steps)
    burnish.save_record(run.net, folder / "net.mpk")
    run.optim.save_record(folder / "optim.mpk")
    torch.save(_rest(run), folder / "rest.pt")
    return run


def with_state_dicts(case: Case, folder: Path, n_steps: int, saved: int) -> Run:
    """Train with torch's own files of state dicts."""
    run = begun(case)
    if saved:
        state = torch.load(folder / "all.pt", weights_only=True)
        run.net.load_state_dict(state["net"])
        run.optim.load_state_dict(state["optim"])
        _load_rest(run, state)
    train(case, run, n_steps)
    state = {"net": run.net.state_dict(), "optim": run.optim.state_dict()}
    torch.save({**state, **_rest(run)}, folder / "all.pt")
    return run


def with_checkpoints(case: Case, folder: Path, n_steps: int, saved: int) -> Run:
    """Train with Checkpoints."""
    run, checkpoints = begun(case), Checkpoints(folder)
    parts: dict[str, Any] = {"net": run.net, "optim": run.optim}
    if run.schedule is not None:
        parts["schedule"] = run.schedule
    run.step = checkpoints.restore(rng=True, **parts)
    train(case, run, n_steps)
    checkpoints.save(run.step, rng=True, **parts)
    return run


@dataclass
class Config:
    """Nothing is configured; the case is."""


def with_hyperstate(case: Case, folder: Path, n_steps: int, saved: int) -> Run:
    """Train with HyperState."""
    state = HyperState.load(
        Config, Run, lambda config: begun(case), checkpoint_dir=folder
    )
    train(case, state.state, n_steps)
    state.save()
    return state.state


class Trained(LightningModule):
    """A run in Lightning."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case, self.parts = case, begun(case)
        self.net = self.parts.net

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return loss_of(self.case, self.net, self.current_epoch)

    def configure_optimizers(self) -> Any:
        if self.parts.schedule is None:
            return self.parts.optim
        schedule = {"scheduler": self.parts.schedule, "interval": "step"}
        return [self.parts.optim], [schedule]


def with_lightning(case: Case, folder: Path, n_steps: int, saved: int) -> Run:
    """Train with Lightning, an epoch for each step."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model = Trained(case)
    trainer = Trainer(
        max_epochs=n_steps,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[RecordCheckpoint(dirpath=folder / "unused", save_top_k=0)],
    )
    one_batch: Any = DataLoader(TensorDataset(torch.zeros(1)))
    last = str(folder / "last") if saved else None
    trainer.fit(model, one_batch, ckpt_path=last)
    trainer.save_checkpoint(folder / "last")
    model.parts.step = n_steps
    return model.parts


def _rest(run: Run) -> dict[str, Any]:
    schedule = None if run.schedule is None else run.schedule.state_dict()
    return {"step": run.step, "schedule": schedule, "rng": torch.get_rng_state()}


def _load_rest(run: Run, state: dict[str, Any]) -> None:
    run.step = state["step"]
    if run.schedule is not None:
        run.schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["rng"])


WAYS: dict[str, Callable[[Case, Path, int, int], Run]] = {
    "save_record": plainly,
    "state_dict": with_state_dicts,
    "Checkpoints": with_checkpoints,
    "HyperState": with_hyperstate,
    "Lightning": with_lightning,
}


def digest(run: Run) -> str:
    """Return a sum over all that must be equal to the bit."""
    total = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            bits = value.detach().reshape(-1).contiguous().view(torch.uint8)
            total.update(f"{value.dtype} {tuple(value.shape)}".encode())
            total.update(bits.numpy().tobytes())
        elif isinstance(value, dict):
            # "al" is what LBFGS writes anew in each step before it reads it.
            for key in sorted(value.keys() - {"al"}, key=str):
                total.update(f"{key}:".encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            for item in value:
                add(item)
        else:
            total.update(repr(value).encode())

    add(run.net.state_dict())
    add([p.requires_grad for p in run.net.parameters()])
    add(run.optim.state_dict())
    add(torch.rand(2))
    return total.hexdigest()


def in_child(action: Callable[[], Run], folder: Path) -> str:
    """Run something in a process of its own; return its digest or its error.

    Nothing if it was killed.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Of other threads, which hold no lock that a run takes.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        text = ""
        try:
            os.close(reading)
            # The parent's OpenMP threads are not here, and a team would wait for them.
            torch.set_num_threads(1)
            # Lightning has advice for short runs.
            warnings.simplefilter("ignore")
            folder.mkdir(parents=True, exist_ok=True)
            text = digest(action())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        finally:
            with suppress(BaseException):
                os.write(writing, text.encode()[:4096])
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return text


def differs(case: Case, folder: Path) -> str:
    """Return in which way a resumed run is not the uninterrupted one; "" if it is."""

    def part(name: str, n_steps: int, saved: int) -> str:
        train_part = WAYS[case.way]
        return in_child(
            lambda: train_part(case, folder / name, n_steps, saved), folder / name
        )

    n_steps = case.n_before + case.n_after
    whole = part("whole", n_steps, 0)
    half = part("run", case.n_before, 0)
    return difference(whole, part("run", n_steps, case.n_before), half)


def difference(whole: str, resumed: str, half: str = "") -> str:
    """Return what is wrong with the digests of two runs; "" if they are equal."""
    errors = [text for text in (whole, half, resumed) if ":" in text or not whole]
    if errors:
        return errors[0] or "no result"
    return "" if whole == resumed else "other bits"


def killed_run(case: Case, folder: Path, n_steps: int, kill_after: float = 0) -> str:
    """Train with a checkpoint after each step, and resume what is there.

    ``kill_after`` seconds of processor time, if any, the process dies.
    """

    def trained() -> Run:
        run, checkpoints = begun(case), Checkpoints(folder, keep_last=2)
        parts: dict[str, Any] = {"net": run.net, "optim": run.optim}
        if run.schedule is not None:
            parts["schedule"] = run.schedule
        # The signal's own action ends the process at once, wherever it is.
        signal.setitimer(signal.ITIMER_PROF, kill_after)
        run.step = checkpoints.restore(rng=True, **parts)
        while run.step < n_steps:
            train(case, run, run.step + 1)
            checkpoints.save(run.step, rng=True, **parts)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return run

    return in_child(trained, folder)
