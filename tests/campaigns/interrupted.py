# pyright: reportPrivateUsage=false
# How many modes torch has in force has no public name.
"""What is saved and loaded while an exception comes at every line of it."""

import copy
import gc
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import burnish
from burnish import config
from burnish.core.blueprint import Blueprint
from burnish.optim import AdamW
from burnish.optim.schedulers import Linear
from burnish.records.io.save_handle import join_saves
from burnish.train import Checkpoints

from .injection import injected

SUFFIXES = (
    ".mpk",
    ".mpk.zst",
    ".mpk.gz",
    ".json",
    ".json.gz",
    ".json.zst",
    ".safetensors",
)
"""One of each way in which a record is written."""


@dataclass
class Config:
    rate: float = 0.1
    names: list[str] = field(default_factory=lambda: ["a", "b"])


@burnish.module
class Net(nn.Module):
    """Parameters, a tie, buffers of both kinds, extra state."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.tied = nn.Linear(width, width)
        self.tied.weight = self.inner.weight
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("mask", torch.ones(width), persistent=False)
        self.told: Any = {"n": 0}

    def get_extra_state(self) -> Any:
        return self.told

    def set_extra_state(self, state: Any) -> None:
        self.told = state


def net_of(value: float) -> Net:
    """Return a module that is full of ``value``, with IDs."""
    net = Net()
    net.told = {"n": value}
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.fill_(value)
    burnish.save_record(net)
    return net


@dataclass
class Run:
    """Something that is interrupted, and what must be as before or as after it."""

    action: Callable[[], object]
    state: Callable[[], Any]


Case = Callable[[Path], Run]
"""Prepares a run in an empty folder."""


def cases() -> dict[str, Case]:
    """Return every way to save and to load."""
    found: dict[str, Case] = {}
    for suffix in SUFFIXES:
        found[f"save{suffix}"] = partial(_saving, f"net{suffix}", burnish.save_record)
        found[f"load{suffix}"] = partial(_loading, suffix)
    found["build"] = _building
    found["blueprint"] = _configured
    found["save_pretrained"] = partial(_saving, "folder", burnish.save_pretrained)
    found["dump"] = partial(_saving, "run.ron", _dump)
    found["optimizer"] = _optimizer
    found["optimizer.load_state_dict"] = _state_dict
    found["optimizer.add_param_group"] = _added_group
    found["Checkpoints.save"] = _checkpoint
    found["Checkpoints.restore"] = _restoring
    found["save.mpk, wait=False"] = _background_save
    found["Checkpoints.save, wait=False"] = _background_checkpoint
    return found


def process_state() -> tuple[Any, ...]:
    """Return what belongs to the process and must be as it was."""
    return sorted(os.listdir("/proc/self/fd")), *modes()


def modes() -> tuple[Any, ...]:
    """Return how the process works, which frames in a traceback may not change."""
    return (
        gc.isenabled(),
        gc.get_freeze_count(),
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_device(),
        torch._C._len_torch_function_stack(),
        torch._C._is_torch_function_enabled(),
        type(nn.Parameter(torch.ones(1))),
        nn.Linear.__init__,
    )


def differences(
    case: Case,
    root: Path,
    *,
    every: int = 1,
    tell: Callable[[str], object] = lambda place: None,
) -> Iterator[str]:
    """Yield what an exception leaves that is neither as before nor as after the case.

    The same is done once more after each exception, and must succeed. ``tell`` is
    called with the place of each.
    """
    comparison = Comparison(case, root)
    for place in injected(comparison.prepare, every, comparison.look):
        tell(place)
        yield from comparison.differences(place)


def ctrl_c_at_random(case: Case, root: Path, n_times: int) -> Iterator[str]:
    """Yield the same of an interrupt by a signal, at random moments."""
    comparison, draw = Comparison(case, root), random.Random(0)
    comparison.prepare()
    start = time.perf_counter()
    comparison.runs[0].action()
    duration = time.perf_counter() - start
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    # Python drops an interrupt that comes in a destructor, and says so.
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    for i in range(n_times):
        action = comparison.prepare()
        try:
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, duration))
            action()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            comparison.look(f"Ctrl-C {i}")
        yield from comparison.differences(f"Ctrl-C {i}")
    signal.signal(signal.SIGALRM, handler)
    sys.unraisablehook = hook


class Comparison:
    """A case before, after, and when an exception ended it."""

    def __init__(self, case: Case, root: Path) -> None:
        self._case, self._root = case, root
        done = case(_fresh(root))
        self._before = done.state()
        done.action()
        self._after = done.state()
        self._process, self._modes = process_state(), modes()
        self._problems: list[str] = []
        self.runs: list[Run] = []

    def prepare(self) -> Callable[[], object]:
        """Return the action of the case, which is prepared afresh."""
        self.runs[:] = [self._case(_fresh(self._root))]
        return self.runs[0].action

    def look(self, place: str) -> None:
        """Compare how the process works while the traceback of the error is there."""
        if modes() != self._modes:
            text = f"{self._modes} became {modes()} while the traceback is kept"
            self._problems.append(f"{place}: {text}")

    def differences(self, place: str) -> Iterator[str]:
        """Yield what the action left, which was ended at ``place``."""
        (run,) = self.runs
        yield from self._problems
        self._problems.clear()
        if process_state() != self._process:
            gc.collect()
        if process_state() != self._process:
            yield f"{place}: {self._process} became {process_state()}"
        if (found := run.state()) not in (self._before, self._after):
            yield f"{place}: {found!r:.300} is neither the old nor the new"
        if litter := [*self._root.rglob("*.tmp"), *self._root.rglob("*.old")]:
            yield f"{place}: left {[file.name for file in litter]}"
        run.action()
        if run.state() != self._after:
            yield f"{place}: the next try did not succeed"


def _fresh(root: Path) -> Path:
    folder = root / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _saving(file: str, save: Callable[[Any, Path], object], folder: Path) -> Run:
    save(_OLD, folder / file)
    return Run(lambda: save(_NEW, folder / file), lambda: _files(folder))


def _background_save(folder: Path) -> Run:
    file = folder / "net.mpk"
    burnish.save_record(_OLD, file)

    def save() -> None:
        try:
            burnish.save_record(_NEW, file, wait=False).wait()
        finally:
            join_saves(file)

    return Run(save, lambda: _files(folder))


def _background_checkpoint(folder: Path) -> Run:
    run = Checkpoints(folder, keep_last=1, wait=False)
    run.save(1, net=_OLD).wait()

    def save() -> None:
        try:
            run.save(2, net=_NEW).wait()
        finally:
            join_saves(folder)

    return Run(save, lambda: _files(folder))


def _dump(net: Net, file: Path) -> None:
    config.dump(Config(net.told["n"]), file)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def _loading(suffix: str, folder: Path) -> Run:
    burnish.save_record(_NEW, folder / f"new{suffix}")
    net = copy.deepcopy(_OLD)
    tensors = [*net.parameters(), *net.buffers()]
    return Run(
        lambda: burnish.load_record(net, folder / f"new{suffix}"),
        lambda: _content(net, tensors),
    )


def _content(net: nn.Module, tensors: list[torch.Tensor]) -> tuple[Any, ...]:
    """Return all that a load changes: values, memory, IDs, extra state."""
    now = [*net.parameters(), *net.buffers()]
    return (
        [t.tolist() for t in now],
        [a is b for a, b in zip(now, tensors, strict=True)],
        [
            sorted(inner.__dict__.get("_burnish_ids", {}).items())
            for inner in net.modules()
        ],
        repr(getattr(net, "told", None)),
    )


def _building(folder: Path) -> Run:
    file = folder / "new.mpk"
    burnish.save_record(_NEW, file)
    built: list[Any] = []

    def build() -> None:
        built[:] = [burnish.from_record(Net, file)]

    def state() -> Any:
        fresh = nn.Linear(2, 2)
        is_ordinary = bool(fresh.weight.isfinite().all()) and type(fresh.weight)
        return is_ordinary, [
            t.tolist() for t in built[0].parameters()
        ] if built else None

    return Run(build, state)


def _configured(folder: Path) -> Run:
    built: list[Any] = []
    torch.manual_seed(0)
    random.seed(0)

    def build() -> None:
        blueprint = Blueprint(Net)
        blueprint.configure("inner", bias=False)
        built[:] = [blueprint.build()]

    def state() -> Any:
        return hash(random.getstate()), [net.inner.bias for net in built]

    return Run(build, state)


def _stepped(value: float) -> tuple[Net, Any]:
    net = copy.deepcopy(_OLD)
    optimizer = AdamW().bind(net, lr=Linear(value / 10, 0.01, 10))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, value)
    optimizer.step()
    return net, optimizer


def _state_of(optimizer: Any) -> Any:
    told = optimizer.state_dict()
    states = [sorted((k, str(v)) for k, v in s.items()) for s in told["state"].values()]
    return states, repr(told["param_groups"])


def _optimizer(folder: Path) -> Run:
    _, other = _stepped(3.0)
    other.save_record(folder / "state.mpk")
    _, optimizer = _stepped(1.0)
    return Run(
        lambda: optimizer.load_record(folder / "state.mpk", hyperparameters="restore"),
        lambda: _state_of(optimizer),
    )


def _state_dict(folder: Path) -> Run:
    _, other = _stepped(3.0)
    stored = copy.deepcopy(other.state_dict())
    _, optimizer = _stepped(1.0)

    def state() -> Any:
        hooks = optimizer._optimizer_load_state_dict_pre_hooks
        return _state_of(optimizer), len(hooks)

    return Run(lambda: optimizer.load_state_dict(stored), state)


def _added_group(folder: Path) -> Run:
    _, optimizer = _stepped(1.0)
    late = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]

    def add() -> None:
        if len(optimizer.param_groups) == 1:
            optimizer.add_param_group({"params": late, "lr": 0.3})

    return Run(add, lambda: (_state_of(optimizer), len(optimizer.foreign())))


def _checkpoint(folder: Path) -> Run:
    kept = Checkpoints(folder, keep_last=2)
    net, optimizer = _stepped(1.0)
    for step in (1, 2, 3):
        kept.save(step, net=net, optimizer=optimizer)
    net, optimizer = _stepped(3.0)

    def state() -> Any:
        # Which steps are kept is settled after the new one is there.
        steps = kept.steps
        values = [float(kept[step]["net"]["inner.weight"].sum()) for step in steps[-1:]]
        return max(steps), values

    return Run(lambda: kept.save(4, net=net, optimizer=optimizer), state)


def _restoring(folder: Path) -> Run:
    kept = Checkpoints(folder)
    net, optimizer = _stepped(3.0)
    kept.save(1, net=net, optimizer=optimizer, plain={"a": 1})
    net, optimizer = _stepped(1.0)
    plain = {"b": 2}
    tensors = [*net.parameters(), *net.buffers()]
    return Run(
        lambda: kept.restore(1, plain=plain, net=net, optimizer=optimizer),
        lambda: (_content(net, tensors), _state_of(optimizer), dict(plain)),
    )


_OLD, _NEW = net_of(1.0), net_of(2.0)
