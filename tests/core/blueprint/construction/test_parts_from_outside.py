"""Parts that were passed as blueprints are changed from outside like any others."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint, after_build
from burnish.core.modules.registry import allow_classes


class Block(nn.Module):
    def __init__(self, width: int = 4, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.layer, self.act = nn.Linear(width, width), act()


class Stack(nn.Module):
    def __init__(self, width: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        last: Any = self.blocks[-1] if depth else None
        is_block = isinstance(last, Block)
        self.head = nn.Linear(last.layer.out_features if is_block else width, 2)


class Other(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.head = nn.Linear(width, 7)


class Holder(nn.Module):
    """Makes by itself what `nn.Sequential` gets as blueprints."""

    def __init__(self, n: int = 2) -> None:
        super().__init__()
        for i in range(n):
            self.add_module(str(i), Stack())


def passed(*parts: Any) -> Any:
    return Blueprint(nn.Sequential, *parts)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "depth": lambda b: b.configure("0", depth=4),
    "no depth": lambda b: b.configure("0", depth=0),
    "width": lambda b: b.configure("0", width=6),
    "class": lambda b: b.configure("0", Other),
    "replace": lambda b: b.replace("0", Blueprint(Other, width=3)),
    "replace inside": lambda b: b.replace("0.blocks.1", nn.Identity),
    "replace by a whole": lambda b: b.replace("0.head", Blueprint(Stack, depth=1)),
    "append": lambda b: b["0.blocks"].append(Blueprint(Block, 4)),
    "insert": lambda b: b["0.blocks"].insert(0, Blueprint(Block, 4)),
    "pop": lambda b: b["0.blocks"].pop(0),
    "pattern": lambda b: b.configure("**.act", nn.GELU).configure("0", depth=3),
    "append, then its depth": lambda b: (
        b["0.blocks"].append(Blueprint(Stack)).configure(2, depth=3)
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("part", ["plain", "configured"])
def test_a_part_passed_as_a_blueprint_is_changed_from_outside_in_any_way(
    change: Callable[[Any], Any], part: str
) -> None:
    parts: list[Any] = [Blueprint(Stack), Blueprint(Stack)]
    by_hand: Any = Blueprint(Holder)
    if part == "configured":
        parts[0].configure("blocks.1.layer", bias=False).configure(width=5)
        by_hand.configure("0.blocks.1.layer", bias=False).configure("0", width=5)
    blueprint = passed(*parts)

    change(blueprint)
    change(by_hand)

    assert_same(blueprint, by_hand)
    assert_stored(blueprint)
    assert str(parts[0]) == str(parts[0].new())


def assert_same(blueprint: Any, by_hand: Any) -> None:
    assert lines_below(blueprint) == lines_below(by_hand)
    torch.manual_seed(0)
    module = blueprint.create()
    torch.manual_seed(0)
    expected = by_hand.create()
    assert shapes(module) == shapes(expected)
    for tensor, other in zip(module.parameters(), expected.parameters(), strict=True):
        assert torch.equal(tensor, other)


def assert_stored(blueprint: Any) -> None:
    data = json.loads(json.dumps(blueprint.to_dict()))
    with allow_classes(Stack, Block, Other, Holder, Chain, Lazy):
        assert str(Blueprint.from_dict(data)) == str(blueprint)


def lines_below(blueprint: Any) -> list[str]:
    return str(blueprint).splitlines()[1:]


def shapes(module: nn.Module) -> list[tuple[str, torch.Size]]:
    return [(name, tensor.shape) for name, tensor in module.named_parameters()]


def some_edit(rng: random.Random, blueprint: Any) -> Callable[[Any], Any]:
    paths = [p for p in blueprint[...].list_names() if p]
    classes = {path: blueprint[path].cls for path in paths}
    path = rng.choice(paths)
    cls, n = classes[path], rng.randrange(4)
    if cls is Stack:
        return rng.choice(
            [
                lambda b: b.configure(path, depth=n),
                lambda b: b.configure(path, width=n + 1),
                lambda b: b.configure(path, Other),
                lambda b: b.replace(path, Blueprint(Stack, n + 1, 1)),
            ]
        )
    if cls is nn.Linear:
        return rng.choice(
            [
                lambda b: b.configure(path, bias=False),
                lambda b: b.configure(path, out_features=n + 1),
                lambda b: b.replace(path, Blueprint(nn.Linear, 1, n + 1)),
            ]
        )
    if cls is nn.Sequential and f"{path}.1" in classes:
        return rng.choice(
            [
                lambda b: b[path].pop(0),
                lambda b: b[path].append(Blueprint(Block, 3)),
                lambda b: b[path].insert(1, Blueprint(Stack, 3)),
            ]
        )
    return lambda b: b.configure(path, nn.Tanh) if cls is nn.ReLU else None


@pytest.mark.parametrize("seed", range(25))
def test_many_edits_of_passed_parts_come_to_the_same_as_those_of_made_ones(
    seed: int,
) -> None:
    rng = random.Random(seed)
    part: Any = Blueprint(Stack)
    by_hand: Any = Blueprint(Holder, n=1)
    for _ in range(3):
        edit = some_edit(rng, part)
        edit(part)
        edit(by_hand["0"])
        if part.cls is not Stack:
            return
    blueprint = passed(part)

    for _ in range(5):
        edit = some_edit(rng, blueprint)
        edit(blueprint)
        edit(by_hand)

        assert_same(blueprint, by_hand)
    assert_stored(blueprint)


def test_nested_parts_are_changed_from_each_level_and_the_outermost_wins() -> None:
    inner: Any = Blueprint(Stack).configure("blocks.0.act", nn.Tanh)
    middle = passed(inner).configure("0", depth=3).configure("0.blocks.1.act", nn.ELU)
    outer = passed(middle).configure("0.0.blocks.1.act", nn.GELU)
    outer.configure("0.0", depth=4)["0.0.blocks"].pop(0)

    module = outer.create()

    acts = [type(block.act) for block in module[0][0].blocks]
    assert acts == [nn.GELU, nn.ReLU, nn.ReLU]
    assert_stored(outer)


def test_patterns_of_a_part_mean_what_it_makes_and_nothing_that_was_put_in() -> None:
    part: Any = Blueprint(Stack).configure("**.act", nn.Tanh)
    blueprint = passed(part).configure("0", depth=4)
    blueprint["0.blocks"].append(Blueprint(Block)).replace(1, Blueprint(Block))

    acts = [type(block.act) for block in blueprint.create()[0].blocks]

    assert acts == [nn.Tanh, nn.ReLU, nn.Tanh, nn.Tanh, nn.ReLU]


def test_what_is_replaced_takes_the_settings_inside_it_away() -> None:
    blueprint: Any = Blueprint(Holder).configure("0.head", bias=False)
    blueprint.configure("1.head", bias=False)["0.head"].log_output("head")

    blueprint.replace("0", Other)

    module: Any = blueprint.create()
    assert module._modules["0"].head.bias is not None
    assert module._modules["1"].head.bias is None
    assert [edit["at"] for edit in blueprint.to_dict()["tape"]] == ["1.head", "0"]


class Chain(nn.Module):
    """Builds a part from an example of its own, and calls of its own."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        part: Any = Blueprint(Lazy, width).configure("act", nn.Tanh)
        part.act.log_output("act")
        self.body = part.freeze().create(torch.zeros(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x)
        return result


class Lazy(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        missing: Any = None
        self.first, self.act = nn.Linear(missing, width), nn.ReLU()
        self.last = nn.Linear(missing, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.act(self.first(x)))
        return result

    @after_build
    def freeze(self) -> None:
        self.last.requires_grad_(False)


def test_a_part_with_an_example_takes_its_sizes_with_the_settings_around_it() -> None:
    blueprint: Any = Blueprint(Chain).configure("body.first", out_features=6)

    module = blueprint.configure("body.act", nn.ELU).create()

    assert module.body.last.in_features == 6
    assert not module.body.last.weight.requires_grad
    module(torch.ones(1, 3))
    assert torch.equal(module.body.last(module.logs["act"]), module(torch.ones(1, 3)))
    assert isinstance(module.body.act, nn.ELU)
    with allow_classes(Chain, Lazy):
        again: Any = Blueprint.from_dict(json.loads(json.dumps(blueprint.to_dict())))
    assert str(again) == str(blueprint)
