import random
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import allow_classes
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import (
    AlreadyBuiltError,
    BlueprintError,
    ConstructionError,
    NotRepeatedError,
    SettingError,
)

from .models import Child, Grand, Net, Parent, weights


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


@pytest.mark.parametrize(
    "configure",
    [
        lambda bp: bp.configure("parent.child", b=3),
        lambda bp: bp.configure("parent", "child", b=3),
        lambda bp: bp.configure("parent", "child", "b", 3),
        lambda bp: bp.configure("parent.child.b", 3),
        lambda bp: bp.configure({"parent.child.b": 3}),
        lambda bp: bp.parent.configure("child", b=3),
        lambda bp: bp.parent.child.configure(b=3),
        lambda bp: bp.parent.child.configure("b", 3),
        lambda bp: bp["parent", "child"].configure(b=3),
        lambda bp: bp[..., "child"].configure(b=3),
        lambda bp: bp.configure("**.child", b=3),
    ],
)
def test_every_way_to_set_means_the_same(configure: Any) -> None:
    blueprint = Blueprint(Grand)

    configure(blueprint)

    assert blueprint.parent.child.b == 3
    assert blueprint.build().parent.child.b == 3


def test_an_unknown_name_lists_the_valid_ones_and_changes_nothing() -> None:
    blueprint = Blueprint(Parent)

    with pytest.raises(ValueError, match=r"no argument 'aa'.*'a'.*takes: a, b.*child"):
        blueprint.configure(a=5, aa=1)

    assert blueprint.a == 10
    assert blueprint.create().child.a == 10


@pytest.mark.parametrize("value", ["x", 3.5, [1]])
def test_a_wrong_type_names_the_path(value: Any) -> None:
    blueprint = Blueprint(Net)

    with pytest.raises(TypeError, match=r"blocks\.0\.0\.in_features.*expects int"):
        blueprint.configure("blocks.0.0", in_features=value)

    assert blueprint["blocks.0.0"].arguments["in_features"] == 4


class Thrice(nn.Module):
    def __init__(self, big: bool = False) -> None:
        super().__init__()
        b = 2
        for value in (10, 20, 30) if big else ():
            b = value
        self.child = Child(b=b)


def test_nothing_derived_is_stale_and_repeating_does_not_grow() -> None:
    blueprint = Blueprint(Thrice).configure(big=True)

    for _ in range(100):
        blueprint.configure(big=False).configure(big=True)

    with allow_classes(Thrice):
        assert len(blueprint.to_dict()["tape"]) == 1
    assert blueprint.child.b == 30
    assert blueprint.configure(big=False).create().child.b == 2


class OnlyTwo(nn.Module):
    def __init__(self, n: int = 2) -> None:
        super().__init__()
        if n == 2:
            self.w = nn.Parameter(torch.ones(2))


def test_what_another_run_registered_is_gone() -> None:
    module = Blueprint(OnlyTwo).configure(n=3).build()

    assert list(module.parameters()) == []


class Positive(nn.Module):
    def __init__(self, a: int = 1) -> None:
        super().__init__()
        if a < 0:
            raise ValueError("a is negative")
        self.a = a


class HasPositive(nn.Module):
    def __init__(self, n: int = 1) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Positive() for _ in range(n))


def test_a_constructor_that_raises_leaves_the_blueprint_as_it_was() -> None:
    blueprint = Blueprint(Positive).configure(a=4)

    with pytest.raises(ValueError, match="a is negative"):
        blueprint.configure(a=-1)

    assert blueprint.a == 4
    assert blueprint.build().a == 4


def test_the_path_of_the_constructor_is_named() -> None:
    blueprint = Blueprint(HasPositive, 3)

    with pytest.raises(
        ConstructionError, match=r"parts\.2.*Positive.*negative"
    ) as raised:
        blueprint.configure("parts.2", a=-1)

    assert raised.value.path == "parts.2"
    assert isinstance(raised.value.__cause__, ValueError)
    assert len(blueprint.create().parts) == 3


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


def test_a_built_module_that_is_passed_is_copied_for_each_creation() -> None:
    part = nn.Linear(2, 2)
    blueprint = Blueprint(Holder, part)
    first, second = blueprint.create(), blueprint.create()

    weight: Any = first.child.weight
    assert torch.equal(weight, part.weight)
    assert weight is not part.weight
    assert first.child is not second.child


