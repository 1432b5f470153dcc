"""Warnings point at the user's line, however deep in the package they arise."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import burnish


class Net(burnish.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.lin = nn.Linear(3, width)


class Other(burnish.Module):
    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.lin = nn.Linear(3, size)


@pytest.mark.parametrize(
    "load",
    [
        lambda data: Other.from_record(data, size=4),
        lambda data: burnish.from_record(Other, data),
    ],
)
def test_a_warning_of_a_load_names_the_file_that_called_it(
    load: Callable[[bytes], Any],
) -> None:
    data = Net().save_record()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(data)

    assert [w.filename for w in caught] == [__file__]


def test_a_warning_of_a_save_names_the_file_that_called_it() -> None:
    net = Net()
    torch.nn.init.constant_(net.lin.weight, 1e-30)
    precision = burnish.records.Precision(param=torch.float16, underflow="warn")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        burnish.save_record(net, precision=precision)

    assert [w.filename for w in caught] == [__file__]
