import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass
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


class Mode(enum.Enum):
    FAST = 1
    EXACT = 2


@dataclass
class Part:
    mode: Mode = Mode.FAST


class OfParts(nn.Module):
    def __init__(
        self,
        rows: list[Part | None] = [],  # noqa: B006  # as users write it
        by_name: dict[str, list[Mode]] | None = None,
        by_number: dict[int, Part] | None = None,
        pair: tuple[int, Part] | None = None,
        modes: frozenset[Mode] | set[Mode] = frozenset(),
        **others: Part,
    ) -> None:
        super().__init__()
        self.values = [rows, by_name, by_number, pair, modes, others]


class OfOthers(OfParts):
    def __init__(self, depth: int = 1, **others: Any) -> None:
        super().__init__(**others)


@pytest.mark.parametrize(
    ("cls", "argument"),
    [
        (OfParts, {"rows": [None, Part(Mode.EXACT)]}),
        (OfParts, {"by_name": {"a": [Mode.EXACT], "b": []}}),
        (OfParts, {"by_number": {1: Part(Mode.EXACT)}}),
        (OfParts, {"pair": (1, Part(Mode.EXACT))}),
        (OfParts, {"modes": {Mode.EXACT}}),
        (OfParts, {"other": Part(Mode.EXACT)}),
        (OfOthers, {"rows": [Part(Mode.EXACT)], "by_number": {1: Part()}}),
    ],
    ids=str,
)
def test_items_are_stored_as_the_argument_declares_them(
    cls: Any, argument: dict[str, Any]
) -> None:
    blueprint = Blueprint(cls, **argument)

    with allow_classes(cls):
        again: Any = Blueprint.from_dict(json.loads(json.dumps(blueprint.to_dict())))

    assert again.build().values == blueprint.build().values == cls(**argument).values


@pytest.mark.parametrize("cls", [OfParts, OfOthers])
def test_what_is_configured_of_the_whole_is_stored_as_its_class_declares(
    cls: Any,
) -> None:
    blueprint = Blueprint(cls).configure(rows=[Part(Mode.EXACT)], modes={Mode.FAST})

    with allow_classes(cls):
        again: Any = Blueprint.from_dict(json.loads(json.dumps(blueprint.to_dict())))

    assert again.build().values[0] == [Part(Mode.EXACT)]
    assert again.build().values[4] == {Mode.FAST}
