"""Which parameters an optimizer holds, and which it refuses."""

import pytest
import torch
from torch import Tensor, nn

from burnish.core import named_params
from burnish.optim import (
    SGD,
    AdamW,
    Group,
)
from burnish.optim.bound import bound_params

from ..nets import drive, layers, plist, set_grads, tree


def test_an_empty_match_is_an_error_that_proposes_a_name() -> None:
    net = tree(head=nn.Linear(2, 2))

    with pytest.raises(ValueError, match=r"'haed\.weight'.*head\.weight"):
        AdamW().bind(net, lr=1e-2, groups=[Group("haed.weight", weight_decay=0.0)])
    with pytest.raises(ValueError, match=r"no hyperparameter 'wd'"):
        AdamW().bind(net, lr=1e-2, groups=[Group("**", wd=0.0)])
    with pytest.raises(TypeError, match="a pattern, a type, or both"):
        Group(weight_decay=0.0)


@pytest.mark.parametrize(
    "values", [torch.zeros(1).expand(5), torch.zeros(4).as_strided((3, 2), (1, 1))]
)
def test_a_parameter_whose_elements_share_memory_is_refused_by_path(
    values: Tensor,
) -> None:
    net = plist(torch.ones(3), nn.Parameter(values))

    with pytest.raises(ValueError, match=r"^1: its elements share memory"):
        AdamW().bind(net, lr=0.1)


def test_a_parameter_whose_elements_interleave_is_stepped() -> None:
    net = plist(nn.Parameter(torch.zeros(8).as_strided((2, 3), (3, 2))))
    net[0].grad = torch.ones(2, 3)

    SGD().bind(net, lr=1.0).step()

    assert torch.equal(net[0], -torch.ones(2, 3))


def test_a_lazy_layer_is_refused_until_it_has_a_shape() -> None:
    net = nn.Sequential(nn.LazyLinear(3))

    with pytest.raises(ValueError, match=r"^0\.weight has no shape yet.*one batch"):
        AdamW().bind(net, lr=0.1)

    net(torch.ones(1, 2))
    drive(AdamW().bind(net, lr=0.1), net, 1)


def test_parameters_that_came_for_others_and_are_in_no_group_are_told() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    drive(adaptor, net, 1)
    nn.utils.parametrizations.weight_norm(net[2])
    set_grads(net, 2)

    with pytest.warns(
        RuntimeWarning, match=r"has lost 2\.weight and got 2\.parametriz.*add_param_"
    ):
        adaptor.step()
    new = list(net[2].parametrizations.weight.parameters())
    adaptor.add_param_group({"params": new})
    before = [p.detach().clone() for p in new]
    drive(adaptor, net, 3)  # says nothing again

    assert not any(torch.equal(a, b) for a, b in zip(before, new, strict=True))


def test_a_layer_that_was_removed_or_added_alone_is_no_news() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    del net[2]
    drive(adaptor, net, 1)
    net.append(nn.Linear(16, 2))

    drive(adaptor, net, 2)

    departed = adaptor._bound.params.departed()  # pyright: ignore[reportPrivateUsage]  # what users have no face for
    assert [param.path for param in departed] == ["2.weight", "2.bias"]


@pytest.mark.parametrize("is_of_module", [True, False])
def test_a_group_of_many_is_looked_up_in_one_walk_of_the_module(
    monkeypatch: pytest.MonkeyPatch, *, is_of_module: bool
) -> None:
    net, walks = layers(), list[nn.Module]()
    adaptor = SGD().bind(net, lr=0.1)
    late = nn.Sequential(*[nn.Linear(2, 2) for _ in range(20)])
    if is_of_module:
        net.add_module("late", late)

    def counted(module: nn.Module) -> object:
        walks.append(module)
        return named_params(module)

    monkeypatch.setattr(bound_params, "named_params", counted)
    adaptor.add_param_group({"params": late.parameters()})

    assert len(walks) == 1
    assert len(adaptor.param_groups[1]["params"]) == 40
