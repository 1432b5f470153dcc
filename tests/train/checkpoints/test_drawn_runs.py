"""Runs in any order of saves, failures, kills, restores and removals.

A model of the folder, a dict of what each step has to hold, says what is right: after
every action the folder lists the steps of the model, and each restores to its bits.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from torch import nn

from burnish.optim import AdamW
from burnish.records import RecordError
from burnish.train import Checkpoints

State: TypeAlias = dict[str, Any]

CALLS = ("open", "write", "writev", "fsync", "rename", "link", "mkdir", "unlink")
"""What a save asks of the system."""

KILLED = 9

OPTIONS = st.fixed_dictionaries(
    {
        "keep_last": st.sampled_from([None, 1, 2, 3]),
        "keep_best": st.sampled_from([None, ("loss", 1), ("loss", 2, "max")]),
        "suffix": st.sampled_from([".mpk", ".mpk.zst"]),
        "unchanged": st.sampled_from(["write", "link"]),
        "wait": st.booleans(),
    }
)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.table = nn.Embedding(3000, 4)  # worth a file of its own

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.norm(self.second(self.first(x)))
        return y


class Run:
    """What a run consists of."""

    def __init__(self) -> None:
        self.net = Tied()
        self.optim = AdamW().bind(self.net, lr=0.1)
        self.notes: State = {"best": 0.5, "seen": [1]}

    def step(self) -> None:
        self.optim.zero_grad()
        self.net(torch.randn(8, 4)).square().sum().backward()
        self.optim.step()
        self.notes["seen"].append(len(self.notes["seen"]))

    @property
    def parts(self) -> State:
        return {"model": self.net, "optim": self.optim, "notes": self.notes}

    def content(self) -> State:
        """Return a copy of all that a checkpoint brings back."""
        optim = self.optim.state_dict()
        tensors = {
            **{f"net.{k}": v for k, v in self.net.state_dict().items()},
            **{
                f"{number}.{name}": value
                for number, state in optim["state"].items()
                for name, value in state.items()
                if isinstance(value, torch.Tensor)
            },
            "rng": torch.get_rng_state(),
        }
        return {
            "notes": repr(self.notes),
            **{name: tensor.detach().clone() for name, tensor in tensors.items()},
        }


def is_equal(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(value, b[name])
        if isinstance(value, torch.Tensor)
        else value == b[name]
        for name, value in a.items()
    )


@contextmanager
def at_call(number: int, act: Callable[[], object]) -> Generator[None]:
    """Do ``act`` instead of the call of that number."""
    n_calls = 0

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            nonlocal n_calls
            n_calls += 1
            if n_calls == number:
                act()
            return call(*args, **options)

        return counted

    with ExitStack() as patches:
        for name in CALLS:
            counted = counting(getattr(os, name))
            patches.enter_context(mock.patch.object(os, name, counted))
        yield


def refuse() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class DrawnRun(RuleBasedStateMachine):
    """Actions of a run, its failures, and what others do to its folder."""

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.folder = Path(self.root, "run")
        self.saved: dict[int, tuple[State, float | None]] = {}
        self.step_number = 0

    @initialize(options=OPTIONS)
    def begin(self, options: State) -> None:
        torch.manual_seed(0)
        self.run = Run()
        self.open(options)

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(options=OPTIONS)
    def open(self, options: State) -> None:
        self.options = options
        self.checkpoints = Checkpoints(self.folder, **options)

    @rule()
    def train(self) -> None:
        self.run.step()
        self.step_number += 1

    @rule(loss=st.sampled_from([None, 0.5, 2.0, float("nan")]))
    def save(self, loss: float | None) -> None:
        numbers = {} if loss is None else {"loss": loss}
        content = self.run.content()
        saved = self.checkpoints.save(
            self.step_number, rng=True, **self.run.parts, **numbers
        )
        saved.wait()
        self.note(content, loss)

    @rule(number=st.integers(1, 40))
    def fail_to_save(self, number: int) -> None:
        content = self.run.content()
        with at_call(number, refuse):
            try:
                self.checkpoints.save(self.step_number, rng=True, **self.run.parts)
                self.checkpoints.wait()
            except OSError:
                pass
        assert is_equal(self.run.content(), content)
        self.find(content)

    @rule(number=st.integers(1, 40))
    def be_killed_in_a_save(self, number: int) -> None:
        content = self.run.content()
        child = os.fork()
        if not child:
            status = 1
            try:
                checkpoints = Checkpoints(self.folder, **self.options)
                with at_call(number, lambda: os._exit(KILLED)):
                    checkpoints.save(self.step_number, rng=True, **self.run.parts)
                    checkpoints.wait()
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, KILLED)
        self.find(content)

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        step: Any = data.draw(st.sampled_from(["latest", *sorted(self.saved)]))
        found = self.checkpoints.restore(step, rng=True, **self.run.parts)
        if not self.saved:
            assert found == 0
            return
        assert found == (max(self.saved) if step == "latest" else step)
        assert is_equal(self.run.content(), self.saved[found][0])
        self.step_number = found

    @rule()
    def continue_in_another_process(self) -> None:
        self.run, self.checkpoints = Run(), Checkpoints(self.folder, **self.options)
        self.restore_latest()

    def restore_latest(self) -> None:
        self.step_number = self.checkpoints.restore(rng=True, **self.run.parts)
        if self.saved:
            assert is_equal(self.run.content(), self.saved[max(self.saved)][0])

    @rule(wrong=st.sampled_from(["model", "optim", "another part"]))
    def restore_what_does_not_fit(self, wrong: str) -> None:
        others: State = {
            "model": nn.Linear(2, 2),
            "optim": AdamW().bind(nn.Linear(2, 2), lr=0.1),
            "another part": {},
        }
        content = self.run.content()
        parts = {**self.run.parts, wrong.replace(" ", "_"): others[wrong]}
        try:
            found = self.checkpoints.restore(rng=True, **parts)
            assert found == 0
            assert not self.saved
        except RecordError:
            assert self.saved
        assert is_equal(self.run.content(), content)

    @rule(data=st.data())
    def lose_a_folder(self, data: st.DataObject) -> None:
        if self.saved:
            step = data.draw(st.sampled_from(sorted(self.saved)))
            shutil.rmtree(self.folder_of(step))
            del self.saved[step]

    @invariant()
    def steps_are_those_that_were_saved(self) -> None:
        assert Checkpoints(self.folder).steps == sorted(self.saved)

    def folder_of(self, step: int) -> Path:
        return self.folder / f"step{step:012}"

    def note(self, content: State, loss: float | None) -> None:
        """Note that the current step is saved, and which others are kept then."""
        self.saved[self.step_number] = content, None if loss != loss else loss
        for step in self.removable():
            del self.saved[step]

    def removable(self) -> set[int]:
        keep_last, keep_best = self.options["keep_last"], self.options["keep_best"]
        if keep_last is None:
            return set()
        kept = {self.step_number, *sorted(self.saved)[-keep_last:]}
        if keep_best is not None:
            sign = 1 if len(keep_best) == 2 else -1
            scores = {s: sign * v for s, (_, v) in self.saved.items() if v is not None}
            kept.update(sorted(scores, key=lambda s: (scores[s], s))[: keep_best[1]])
        return self.saved.keys() - kept

    def find(self, content: State) -> None:
        """Note what an interrupted save left: the old, or the new and what it keeps."""
        steps = set(Checkpoints(self.folder).steps)
        assert steps - self.saved.keys() <= {self.step_number}
        before = self.saved.get(self.step_number)
        if self.step_number in steps:
            found = self.read_current()
            possible = [content] if before is None else [content, before[0]]
            assert any(is_equal(found[0], either) for either in possible)
            self.saved[self.step_number] = found
        lost = self.saved.keys() - steps
        assert lost <= self.removable()
        for step in lost:
            del self.saved[step]

    def read_current(self) -> tuple[State, float | None]:
        rng_state = torch.get_rng_state()
        other, checkpoints = Run(), Checkpoints(self.folder)
        checkpoints.restore(self.step_number, rng=True, **other.parts)
        content = other.content()
        torch.set_rng_state(rng_state)
        loss = checkpoints[self.step_number].values.get("loss")
        return content, None if loss != loss else loss


TestDrawnRuns = pytest.mark.filterwarnings("ignore:.*is saved beside later ones")(
    DrawnRun.TestCase
)
# Twenty actions are read faster than fewer are found.
TestDrawnRuns.settings = hypothesis.settings(
    max_examples=10,
    stateful_step_count=20,
    phases=[hypothesis.Phase.reuse, hypothesis.Phase.generate],
)
