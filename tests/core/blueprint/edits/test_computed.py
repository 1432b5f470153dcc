"""Arguments that a function computes from those of other parts."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core.blueprint import Blueprint, Computed
from burnish.core.blueprint.errors import (
    ConstructionError,
    SettingError,
    WrongTypeError,
)


@burnish.module
class Net(nn.Module):
    """Parts that are passed, as a user composes them."""

    def __init__(self, hidden: Any, head: Any) -> None:
        super().__init__()
        self.hidden, self.head = hidden, head

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.hidden(x)
        result: Tensor = self.head(torch.cat([hidden] * 4, -1))
        return result


class Tower(nn.Module):
    """Parts that the constructor makes."""

    def __init__(self, width: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Linear(3, width)
        self.body = nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)])


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{dim} does not divide by {heads}")
        self.q = nn.Linear(dim, dim)


class Scale(nn.Module):
    """A layer of a user's own, whose size its input tells."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


@burnish.register_function
def four_times(width: int) -> int:
    return 4 * width


def net(function: Any = four_times, *paths: str, **options: Any) -> Any:
    return Blueprint(
        Net,
        hidden=Blueprint(nn.Linear, 3, 8),
        head=Blueprint(
            nn.Linear,
            Computed(function, *(paths or ("hidden.out_features",)), **options),
            10,
        ),
    )


def test_a_size_follows_what_it_is_computed_from() -> None:
    bp = net(lambda width: 4 * width)

    assert bp.head.arguments["in_features"] == 32
    bp.configure("hidden", out_features=16)
    assert bp.head.arguments["in_features"] == 64
    built: Any = bp.build()

    assert built.head.in_features == 64
    assert built(torch.zeros(2, 3)).shape == (2, 10)


def test_copies_follow_by_themselves() -> None:
    bp = net()

    copy = bp.new().configure("hidden", out_features=2)

    assert (copy.create().head.in_features, bp.create().head.in_features) == (8, 32)


def test_paths_mean_what_stands_beside_the_part_wherever_it_stands() -> None:
    bp = Blueprint(nn.Sequential, net(), Blueprint(nn.Sequential, net()))
    bp.configure("1.0.hidden", out_features=2)

    built: Any = bp.build()

    assert built[0].head.in_features == 32
    assert built[1][0].head.in_features == 8


def test_what_the_part_itself_has_comes_first_and_what_is_around_it_then() -> None:
    bp = Blueprint(Tower, width=8)
    double = Computed(lambda n: 2 * n, "in_features")
    bp.configure("body.1", out_features=double)
    bp.configure("stem", out_features=Computed(lambda n: 3 * n, "width"))

    built: Any = bp.build()

    assert (built.body[1].out_features, built.stem.out_features) == (16, 24)


def test_one_is_computed_from_another_in_whatever_order_they_are_made() -> None:
    bp = Blueprint(Tower, width=8, depth=3)
    bp.configure("stem", out_features=Computed(lambda n: n + 1, "body.0.out_features"))
    bp.configure(
        "body.0", out_features=Computed(lambda n: n + 1, "body.2.out_features")
    )

    bp.configure("body.2", out_features=20)

    assert bp.build().stem.out_features == 22


def test_an_argument_of_the_whole_and_several_values() -> None:
    bp = Blueprint(Attention, Computed(lambda heads: 16 * heads, "heads"), 3)
    tower = Blueprint(Tower, Computed(lambda d: 10 * d, "depth"), depth=3)
    tower.configure(
        "body.1",
        out_features=Computed(lambda a, b: a + b, "width", "stem.in_features"),
    )

    assert bp.build().q.in_features == 48
    assert tower.build().body[1].out_features == 33


def test_values_inside_of_lists_are_computed() -> None:
    class Mlp(nn.Module):
        def __init__(self, widths: list[int], scale: int = 2) -> None:
            super().__init__()
            self.layers = nn.Sequential(*[nn.Linear(3, w) for w in widths])

    bp = Blueprint(Mlp, [4, Computed(lambda s: 5 * s, "scale")])

    assert bp.configure(scale=3).build().layers[1].out_features == 15


def test_a_constructor_that_makes_the_blueprint_itself() -> None:
    class Maker(nn.Module):
        def __init__(self, width: int = 4) -> None:
            super().__init__()
            self.hidden = Blueprint(nn.Linear, 3, width)
            self.head = Blueprint(
                nn.Linear, Computed(lambda n: 2 * n, "hidden.out_features"), 1
            )

    bp: Any = Blueprint(Maker)

    assert bp.new().build().head.in_features == 8
    assert bp.configure("hidden", out_features=5).build().head.in_features == 10


@pytest.mark.parametrize(
    ("function", "path"),
    [(lambda n: 4 * n, "stem.out_features"), (lambda n: n, "body.0.in_features")],
)
def test_a_circle_through_a_constructor_is_refused(function: Any, path: str) -> None:
    with pytest.raises(SettingError, match="width: it is computed from a value"):
        Blueprint(Tower, Computed(function, path))


def test_what_a_constructor_passes_may_be_computed_with_if_it_does_not_follow() -> None:
    assert Blueprint(Tower, Computed(four_times, "stem.in_features")).build()


def test_values_that_are_computed_from_each_other_are_refused_and_nothing_changes() -> (
    None
):
    bp = net()

    with pytest.raises(SettingError) as refused:
        bp.configure("hidden", out_features=Computed(four_times, "head.in_features"))

    chain = "hidden.out_features from head.in_features from hidden.out_features"
    assert f"computed from each other: {chain}" in str(refused.value)
    assert bp.build().head.in_features == 32


