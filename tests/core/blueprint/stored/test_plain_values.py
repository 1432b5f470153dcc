import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.core import allow_classes
from burnish.core.blueprint import Blueprint

from ..models import Coder, Hooked, Layer, Net


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    with allow_classes(Coder, Hooked, Layer, Net):
        yield


@pytest.mark.parametrize(
    "value",
    [
        (3, 3),
        [1, (2, [3])],
        {"a": 1, "b": (1,)},
        {1: "x"},
        {"__tuple__": [1]},
        float("inf"),
        torch.float16,
        torch.device("cpu"),
        nn.GELU,
        Path("a/b"),
        {1, 2},
        None,
        True,
        "text",
    ],
)
def test_every_plain_value_comes_back_as_it_was(value: Any) -> None:
    class Anything(nn.Module):
        def __init__(self, value: Any = None) -> None:
            super().__init__()
            self.value = value

    with allow_classes(Anything):
        data = json.loads(json.dumps(Blueprint(Anything, value).to_dict()))
        found = Blueprint.from_dict(data, Anything).build().value

    assert found == value
    assert type(found) is type(value)


def test_what_is_no_plain_data_is_named() -> None:
    blueprint = Blueprint(Net, act=nn.ReLU)
    blueprint.configure("blocks.0.1", nn.Threshold, threshold=0.1, value=0.0)

    assert blueprint.to_dict()
    with pytest.raises(TypeError, match=r"act: .*not plain data"):
        Blueprint(Net, act=lambda: nn.ReLU()).to_dict()
