from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.construction import init_hooks
from burnish.core.blueprint.errors import SettingError


def sequence(*parts: Any) -> Any:
    return Blueprint(nn.Sequential, *parts)


def test_a_chain_is_completed_from_an_example() -> None:
    blueprint = sequence(
        Blueprint(nn.Linear, None, 4), Blueprint(nn.ReLU), Blueprint(nn.Linear, None, 2)
    )
    module = blueprint.build(torch.zeros(3, 7))

    assert [m.weight.shape for m in module if hasattr(m, "weight")] == [(4, 7), (2, 4)]


class Chain(nn.Module):
    """An ordinary module that leaves sizes to whoever builds it."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        missing: Any = None
        self.first = nn.Linear(missing, width)
        self.norm = nn.BatchNorm1d(missing)
        self.last = nn.Linear(missing, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.norm(self.first(x)))
        return result


def test_an_ordinary_module_is_completed_as_well() -> None:
    blueprint = Blueprint(Chain).configure(width=5)
    module = blueprint.create(torch.zeros(3, 7))

    assert module.first.in_features == 7
    assert module.norm.num_features == 5
    assert module.last.in_features == 5
    assert int(module.norm.num_batches_tracked) == 0  # type: ignore[arg-type]  # a buffer
    assert blueprint["first"].arguments["in_features"] is None


def test_sizes_do_not_change_what_is_drawn() -> None:
    class Known(Chain):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.first, self.norm = nn.Linear(7, 4), nn.BatchNorm1d(4)
            self.last = nn.Linear(4, 2)

    torch.manual_seed(1)
    by_hand = Known()
    blueprint = Blueprint(Chain)
    torch.manual_seed(1)
    module = blueprint.create(torch.zeros(3, 7))

    for name, value in by_hand.state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name


def test_sizes_that_nothing_tells_name_the_path() -> None:
    blueprint = Blueprint(Chain)

    with pytest.raises(SettingError, match=r"first\.in_features.*build\(example\)"):
        blueprint.build()
    with pytest.raises(SettingError, match="does not pass through Chain"):
        blueprint.build("not a tensor")
    blueprint.configure("first", in_features=7).configure("norm", num_features=4)
    assert blueprint.configure("last", in_features=4).build().first.in_features == 7


def test_a_layer_that_the_example_does_not_reach_is_named() -> None:
    class Unused(Chain):
        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.first(x)
            return result

    with pytest.raises(SettingError, match=r"norm.*no example was passed that reaches"):
        Blueprint(Unused).build(torch.zeros(3, 7))


def test_arguments_left_out_at_the_root_may_come_later() -> None:
    blueprint = Blueprint(nn.Conv2d, 3)

    with pytest.raises(SettingError, match="out_channels, kernel_size"):
        blueprint.build()

    module = blueprint.configure(out_channels=2, kernel_size=1).build()
    assert module.weight.shape == (2, 3, 1, 1)


class Lazy(nn.Module):
    """Layers that wait for their first input, as torch has them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.LazyConv1d(3, 1)
        self.norm = nn.LazyBatchNorm1d()
        self.last = nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.norm(self.conv(x)))
        return result


def test_lazy_layers_stay_lazy_and_take_settings() -> None:
    blueprint = Blueprint(Lazy).configure("last", bias=False)

    module = blueprint.create()
    by_hand = Lazy()

    assert isinstance(module.last, nn.LazyLinear)
    x = torch.ones(2, 4, 5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module(x)
        torch.manual_seed(0)
        by_hand(x)
    assert module.last.bias is None
    assert torch.equal(module.last.weight, by_hand.last.weight)
    assert torch.equal(module.conv.weight, by_hand.conv.weight)


def test_an_example_completes_the_layers_around_a_lazy_one() -> None:
    blueprint = sequence(Blueprint(nn.LazyLinear, 3), Blueprint(nn.Linear, None, 4))

    module = blueprint.build(torch.zeros(2, 5))

    assert module[1].in_features == 3
    assert isinstance(module[0], nn.LazyLinear)


@pytest.mark.parametrize("place", ["parameters_of", "_set_hook", "_remove_hooks"])
def test_what_a_handler_builds_before_and_behind_the_constructors_is_its_own(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = getattr(init_hooks, place)
    inner: list[Any] = []

    # It stands for the handler of a signal, which runs between any two lines.
    def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(init_hooks, place, function)
        part = Blueprint(Chain, 3).configure("first", in_features=6)
        part.configure("norm", num_features=3).configure("last", in_features=3)
        inner.extend([part.create(), nn.Sequential(nn.Linear(2, 1))])
        return function(*args)

    outer = sequence(Blueprint(nn.Linear, 5, 4), Blueprint(nn.Linear, 4, 2))
    outer.configure("1", bias=False)
    monkeypatch.setattr(init_hooks, place, interrupted)

    built = outer.create()

    assert [layer.bias is None for layer in built] == [False, True]
    assert inner[0].first.in_features == 6
    assert inner[1][0].weight.shape == (1, 2)
