"""Blueprints that a constructor makes its children are built in place."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core.blueprint import Blueprint, after_init
from burnish.core.blueprint.errors import AlreadyBuiltError, ConstructionError
from burnish.core.modules.registry import allow_classes


class Block(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.act: nn.Module = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.layer(x))
        return result


SHARED: Any = Blueprint(Block, width=3)


class Net(nn.Module):
    """Children by assignment, in lists, dicts and sequences, and by name."""

    model: Any
    named: Any

    def __init__(self, width: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.model = Blueprint(Block, width).configure("act", nn.Tanh)
        self.head = nn.Linear(self.model.layer.out_features, 2)
        self.blocks = nn.ModuleList([Blueprint(Block, width) for _ in range(depth)])  # type: ignore[misc]  # what is tested
        self.table = nn.ModuleDict({"a": Blueprint(Block)})  # type: ignore[dict-item]  # what is tested
        self.chain = nn.Sequential(Blueprint(Block), nn.ReLU())  # type: ignore[call-overload]  # what is tested
        self.add_module(name="named", module=SHARED)
        self.register_module("again", SHARED)
        self.model = self.model

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.model(x))
        return result


class ByHand(nn.Module):
    def __init__(self, width: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.model: Any = Block(width)
        self.model.act = nn.Tanh()
        self.head = nn.Linear(width, 2)
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.table = nn.ModuleDict({"a": Block()})
        self.chain = nn.Sequential(Block(), nn.ReLU())
        self.named, self.again = Block(3), Block(3)


def seeded(blueprint: Any) -> Any:
    torch.manual_seed(0)
    return blueprint.create()


def test_a_blueprint_that_a_constructor_makes_its_child_is_built_in_place() -> None:
    module = seeded(Blueprint(Net))
    expected = seeded(Blueprint(ByHand))

    assert str(module).splitlines()[1:] == str(expected).splitlines()[1:]
    for tensor, other in zip(module.parameters(), expected.parameters(), strict=True):
        assert torch.equal(tensor, other)


def test_what_the_constructor_does_next_sees_the_child_as_configured_outside() -> None:
    blueprint: Any = Blueprint(Net).configure("model.layer", out_features=6)
    blueprint.configure("model.act", nn.ELU).configure(depth=3)
    blueprint.configure("blocks.2.act", nn.GELU).blocks.pop(0)
    blueprint.configure("again", width=2).replace("table.a", nn.Identity)

    module = blueprint.create()

    assert module.head.in_features == 6
    assert isinstance(module.model.act, nn.ELU)
    assert [type(block.act) for block in module.blocks] == [nn.ReLU, nn.GELU]
    assert (module.named.layer.in_features, module.again.layer.in_features) == (3, 2)
    assert module(torch.ones(1, 4)).shape == (1, 2)
    with allow_classes(Net, Block):
        assert str(Blueprint.from_dict(blueprint.to_dict())) == str(blueprint)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        block: Any = Blueprint(Block)
        self.first = self.second = block


def test_one_blueprint_of_a_constructor_is_one_child_wherever_it_is_put() -> None:
    module = Blueprint(Twice).build()

    assert module.first is module.second
    assert len(list(module.parameters())) == 2


class ConfiguresLate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        block: Any = Blueprint(Block)
        self.block = block
        block.configure(width=9)


def test_a_change_after_the_child_was_built_is_refused_where_it_stands() -> None:
    with pytest.raises(ConstructionError, match="built in place") as caught:
        Blueprint(ConfiguresLate)

    assert isinstance(caught.value.__cause__, AlreadyBuiltError)


class Inner(nn.Module):
    def __init__(self, block: Any) -> None:
        super().__init__()
        self.block = block


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner(Blueprint(Block, width=5))

    @after_init
    def widen(self) -> None:
        self.extra: Any = Blueprint(Block)


def test_a_blueprint_passed_on_by_a_constructor_is_built_where_it_ends() -> None:
    module = Blueprint(Outer).configure("inner.block", width=6).widen().build()

    assert module.inner.block.layer.in_features == 6
    assert module.extra.layer.in_features == 4


def test_a_call_of_the_constructor_by_hand_says_what_was_not_built() -> None:
    by_hand = Outer()

    with pytest.raises(
        TypeError, match=r"this Block is a blueprint that has not been built"
    ):
        by_hand.inner.block(torch.ones(1, 4))


def test_the_methods_of_modules_are_as_before_afterwards() -> None:
    before = nn.Module.__setattr__, nn.Module.add_module

    module = Blueprint(Net).build()
    copy.deepcopy(module)

    assert (nn.Module.__setattr__, nn.Module.add_module) == before
    assert "add_module" not in nn.ModuleList.__dict__


class Saved(burnish.Module):
    def __init__(self, depth: int = 1) -> None:
        super().__init__()
        self.model: Any = Blueprint(Block, width=depth)


def test_a_module_with_such_children_reopens_from_its_file() -> None:
    module = Saved.blueprint(depth=2).configure("model.act", nn.Tanh).build()

    again = Saved.from_record(burnish.save_record(module))

    assert isinstance(again.model.act, nn.Tanh)
    assert torch.equal(again.model.layer.weight, module.model.layer.weight)
    untouched = Saved.blueprint(depth=3).build()
    again = Saved.from_record(burnish.save_record(untouched))
    assert torch.equal(again.model.layer.weight, untouched.model.layer.weight)
