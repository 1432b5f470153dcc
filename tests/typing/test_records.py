"""The public types of records and modules, as mypy and pyright see them."""

from pathlib import Path
from typing import assert_type

import torch
from torch import nn

import burnish
from burnish.records import FlatRecord, LoadReport, Recorder, SaveHandle, Verified
from burnish.train import Checkpoint


class Net(burnish.Module, name="typing/net"):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.lin = nn.Linear(width, width)


class State(burnish.Record):
    step: int
    m: torch.Tensor
    note: str = ""


def test_saving_gives_bytes_without_a_file_and_nothing_with_one(tmp_path: Path) -> None:
    net, state = Net(), State(step=1, m=torch.ones(1))

    assert_type(net.save_record(), bytes)
    assert_type(burnish.save_record(net, precision="half"), bytes)
    assert_type(state.save(), bytes)
    assert_type(Recorder().dumps(state), bytes)
    net.save_record(tmp_path / "net.mpk")

    assert (tmp_path / "net.mpk").exists()


def test_loading_gives_what_was_asked_for() -> None:
    net, state = Net(), State(step=1, m=torch.ones(1))
    data = net.save_record()

    assert_type(Net.from_record(data), Net)
    assert_type(burnish.from_record(lambda: Net(2), data), Net)
    assert_type(net.load_record(data), LoadReport)
    assert_type(burnish.open_record(data), FlatRecord)
    assert_type(burnish.verify_file(data), Verified)
    assert_type(State.load(state.save()), State)
    assert_type(state.clone(), State)
    back = State.load(state.save())

    assert assert_type(back.step, int) == 1
    assert torch.equal(assert_type(back.m, torch.Tensor), state.m)


def test_saves_that_nobody_waits_for_give_a_handle(tmp_path: Path) -> None:
    net, file = Net(), tmp_path / "net.mpk"

    handle = assert_type(net.save_record(file, wait=False), SaveHandle[Path])
    assert_type(burnish.save_record(net, file, wait=False), SaveHandle[Path])
    saved = burnish.Checkpoints(tmp_path, wait=False).save(1, net=net)
    assert_type(saved.wait(), Checkpoint)

    assert assert_type(handle.wait(), Path) == file


def test_parameters_come_with_their_ids() -> None:
    for param in burnish.named_params(Net()):
        assert_type(param.path, str)
        assert_type(param.tensor, nn.Parameter)
        assert_type(param.id, burnish.records.ParamId)

        assert param.path.startswith("lin.")
