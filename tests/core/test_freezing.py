"""Freezing by pattern: what is frozen, and what optimizers do with it."""

from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import SGD, AdamW


class Tied(nn.Module):
    """An embedding whose weight is the head's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.head = nn.Linear(4, 10)
        self.head.weight = self.embed.weight


def frozen(net: nn.Module) -> list[str]:
    return [name for name, p in net.named_parameters() if not p.requires_grad]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("body.0.weight", ["body.0.weight"]),
        ("body.**", ["body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"]),
        (["**.bias", "embed.*"], None),
        (lambda param: param.tensor.ndim == 1, None),
        ("head.weight", ["embed.weight"]),
    ],
)
def test_freezing_takes_paths_patterns_and_predicates_also_for_shared_parameters(
    patterns: Any, expected: list[str] | None
) -> None:
    net = Tied()

    paths = burnish.freeze(net, patterns)

    assert len(paths) == len(frozen(net)) > 0
    assert expected is None or frozen(net) == expected
    assert burnish.thaw(net, patterns) == paths
    assert frozen(net) == []


@pytest.mark.parametrize("fused", [None, True, False])
@pytest.mark.parametrize("set_to_none", [True, False])
def test_an_optimizer_leaves_what_is_frozen_and_goes_on_when_it_is_thawed(
    *, fused: bool | None, set_to_none: bool
) -> None:
    nets: list[Any] = [Tied(), Tied()]
    nets[1].load_state_dict(nets[0].state_dict())
    ours: Any = AdamW(weight_decay=0.1).bind(nets[0], lr=0.1, fused=fused)
    theirs: Any = torch.optim.AdamW(
        nets[1].parameters(), lr=0.1, weight_decay=0.1, foreach=False
    )

    def train(*, is_zeroed: bool = True) -> None:
        for net, optimizer in zip(nets, (ours, theirs), strict=True):
            if is_zeroed:
                optimizer.zero_grad(set_to_none=set_to_none)
            hidden = net.body(net.embed(torch.arange(10)))
            net.head(hidden).square().mean().backward()
            optimizer.step()

    train()
    before = nets[0].body[0].weight.detach().clone()
    burnish.freeze(nets[0], "body.0.*")
    for parameter in nets[1].body[0].parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    # The gradients of the step before are still there for the others.
    train(is_zeroed=False)
    train()

    assert torch.equal(nets[0].body[0].weight, before)
    assert ours.state[nets[0].body[0].weight]["step"] == 1

    burnish.thaw(nets[0], "body.0.*")
    for parameter in nets[1].body[0].parameters():
        parameter.requires_grad_(True)
    train()

    assert ours.state[nets[0].body[0].weight]["step"] == 2
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-6)


def test_a_gradient_from_before_is_not_stepped_after_freezing() -> None:
    net = nn.Linear(2, 2)
    optimizer = SGD(momentum=0.9).bind(net, lr=1.0)
    net(torch.ones(1, 2)).sum().backward()
    before = net.weight.detach().clone()

    burnish.freeze(net, "weight")
    optimizer.step()

    assert torch.equal(net.weight, before)
    assert net.weight.grad is None


def test_a_frozen_module_saves_and_builds_frozen() -> None:
    net = nn.Linear(2, 2)
    burnish.freeze(net, "bias")

    again = burnish.from_record(lambda: nn.Linear(2, 2), burnish.save_record(net))

    assert frozen(again) == ["bias"]
    assert [e.path for e in burnish.core.into_record(again).entries()] == [
        "weight",
        "bias",
    ]
    selected = burnish.core.into_record(again).select(only=burnish.trainable)
    assert [e.path for e in selected.entries()] == ["weight"]


def test_lazy_parameters_stay_frozen_when_they_get_their_shape() -> None:
    net = nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 1))

    burnish.freeze(net, "0.*")
    net(torch.ones(1, 3))

    assert frozen(net) == ["0.weight", "0.bias"]


def test_wrappers_are_looked_through() -> None:
    net = Tied()
    compiled: Any = torch.compile(net, backend="eager")

    assert burnish.freeze(nn.DataParallel(net), "body.0.*") == [
        "body.0.weight",
        "body.0.bias",
    ]
    assert burnish.thaw(compiled, "body.0.weight") == ["body.0.weight"]
    assert frozen(net) == ["body.0.bias"]


def test_parameters_of_whole_numbers_are_never_thawed() -> None:
    net = nn.Linear(2, 2)
    net.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)

    burnish.freeze(net, "**")

    assert burnish.thaw(net, "**") == ["bias"]
    with pytest.raises(ValueError, match=r"integers.*weight is torch\.int8"):
        burnish.thaw(net, "weight")


@pytest.mark.parametrize("verb", [burnish.freeze, burnish.thaw, burnish.num_params])
@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        ("body", r"body is a module: \w+\(net, 'body\.\*\*'\)"),
        ("body.0.wieght", r"matches no parameter; there are embed\.weight.*Did you"),
        (["nothing.**", "x"], "matches no parameter"),
    ],
)
def test_what_matches_nothing_is_an_error_with_what_there_is(
    verb: Any, patterns: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        verb(Tied(), patterns)


def test_a_predicate_may_match_nothing_and_what_is_no_module_is_refused() -> None:
    assert burnish.freeze(Tied(), lambda param: False) == []
    with pytest.raises(TypeError, match="freeze: the first argument is a list"):
        burnish.freeze([], "**")  # type: ignore[arg-type]  # the point
    with pytest.raises(TypeError, match="pattern must be a str or a predicate"):
        burnish.freeze(Tied(), True)  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize("verb", [burnish.freeze, burnish.thaw, burnish.num_params])
def test_a_misspelt_pattern_among_others_changes_nothing(verb: Any) -> None:
    net = Tied()

    with pytest.raises(ValueError, match=r"'hed\.\*\*' matches no parameter"):
        verb(net, ["body.**", "hed.**"])

    assert frozen(net) == []


def test_without_patterns_all_of_a_module_is_meant() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))

    assert burnish.freeze(net[0]) == ["weight", "bias"]
    assert not net[0].weight.requires_grad
    assert net[1].weight.requires_grad
    assert len(burnish.thaw(net)) == 4


def test_one_star_below_a_module_is_answered_with_two() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2)))

    with pytest.raises(ValueError, match=r"freeze\(net, '0\.\*\*'\)"):
        burnish.freeze(net, "0.*")