def test_a_layer_without_weights_that_is_passed_can_be_configured() -> None:
    blueprint: Any = Blueprint(nn.Sequential, nn.ReLU(inplace=True), nn.Linear(2, 2))

    assert type(blueprint.configure("0", nn.ELU).create()[0]) is nn.ELU
    with pytest.raises(SettingError, match="ready-made"):
        blueprint.configure("1", bias=False)


class TwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(2, 2)
        self.other = self.one


def test_a_setting_through_one_name_is_seen_through_the_other() -> None:
    blueprint = Blueprint(TwoNames).configure("other", bias=False)
    module = blueprint.build()

    assert blueprint.one.arguments["bias"] is False
    assert module.one is module.other
    assert module.one.bias is None


def test_a_replacement_outlives_a_change_of_its_maker() -> None:
    blueprint = Blueprint(Parent).replace("child", nn.Identity).configure(a=3)

    assert isinstance(blueprint.create().child, nn.Identity)
    with pytest.raises(ValueError, match=r"chil: no module.*'child'"):
        blueprint.replace("chil", nn.Identity)


def test_a_replacement_keeps_nothing_and_brings_its_own_settings() -> None:
    part = Blueprint(Net, 1).configure("head", out_features=7)
    blueprint = Blueprint(Net).replace("blocks.1", part)
    module: Any = blueprint.create()

    assert module.blocks[1].head.out_features == 7
    assert blueprint["blocks.1.head"].arguments["out_features"] == 7
    assert blueprint.configure("blocks.1", depth=2)["blocks.1.blocks", :].list_names()


def test_swapping_a_class_keeps_the_arguments_it_has_too() -> None:
    blueprint: Any = Blueprint(nn.Linear, 3, 4)
    assert str(blueprint) == "Linear(in_features=3, out_features=4)"

    with pytest.raises(ValueError, match="'nope'"):
        blueprint.configure(nope=1)
    blueprint.configure(nn.BatchNorm1d, num_features=10)

    assert str(blueprint) == "BatchNorm1d(num_features=10)"
    assert type(blueprint.build()) is nn.BatchNorm1d


def test_norms_hand_on_their_size() -> None:
    blueprint = Blueprint(nn.Sequential, Blueprint(nn.BatchNorm2d, 8, eps=0.1))
    norm: Any = blueprint.configure("0", nn.GroupNorm, num_groups=2).build()[0]

    assert (norm.num_groups, norm.num_channels, norm.eps) == (2, 8, 0.1)


class Variadic(nn.Module):
    def __init__(self, *sizes: int, **named: Any) -> None:
        super().__init__()
        self.sizes, self.named = sizes, named


class OnlyByPosition(nn.Module):
    def __init__(self, a: int, /, *rest: int) -> None:
        super().__init__()


def test_variadic_arguments_are_kept() -> None:
    blueprint = Blueprint(Variadic, 1, 2, 3, k=4)
    module = blueprint.configure(more=5).build()

    assert module.sizes == (1, 2, 3)
    assert module.named == {"k": 4, "more": 5}


def test_arguments_by_position_only_beside_variadic_ones_are_refused() -> None:
    with pytest.raises(TypeError, match=r"OnlyByPosition.*by position only"):
        Blueprint(OnlyByPosition, 1, 2)


