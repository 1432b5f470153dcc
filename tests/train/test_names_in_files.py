"""Modules of classes that files name, which moves of the code must leave findable."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

import burnish
import burnish.train
from burnish import optim
from burnish.train import OptimizerHparams
from burnish.train.group_objects import class_name, simple_class

OPTIMIZERS = {
    "adadelta:Adadelta": optim.Adadelta,
    "adafactor:Adafactor": optim.Adafactor,
    "adagrad:Adagrad": optim.Adagrad,
    "adam:Adam": optim.Adam,
    "adamax:Adamax": optim.Adamax,
    "adamw:AdamW": optim.AdamW,
    "adan:Adan": optim.Adan,
    "asgd:ASGD": optim.ASGD,
    "lamb:LAMB": optim.LAMB,
    "lion:Lion": optim.Lion,
    "muon:Muon": optim.Muon,
    "nadam:NAdam": optim.NAdam,
    "radam:RAdam": optim.RAdam,
    "rmsprop:RMSprop": optim.RMSprop,
    "rprop:Rprop": optim.Rprop,
    "schedule_free:ScheduleFreeAdamW": optim.ScheduleFreeAdamW,
    "sgd:SGD": optim.SGD,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_has_the_name_that_checkpoints_hold(name: str) -> None:
    stored_name = f"burnish.optim.{name}"

    assert class_name(OPTIMIZERS[name]) == stored_name
    assert simple_class(stored_name) is OPTIMIZERS[name]


@pytest.mark.parametrize(
    "name",
    [
        "CheckpointHparams",
        "DataHparams",
        "DataLoaderHparams",
        "EarlyStoppingHparams",
        "ModelHparams",
        "OptimizerHparams",
        "SchedulerHparams",
    ],
)
def test_hparams_that_a_file_of_torch_names_by_their_module_are_found(
    name: str,
) -> None:
    stored_class = f"cburnish.train.hparams\n{name}\n.".encode()

    assert pickle.loads(stored_class) is getattr(burnish.train, name)


@burnish.module
class Trained(nn.Module):
    def __init__(self, optimizer: OptimizerHparams) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)


def test_a_record_whose_arguments_are_hparams_builds_them_again(
    tmp_path: Path,
) -> None:
    options = OptimizerHparams(kwargs={"lr": 0.5})
    net = Trained(options)
    burnish.save_record(net, tmp_path / "net.mpk")

    again = Trained.from_record(tmp_path / "net.mpk")  # type: ignore[attr-defined]  # the decorator adds it

    assert torch.equal(again.layer.weight, net.layer.weight)
