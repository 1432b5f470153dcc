# pyright: reportPrivateUsage=false
# What hooks a module has, and what a selection means, have no public names.

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import allow_classes
from burnish.core.blueprint import Blueprint, after_init
from burnish.core.blueprint.errors import FormatError, SettingError
from burnish.core.blueprint.wrap_call import wrap_parts


class Block(nn.Module):
    def __init__(self, n: int = 4) -> None:
        super().__init__()
        self.conv = nn.Linear(n, 2 * n)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.conv(x))
        return result

    @after_init
    def remember(self, value: int) -> None:
        self.value = value


class Net(nn.Module):
    def __init__(self, n: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(n) for _ in range(depth)])


class Residual(nn.Module):
    """Whose attribute has the name of what it is put around."""

    def __init__(self, conv: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.conv, self.scale = conv, scale

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.scale * self.conv(x)
        return result


def then_tanh(part: Blueprint[Any]) -> Blueprint[Any]:
    return Blueprint(nn.Sequential, part, Blueprint(nn.Tanh))


@pytest.fixture
def bp() -> Blueprint[Net]:
    return Blueprint(Net).wrap("**.conv", then_tanh)


def create(bp: Blueprint[Any], *example: object) -> Any:
    """Return a module whose parts are what the test says they are."""
    return bp.create(*example)


def shown(bp: Blueprint[Any], path: str) -> str:
    return " ".join(str(bp[path]).split())


def test_a_part_is_constructed_as_before_inside_of_what_goes_around_it(
    bp: Blueprint[Net],
) -> None:
    assert shown(bp, "blocks.0.conv") == (
        "Sequential (0): Linear(in_features=4, out_features=8) (1): Tanh()"
    )
    assert str(create(bp).blocks[1].conv[0]) == str(nn.Linear(4, 8))


def test_what_the_maker_passes_is_followed(bp: Blueprint[Net]) -> None:
    bp.configure(n=3)

    assert create(bp).blocks[0].conv[0].in_features == 3


def test_a_pattern_wraps_what_comes_later_too(bp: Blueprint[Net]) -> None:
    bp.configure(depth=4)

    assert isinstance(create(bp).blocks[3].conv[1], nn.Tanh)


def test_weights_are_those_of_the_part_by_itself(bp: Blueprint[Net]) -> None:
    torch.manual_seed(0)
    plain = Blueprint(Net).create().state_dict()
    torch.manual_seed(0)
    wrapped = create(bp).state_dict()

    assert torch.equal(plain["blocks.1.conv.weight"], wrapped["blocks.1.conv.0.weight"])


def test_settings_before_stay_with_the_part() -> None:
    bp = Blueprint(Net).configure("blocks.0.conv", bias=False)
    bp.blocks[1].conv.log_output("conv")

    bp.wrap("blocks.*.conv", then_tanh)

    built = create(bp)
    assert built.blocks[0].conv[0].bias is None
    assert built.blocks[1].conv[0]._forward_hooks
    assert not built.blocks[1].conv._forward_hooks


def test_settings_since_are_those_of_what_is_around_it(bp: Blueprint[Net]) -> None:
    bp.configure("blocks.0.conv.0", bias=False).configure("**.conv.1", nn.GELU)
    bp.blocks[1].conv.append(nn.ReLU)

    built = create(bp)

    assert built.blocks[0].conv[0].bias is None
    assert [type(part) for part in built.blocks[1].conv] == [
        *(nn.Linear, nn.GELU, nn.ReLU)
    ]
    with pytest.raises(SettingError, match="Sequential takes no argument 'bias'"):
        bp.configure("blocks.0.conv", bias=True)


class Scaled(nn.Linear):
    pass


def test_a_class_that_takes_the_place_of_all_leaves_the_part_as_it_was() -> None:
    bp = (
        Blueprint(Net)
        .configure("blocks.0.conv", Scaled)
        .wrap("blocks.0.conv", Residual)
    )
    bp.configure("blocks.0.conv", Halved)

    assert isinstance(create(bp).blocks[0].conv, Halved)
    assert isinstance(create(bp).blocks[0].conv.conv, Scaled)
    assert shown(bp.replace("blocks.0.conv", nn.Identity), "blocks.0.conv") == (
        "Identity()"
    )


class Halved(Residual):
    pass


def test_selections_follow_the_part() -> None:
    bp = Blueprint(Net)
    conv, act = bp.blocks[1].conv, bp.blocks[1].act

    bp.wrap("blocks.1", in_sequential).wrap("**.conv", then_tanh)

    assert conv.list_names() == ["blocks.1.0.conv.0"]
    assert act.list_names() == ["blocks.1.0.act"]
    conv.configure(bias=False)
    assert create(bp).blocks[1][0].conv[0].bias is None


def in_sequential(part: Blueprint[Any]) -> Blueprint[Any]:
    return Blueprint(nn.Sequential, part)


def test_settings_inside_and_calls_follow_the_part() -> None:
    bp = Blueprint(Net).configure("blocks.0.act", nn.GELU)
    bp.configure("blocks.0.conv", out_features=4)
    bp.blocks[0].remember(7)

    bp.blocks[0].wrap(Residual)

    block = create(bp).blocks[0].conv
    assert isinstance(block.act, nn.GELU)
    assert (block.conv.out_features, block.value) == (4, 7)


def test_a_class_takes_the_part_first() -> None:
    bp = Blueprint(Net).wrap("blocks.0.conv", Residual)
    bp.configure("blocks.0.conv", scale=0.5)

    assert create(bp).blocks[0].conv.scale == 0.5


def test_a_pattern_that_means_the_part_inside_as_well_wraps_it_once() -> None:
    bp = Blueprint(Net).wrap("**.conv", Residual)

    assert bp.isinstance(Residual).list_names() == ["blocks.0.conv", "blocks.1.conv"]
    assert bp.new().isinstance(nn.Linear).list_names() == [
        *("blocks.0.conv.conv", "blocks.1.conv.conv")
    ]


def test_a_part_may_be_wrapped_twice(bp: Blueprint[Net]) -> None:
    bp.wrap("blocks.0.conv", then_tanh)

    built = create(bp)

    assert isinstance(built.blocks[0].conv[0][0], nn.Linear)
    assert isinstance(built.blocks[1].conv[0], nn.Linear)


def test_one_of_many_equal_parts_is_wrapped() -> None:
    bp = Blueprint(Net, depth=3)
    bp.blocks[1].conv.wrap(then_tanh)

    assert [type(block.conv) for block in create(bp).blocks] == [
        *(nn.Linear, nn.Sequential, nn.Linear)
    ]


def test_what_comes_out_of_a_list_takes_the_wrap_along(bp: Blueprint[Net]) -> None:
    bp.configure(depth=3).blocks[2].conv.wrap(Residual)
    bp.blocks.pop(0)

    assert isinstance(create(bp).blocks[1].conv, Residual)


def test_it_is_data(bp: Blueprint[Net]) -> None:
    bp.configure("blocks.0.conv.0", bias=False).blocks[1].wrap(Residual)

    with allow_classes(Net, Residual):
        read: Blueprint[Any] = Blueprint.from_dict(json.loads(json.dumps(bp.to_dict())))

    assert str(read) == str(bp) == str(bp.new())
    assert "wrapped in Residual" in str(bp.diagram())


def test_a_file_without_a_place_for_the_part_is_refused(bp: Blueprint[Net]) -> None:
    data = json.loads(json.dumps(bp.to_dict()))
    data["tape"][0]["arguments"] = {}

    with allow_classes(Net), pytest.raises(FormatError, match="no place"):
        Blueprint.from_dict(data)


@burnish.module
class Kept(nn.Module):
    def __init__(self, n: int = 4) -> None:
        super().__init__()
        self.conv = nn.Linear(n, n)


def test_a_record_reopens_with_it(tmp_path: Path) -> None:
    built = Blueprint(Kept).wrap("conv", then_tanh).build()
    burnish.save_record(built, tmp_path / "net.mpk")

    reopened = Kept.from_record(tmp_path / "net.mpk")  # type: ignore[attr-defined]  # of the decorator

    assert isinstance(reopened.conv, nn.Sequential)
    weights = reopened.state_dict(), built.state_dict()
    assert torch.equal(*(state["conv.0.weight"] for state in weights))


def test_sizes_are_completed_by_the_example() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(nn.Linear, None, 3))
    bp.wrap(
        "0", lambda part: Blueprint(nn.Sequential, part, Blueprint(nn.LayerNorm, None))
    )

    built = create(bp, torch.zeros(2, 5))

    assert built[0][0].in_features == 5
    assert built[0][1].normalized_shape == (3,)


