"""Objects anywhere in a state keep their type and their place."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from burnish.config import ConfigError
from burnish.optim import AdamW, OptimizerAdaptor
from burnish.records import RecordError, RecordFormatError
from burnish.train import Blob, HyperState

from .states import Actor, Config, Nested, Net, Policy, advance, load, weights

torch.set_num_threads(1)


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
