"""Objects that are made of other fields of their state."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.records import RecordMismatchError
from burnish.train import HyperState, Serializable

from .states import Config, Net, Old, advance, weights

torch.set_num_threads(1)


class Head(nn.Module, Serializable):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def serialize(self) -> Any:
        return self.state_dict()

    @classmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> "Head":
        head = cls(state.net.layer.in_features)
        head.load_state_dict(data)
        ctx["seen"].append(config.width)
        return head


def test_serializable_objects_touch_other_fields_first(tmp_path: Path) -> None:
    @dataclass
    class Whole:
        step: int
        head: Head
        net: Net
        old: Old

    def initial(config: Config, ctx: Any) -> Whole:
        return Whole(0, Head(config.width), Net(config.width), Old(ctx["n"]))

    options: dict[str, Any] = {"checkpoint_dir": tmp_path, "ctx": {"seen": [], "n": 4}}
    run = HyperState.load(Config, Whole, initial, **options)
    nn.init.normal_(run.state.head.weight)
    advance(run, 1)

    again = HyperState.load(Config, Whole, initial, **options)

    assert weights(again.state.head) == weights(run.state.head)
    assert again.state.old.number == 4 + 3
    assert options["ctx"]["seen"] == [3]


class Left(Serializable):
    def serialize(self) -> Any:
        return {}

    @classmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> "Left":
        _ = state.right
        return cls()


class Right(Left):
    @classmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> "Right":
        _ = state.left
        return cls()


def test_a_circle_is_told_and_is_no_endless_loop(tmp_path: Path) -> None:
    @dataclass
    class Circle:
        step: int
        left: Left
        right: Right

    def initial(_: Config) -> Circle:
        return Circle(0, Left(), Right())

    run = HyperState.load(Config, Circle, initial, checkpoint_dir=tmp_path)
    advance(run, 1)

    with pytest.raises(RecordMismatchError, match="left -> right -> left"):
        HyperState.load(Config, Circle, initial, checkpoint_dir=tmp_path)