def test_a_part_that_came_as_a_blueprint_is_wrapped() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(Block, 3), Blueprint(nn.ReLU))
    bp.wrap("0", Residual).configure("0.conv.act", nn.Tanh)

    built = create(bp)

    assert isinstance(built[0].conv.act, nn.Tanh)
    assert built[0].conv.conv.in_features == 3


def test_a_blueprint_with_a_wrapped_part_is_passed_on_and_put_in_place() -> None:
    block = Blueprint(Block, 3).configure("act", nn.Tanh).wrap("conv", Residual)
    passed = Blueprint(nn.Sequential, block).configure("0.conv.conv", bias=False)
    put = Blueprint(Net).configure("blocks.1", block)
    put.configure("blocks.1.conv.conv", bias=False)

    for built in (create(passed)[0], create(put).blocks[1]):
        assert isinstance(built.act, nn.Tanh)
        assert isinstance(built.conv, Residual)
        assert built.conv.conv.bias is None


def test_a_part_whose_blueprint_has_settings_is_refused_with_what_to_do() -> None:
    inner = Blueprint(Block).configure("act", nn.Tanh)
    bp = Blueprint(nn.Sequential, inner)

    for path in ("0", "0.act"):
        with pytest.raises(SettingError, match=f"^{path}: .* before you pass it"):
            bp.wrap(path, Residual)

    assert isinstance(create(bp)[0].act, nn.Tanh)