@pytest.mark.parametrize("cls", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_take_their_arguments(cls: Any) -> None:
    module = Blueprint(cls, 3, 4, num_layers=2).configure(batch_first=True).build()

    assert (module.input_size, module.hidden_size, module.num_layers) == (3, 4, 2)
    assert module.batch_first


def test_build_and_create_give_the_same_forms() -> None:
    blueprint = Blueprint(Net).configure("blocks.0.1", nn.GELU)
    created, built = blueprint.create(), blueprint.build()

    assert [type(m) for m in created.modules()] == [type(m) for m in built.modules()]
    left, right = created.state_dict(), built.state_dict()
    assert {k: v.shape for k, v in left.items()} == {
        k: v.shape for k, v in right.items()
    }


def test_an_empty_match_is_an_error_unless_it_is_allowed() -> None:
    blueprint: Any = Blueprint(Net)

    with pytest.raises(SettingError, match=r"\*\*\.act: no module.*pattern"):
        blueprint.configure("**.act", nn.GELU)
    blueprint.configure("blocks.2.1", nn.GELU, allow_empty=True).configure(depth=3)

    assert isinstance(blueprint.create().blocks[2][1], nn.GELU)


def test_a_pattern_means_the_parts_that_come_later_as_well() -> None:
    blueprint: Any = Blueprint(Net).configure("blocks.*.1", nn.GELU)
    blueprint.configure(depth=4)

    assert all(isinstance(block[1], nn.GELU) for block in blueprint.create().blocks)


class Chance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for i in range(random.randrange(1, 1000)):
            self.add_module(f"m{i}", nn.Identity())


class Counter(nn.Module):
    n = 0

    def __init__(self) -> None:
        super().__init__()
        Counter.n += 1
        self.parts = nn.ModuleList(nn.Identity() for _ in range(Counter.n))


class Cached(nn.Module):
    cache: nn.Module | None = None

    def __init__(self) -> None:
        super().__init__()
        if Cached.cache is None:
            Cached.cache = nn.Linear(2, 2)
        self.part = Cached.cache


class Swapping(nn.Module):
    turn = False

    def __init__(self) -> None:
        super().__init__()
        Swapping.turn = not Swapping.turn
        first, second = nn.Linear(2, 2), nn.Linear(2, 2)
        if Swapping.turn:
            first, second = second, first
        self.first, self.second = first, second


@pytest.mark.parametrize("cls", [Chance, Counter, Swapping])
def test_constructions_that_do_not_repeat_are_an_error_with_the_path(cls: Any) -> None:
    def three_times() -> None:
        for _ in range(3):
            Blueprint(cls).create()

    with pytest.raises(NotRepeatedError) as raised:
        three_times()

    assert raised.value.path
    assert raised.value.path in str(raised.value)


def test_a_module_that_was_made_earlier_is_an_error_with_the_path() -> None:
    Cached.cache = None

    with pytest.raises(NotRepeatedError, match=r"part: was made by an earlier run"):
        Blueprint(Cached).create()


def test_copies_of_one_module_change_together() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    blueprint = Blueprint(Stack)
    blueprint.configure("encoder.layers.*.dropout1", p=0.5)
    module = blueprint.create()

    assert [layer.dropout1.p for layer in module.encoder.layers] == [0.5] * 3  # type: ignore[union-attr]  # encoder layers
    with pytest.raises(SettingError, match="copies of one module"):
        blueprint.configure("encoder.layers.0.dropout1", p=0.1)
    assert blueprint["encoder.layers.1.dropout1"].arguments["p"] == 0.5


def test_errors_are_of_one_family() -> None:
    for kind in (SettingError, ConstructionError, NotRepeatedError):
        assert issubclass(kind, BlueprintError)


class Choosing(nn.Module):
    def __init__(self, act: Any = nn.ReLU) -> None:
        super().__init__()
        self.act = act()


def test_a_setting_that_the_class_a_constructor_now_chooses_lacks_is_refused() -> None:
    blueprint = Blueprint(Choosing).configure("act", inplace=True)

    with pytest.raises(SettingError, match="act: GELU takes no argument 'inplace'"):
        blueprint.configure(act=nn.GELU)
    assert blueprint.create().act.inplace

    blueprint.replace("act", nn.GELU)
    again = Blueprint.from_dict(blueprint.configure(act=nn.GELU).to_dict(), Choosing)
    assert isinstance(again.create().act, nn.GELU)


def test_an_assignment_to_a_blueprint_is_an_error_that_says_how_to_change_it() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(AttributeError, match=r"^Sequential: 'x' is not set.*configure"):
        bp.x = nn.ReLU()
    with pytest.raises(
        AttributeError, match=r"^0: 'bias' is not .*configure\(bias=..."
    ):
        bp[0].bias = False


def test_what_only_modules_have_is_told_on_one_line() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(AttributeError, match=r"^Sequential has no .*bp.build\(\)"):
        _ = bp.parameters


def test_arguments_of_a_class_that_come_by_position_are_told() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 2))

    with pytest.raises(TypeError, match=r"arguments of Linear go by name.* got 8"):
        bp.configure("0", nn.Linear, 8, 3)


class AnyNames(burnish.Module):
    """Takes arguments under names that methods have for theirs."""

    def __init__(self, /, cls: int = 1, **others: int) -> None:
        super().__init__()
        self.cls, self.others = cls, others


def test_arguments_called_as_those_of_methods_are_configured_like_all() -> None:
    blueprint = AnyNames.blueprint(cls=2, self=3)

    assert blueprint.create().others == {"self": 3}

    built = blueprint.configure(cls=4, self=5).build()

    assert (built.cls, built.others) == (4, {"self": 5})
