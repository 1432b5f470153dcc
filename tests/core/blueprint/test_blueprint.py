import random
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import (
    AlreadyBuiltError,
)

from .models import Grand, Net, Parent, weights


def test_a_derived_setting_follows_what_it_is_derived_from() -> None:
    assert Blueprint(Parent).build().child.b == 20

    child = Blueprint(Parent).configure(a=7).build().child

    assert (child.a, child.b) == (7, 14)


def test_the_source_nearest_the_root_wins_and_the_user_over_all() -> None:
    blueprint = Blueprint(Grand)

    assert blueprint.create().parent.child.b == -1

    blueprint.configure("parent.child", b=5)
    assert blueprint.create().parent.child.b == 5

    blueprint.configure("parent", a=30)
    child = blueprint.create().parent.child
    assert (child.a, child.b) == (30, 5)


def test_what_a_blueprint_inside_a_constructor_sets_yields_to_the_one_around() -> None:
    class Maker(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parent = Blueprint(Parent).configure("child", b=-1).build()

    blueprint = Blueprint(Maker)

    assert Maker().parent.child.b == -1
    assert blueprint.create().parent.child.b == -1
    assert blueprint.configure("parent.child", b=5).create().parent.child.b == 5
    assert blueprint.explain("parent.child.b").value == 5


def test_a_setting_of_a_child_stays_and_the_later_of_two_wins() -> None:
    blueprint = Blueprint(Parent).configure("child", b=99).configure(a=8)
    child = blueprint.create().child

    assert (child.a, child.b) == (8, 99)
    assert blueprint.configure(a=3).configure(a=4).create().child.a == 4


def test_a_blueprint_that_was_built_cannot_change() -> None:
    blueprint = Blueprint(Net)
    module = blueprint.build()

    with pytest.raises(RuntimeError, match=r"built in place.*new\(\)"):
        blueprint.configure(depth=3)
    with pytest.raises(AlreadyBuiltError):
        blueprint.blocks.append(nn.ReLU)
    assert blueprint.build() is module


def test_creating_leaves_the_blueprint_and_shares_nothing() -> None:
    blueprint = Blueprint(Net)
    first, second = blueprint.create(), blueprint.create()
    blueprint.configure("head", out_features=5)

    assert first.head.out_features == 2
    assert blueprint.create().head.out_features == 5
    ids = {id(p) for p in first.parameters()}
    assert not any(id(p) in ids for p in second.parameters())


def test_creating_from_a_built_one_is_independent() -> None:
    blueprint = Blueprint(Net)
    built = blueprint.build()

    created = blueprint.create()

    assert created is not built
    assert created.head.weight is not built.head.weight


class Counted(nn.Module):
    runs: ClassVar[list[str]] = []

    def __init__(self, name: str = "root", depth: int = 0) -> None:
        super().__init__()
        Counted.runs.append(name)
        self.parts = nn.ModuleList(Counted(f"{name}.{i}") for i in range(depth))
        self.lin = nn.Linear(2, 2)


def test_each_constructor_runs_once_per_creation() -> None:
    blueprint = Blueprint(Counted, depth=3)
    for i in range(3):
        blueprint.configure(f"parts.{i}.lin", bias=False)
        blueprint.configure(f"parts.{i}", name=f"part {i}")
    Counted.runs.clear()

    blueprint.create()
    blueprint.create()

    once = ["root", "part 0", "part 1", "part 2"]
    assert Counted.runs == once * 2


def test_the_order_of_configuring_does_not_matter_for_the_weights() -> None:
    settings: list[dict[str, dict[str, Any]]] = [
        {"blocks.0.0": {"out_features": 6}, "blocks.0.1": {}},
        {"head": {"bias": False}},
        {"": {"depth": 1}},
    ]
    found: list[Tensor] = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        blueprint: Any = Blueprint(Net)
        for i in order:
            for path, arguments in settings[i].items():
                if arguments:
                    blueprint.configure(path, **arguments)
        torch.manual_seed(3)
        found.append(weights(blueprint.create()))

    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_blueprint_draws_what_the_class_does_by_hand() -> None:
    torch.manual_seed(5)
    by_hand = weights(Net(depth=3))
    torch.manual_seed(5)
    blueprint = Blueprint(Net, depth=3)
    blueprint.configure("head", bias=True)

    assert torch.equal(weights(blueprint.create()), by_hand)


def test_blueprints_leave_every_generator_where_it_was() -> None:
    torch.manual_seed(0)
    random.seed(0)
    before = (torch.get_rng_state(), random.getstate())

    Blueprint(Net).configure(depth=4).configure("**.0.0", bias=False)

    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_a_copy_is_the_same_and_independent() -> None:
    blueprint: Any = Blueprint(Net)
    blueprint.configure("blocks.*.1", nn.Tanh).configure(depth=3)
    copy = blueprint.new()
    copy.configure("head", out_features=9)

    assert isinstance(copy.create().blocks[2][1], nn.Tanh)
    assert blueprint.head.out_features == 2
    assert copy.head.out_features == 9


class Holder(nn.Module):
    def __init__(self, child: nn.Module) -> None:
        super().__init__()
        self.child = child


def test_settings_made_before_attaching_stay_and_those_around_win() -> None:
    inner = Blueprint(Parent).configure("child", b=7)
    blueprint: Any = Blueprint(Holder, inner)

    assert blueprint.create().child.child.b == 7
    inner.configure("child", b=8)
    assert blueprint.create().child.child.b == 7
    assert blueprint.configure("child.child", b=1).create().child.child.b == 1
    assert blueprint.create().child is not blueprint.create().child


def test_build_and_create_give_the_same_forms() -> None:
    blueprint = Blueprint(Net).configure("blocks.0.1", nn.GELU)
    created, built = blueprint.create(), blueprint.build()

    assert [type(m) for m in created.modules()] == [type(m) for m in built.modules()]
    left, right = created.state_dict(), built.state_dict()
    assert {k: v.shape for k, v in left.items()} == {
        k: v.shape for k, v in right.items()
    }