@pytest.mark.parametrize(
    ("around", "error", "message"),
    [
        (lambda part: Blueprint(nn.ReLU), SettingError, "take the part as an argument"),
        (lambda part: nn.ReLU(), TypeError, "expected the blueprint that wraps"),
        (3, TypeError, "expected a function that takes the part, got 3"),
        (lambda part: then_tanh(then_tanh(part)), SettingError, "wrap twice"),
        (
            lambda part: then_tanh(part).configure("1", nn.GELU),
            SettingError,
            "has been edited itself",
        ),
    ],
)
def test_what_cannot_go_around_a_part_is_refused_and_changes_nothing(
    around: Any, error: type[Exception], message: str
) -> None:
    bp = Blueprint(Net)

    with pytest.raises(error, match=message):
        bp.wrap("blocks.0.conv", around)

    assert str(bp) == str(Blueprint(Net))


def test_nothing_and_the_whole_cannot_be_wrapped() -> None:
    with pytest.raises(SettingError, match=r"'\*\*.cnv'|\*\*.cnv"):
        Blueprint(Net).wrap("**.cnv", then_tanh)
    with pytest.raises(SettingError, match="pass it to another one"):
        Blueprint(Net).wrap(then_tanh)
    with pytest.raises(TypeError, match="wrap what"):
        Blueprint(Net).wrap()


def test_it_is_one_edit() -> None:
    bp = Blueprint(Net)

    edit = wrap_parts(bp["blocks.0.conv"]._parts, Residual, Blueprint.of_arguments)

    assert (edit.cls, edit.target, edit.wraps_at) == (Residual, "blocks.0.conv", "conv")
