"""Objects anywhere in a state keep their type and their place."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from burnish.config import ConfigError
from burnish.optim import AdamW, OptimizerAdaptor
from burnish.records import RecordError, RecordFormatError, RecordMismatchError
from burnish.train import Blob, HyperState

from .states import Actor, Config, Nested, Net, Policy, advance, load, weights

torch.set_num_threads(1)


def test_a_module_that_the_program_cast_is_built_in_the_dtypes_that_it_had(
    tmp_path: Path,
) -> None:
    @dataclass
    class Cast:
        step: int
        net: Net
        optim: torch.optim.Optimizer

    def initial(config: Config) -> Cast:
        net = Net(2).to(torch.bfloat16)
        return Cast(0, net, AdamW().bind(net, lr=0.1, master_dtype=torch.float32))

    run = HyperState.load(Config, Cast, initial, checkpoint_dir=tmp_path)
    advance(run, 1)
    again = HyperState.load(Config, Cast, initial, checkpoint_dir=tmp_path).state

    assert {p.dtype for p in again.net.parameters()} == {torch.bfloat16}
    assert weights(again.net) == weights(run.state.net)


def test_objects_in_lists_and_dicts_and_odd_tensors_come_back(
    tmp_path: Path,
) -> None:
    @dataclass
    class Many:
        step: int
        nets: list[Net]
        named: dict[str, Net]
        tensors: dict[str, torch.Tensor]
        array: np.ndarray[Any, Any]
        table: Blob[dict[str, list[int]]]
        twice: Net | None = None

    net = Net(2)
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "bf16": torch.tensor([1.5], dtype=torch.bfloat16),
        "scalar": torch.tensor(4),
        "strided": base.t(),
        "a/b..": base,
    }

    def initial(config: Config) -> Many:
        table = {"x": [1, 2]}
        named = {"a.b": Net(1), "c": Net(2)}
        array = np.arange(4)[::2]
        return Many(0, [net, Net(3)], named, tensors, array, table, twice=net)

    run = HyperState.load(Config, Many, initial, checkpoint_dir=tmp_path)
    advance(run, 1)
    again = HyperState.load(Config, Many, initial, checkpoint_dir=tmp_path).state

    assert [weights(n) for n in again.nets] == [weights(n) for n in run.state.nets]
    assert weights(again.named["a.b"]) == weights(run.state.named["a.b"])
    assert again.twice is again.nets[0]
    for name, tensor in tensors.items():
        assert torch.equal(again.tensors[name], tensor)
        assert again.tensors[name].dtype is tensor.dtype
    assert np.array_equal(again.array, [0, 2])
    assert again.table == {"x": [1, 2]}


def test_a_pickle_in_the_place_of_an_object_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    advance(load(tmp_path / "run"), 1)
    folder = tmp_path / "run/latest-step000000000001"
    (folder / "state.net.mpk").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RecordError, match=r"state\.net\.mpk"):
        load(tmp_path / "run")
    torch.save(Bomb(), folder / "state.net.mpk")
    with pytest.raises(RecordError, match=r"state\.net\.mpk"):
        load(tmp_path / "run")
    text = (folder / "state.ron").read_text()
    (folder / "state.ron").write_text(text.replace("<blob:state.net.mpk>", "<BLOB>"))
    with pytest.raises(RecordFormatError, match="net is a pickle"):
        load(tmp_path / "run")
    hostile = text.replace("<blob:state.net.mpk>", "<blob:../../state.net.mpk>")
    (folder / "state.ron").write_text(hostile)
    with pytest.raises((RecordError, ConfigError, TypeError)):
        _ = load(tmp_path / "run").state.net.layer
    assert not (tmp_path / "exploded").exists()


def test_objects_keep_their_type_in_what_the_checker_sees() -> None:
    value: Blob[int] = 3

    assert value + 1 == 4
    assert isinstance(AdamW().bind(Net(2), lr=0.1), OptimizerAdaptor)


@pytest.mark.parametrize("is_scheduled", [False, True])
def test_objects_deep_in_nested_states_stay_bound(
    tmp_path: Path, is_scheduled: bool
) -> None:
    def actor() -> Actor:
        net = Net(2)
        optim = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.5)
        schedule = torch.optim.lr_scheduler.StepLR(optim, 1) if is_scheduled else None
        return Actor(Policy(net, 3), optim, schedule)

    def initial(_: Config) -> Nested:
        return Nested(0, {"a": actor(), "b.c": actor()})

    def open_run() -> HyperState[Config, Nested]:
        return HyperState.load(Config, Nested, initial, checkpoint_dir=tmp_path)

    run = open_run()
    advance(run, 1)
    again = open_run().state.actors["b.c"]

    assert again.policy.n_seen == 3
    assert weights(again.policy.net) == weights(run.state.actors["b.c"].policy.net)
    stepped = again.optim.param_groups[0]["params"]
    assert [id(p) for p in stepped] == [id(p) for p in again.policy.net.parameters()]
    if again.schedule is not None:
        assert again.schedule.optimizer is again.optim


@dataclass
class Scheduled:
    step: int
    net: Any
    optim: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler


class Ordered(nn.Module):
    def __init__(self, names: str) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(2, 2))


def scheduled(names: str, schedule: Any, optimizer: Any = torch.optim.AdamW) -> Any:
    def begin(_: Config) -> Scheduled:
        net = Ordered(names)
        optim = optimizer(net.parameters())
        return Scheduled(0, net, optim, schedule(optim))

    return begin


def by_steps(optim: Any) -> Any:
    return torch.optim.lr_scheduler.StepLR(optim, 2)


def begun(folder: Path) -> Scheduled:
    run = HyperState.load(
        Config, Scheduled, scheduled("abc", by_steps), checkpoint_dir=folder
    )
    for name, param in run.state.net.named_parameters():
        param.grad = torch.full_like(param, float(ord(name[0])))
    run.state.optim.step()
    advance(run, 1)
    return run.state


def test_what_the_program_makes_gets_states_by_the_names_of_parameters(
    tmp_path: Path,
) -> None:
    before = begun(tmp_path)

    state = HyperState.load(
        Config, Scheduled, scheduled("cab", by_steps), checkpoint_dir=tmp_path
    ).state

    for name, param in before.net.named_parameters():
        moment = state.optim.state[state.net.get_parameter(name)]["exp_avg"]
        assert torch.equal(moment, before.optim.state[param]["exp_avg"])


@pytest.mark.parametrize(
    ("begin", "problem"),
    [
        (
            scheduled("abc", torch.optim.lr_scheduler.ConstantLR),
            "schedule: found the state of StepLR, expected that of ConstantLR",
        ),
        (
            scheduled("abc", by_steps, torch.optim.Adam),
            "optim: found the state of AdamW, expected that of Adam",
        ),
        (
            scheduled("abc", by_steps, lambda params: torch.optim.AdamW([*params][:2])),
            "optim: the AdamW refused its state: loaded state dict contains",
        ),
    ],
)
def test_what_does_not_fit_what_the_program_makes_is_told_with_its_path(
    begin: Any, problem: str, tmp_path: Path
) -> None:
    begun(tmp_path)

    with pytest.raises(RecordMismatchError, match=problem):
        HyperState.load(Config, Scheduled, begin, checkpoint_dir=tmp_path)