def test_what_the_function_raises_comes_with_place_and_values() -> None:
    bp = net()

    with pytest.raises(SettingError) as refused:
        bp.configure(
            "head", in_features=Computed(lambda n: n // 0, "hidden.out_features")
        )

    assert str(refused.value).startswith(
        "head.in_features: Computed(<lambda> of hidden"
    )
    assert "raised ZeroDivisionError" in str(refused.value)
    assert "(hidden.out_features = 8)" in str(refused.value)
    assert isinstance(refused.value.__cause__, ZeroDivisionError)
    assert bp.build().head.in_features == 32


def test_a_value_of_another_type_than_declared_is_refused() -> None:
    with pytest.raises(WrongTypeError, match=r"head.in_features: .*expects int"):
        net(lambda n: n / 3)


def test_a_path_that_means_nothing_is_an_error_where_the_whole_is_known() -> None:
    bp = net(four_times, "hidden.out_featurs")
    part = Blueprint(nn.Linear, Computed(four_times, "hidden.out_features"), 10)

    with pytest.raises(SettingError, match=r"Did you mean 'hidden.out_features'"):
        bp.build()
    with pytest.raises(SettingError, match=r"there is no argument 'hidden.out"):
        part.build()


def test_what_is_no_plain_argument_cannot_be_computed_with() -> None:
    bp = net(lambda module: 4, "hidden")

    with pytest.raises(
        SettingError, match=r"name one of its arguments, such as 'hidden.in_f"
    ):
        bp.build()


@pytest.mark.parametrize("argument", [3, "width"])
def test_what_is_no_function_and_what_is_no_path_are_refused(argument: Any) -> None:
    with pytest.raises(TypeError, match="expected a function"):
        Computed(argument, "width")
    with pytest.raises(TypeError, match="not a path of an argument"):
        Computed(four_times, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is a pattern"):
        Computed(four_times, "layers.*.width")


def test_a_placeholder_for_constructors_that_do_not_take_one() -> None:
    class Heads(nn.Module):
        def __init__(self, dim: int) -> None:
            super().__init__()
            if dim % 8:
                raise ValueError("8 heads")
            self.q = nn.Linear(dim, dim)

    def blueprint(**options: Any) -> Any:
        return Blueprint(
            nn.Sequential,
            Blueprint(Heads, Computed(lambda n: 8 * n, "1.in_features", **options)),
            Blueprint(nn.Linear, 3, 3),
        )

    with pytest.raises(ConstructionError, match="8 heads"):
        blueprint()
    assert blueprint(placeholder=8).build()[0].q.in_features == 24


def test_without_paths_the_function_gets_the_tensors_that_reach_the_part() -> None:
    bp = Blueprint(
        nn.Sequential,
        Blueprint(nn.Linear, None, 8),
        Blueprint(Scale, Computed(lambda x: x.shape[-1])),
    )

    built: Any = bp.create(torch.zeros(2, 3))

    assert (built[0].in_features, built[1].weight.numel()) == (3, 8)
    with pytest.raises(
        SettingError, match=r"no value for .*1\.width: no example was passed"
    ):
        bp.create()
    bp.configure("1", width=Computed(lambda x: x.shape[7]))
    with pytest.raises(SettingError, match=r"1.width: .*raised IndexError"):
        bp.create(torch.zeros(2, 3))


def test_a_size_that_an_example_tells_is_not_computed_with() -> None:
    bp = net(four_times, "hidden.in_features").configure("hidden", in_features=None)

    with pytest.raises(
        SettingError, match=r"hidden.in_features is left to the example"
    ):
        bp.create(torch.zeros(2, 3))


def test_who_says_what_tells_the_value_and_the_function() -> None:
    bp = net()

    text = str(bp.explain("head.in_features"))

    assert "head.in_features = 32" in text
    assert "Computed(four_times of hidden.out_features)" in text
    assert "(head): Linear(in_features=32, out_features=10)" in str(bp)


def test_a_known_function_is_stored_by_name_and_any_other_is_refused() -> None:
    bp = net(placeholder=3)

    again: Any = Blueprint.from_dict(bp.to_dict(), Net)
    again.configure("hidden", out_features=2)

    assert again.build().head.in_features == 8
    with pytest.raises(TypeError, match=r"stem.out_features: .*cannot be stored"):
        Blueprint(Tower).configure(
            "stem", out_features=Computed(lambda n: n, "width")
        ).to_dict()


def test_a_module_that_was_built_comes_back_from_its_record(tmp_path: Any) -> None:
    built = net().configure("hidden", out_features=2).build()
    burnish.save_record(built, tmp_path / "net.mpk")

    again = Net.from_record(tmp_path / "net.mpk")  # type: ignore[attr-defined]

    assert again.head.in_features == 8
    assert torch.equal(again.head.weight, built.head.weight)


def test_the_same_seed_gives_the_same_weights_as_numbers_would() -> None:
    numbers = Blueprint(
        Net, hidden=Blueprint(nn.Linear, 3, 8), head=Blueprint(nn.Linear, 32, 10)
    )

    torch.manual_seed(1)
    a = net().build().state_dict()
    torch.manual_seed(1)
    b = numbers.build().state_dict()

    assert all(torch.equal(a[name], b[name]) for name in b)


def test_arguments_beside_a_computed_one_stay_the_objects_that_they_are() -> None:
    shared: list[int] = []

    class Notes(nn.Module):
        def __init__(self, notes: list[int], width: int = 2) -> None:
            super().__init__()
            self.notes, self.width = notes, width

    class Maker(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Notes(shared), Notes(shared, 3)

    width = Computed(four_times, "b.width")
    built: Any = Blueprint(Maker).configure("a", width=width).build()

    assert built.a.width == 12
    assert built.a.notes is shared
    assert built.b.notes is shared
