"""What two records of one class say of it, where one says more than the other."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import burnish


@burnish.module
class Net(nn.Module):
    def __init__(self, width: int = 4, act: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.act = act


@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_pretrained_folder_and_a_record_of_the_same_module_are_the_same(
    tmp_path: Path, is_swapped: bool
) -> None:
    net = Net()
    burnish.save_pretrained(net, tmp_path / "hub")
    sides: list[Any] = [net, tmp_path / "hub"][:: -1 if is_swapped else 1]

    result = burnish.diff(*sides)

    assert result.same
    assert result.not_compared == ["hyperparameters of first"]


def test_arguments_of_a_pretrained_folder_and_of_a_record_are_compared(
    tmp_path: Path,
) -> None:
    net, other = Net(), Net(act=None)
    burnish.save_pretrained(net, tmp_path / "hub")
    record = burnish.core.into_record(other)
    record.metadata["burnish"]["hparams"]["width"] = 5

    result = burnish.diff(record, tmp_path / "hub")

    assert [(c.path, c.a, c.b) for c in result.hyperparameters] == [("width", 5, 4)]


def test_a_module_that_is_an_argument_of_one_alone_is_a_difference() -> None:
    result = burnish.diff(Net(), Net(act=nn.ReLU()))

    assert not result.same
    assert {c.path.split(".")[0] for c in result.hyperparameters} == {"act"}
