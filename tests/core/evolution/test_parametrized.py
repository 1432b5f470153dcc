"""Rules for a tensor that a record has parametrized, in the ways of torch."""

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

import burnish
from burnish.config import DeleteField, MapFieldValue, RenameField
from burnish.core import TransposeTensor
from burnish.records.errors import RecordMismatchError


class _Same(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@burnish.module
class Old(nn.Sequential):
    pass


def upgraded(*rules: Any) -> Any:
    @burnish.module(version=1, upgrade_rules={0: [*rules]})
    class New(nn.Sequential):
        pass

    return New


def _older(hook: Any) -> Any:
    def wrap(layer: nn.Module, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            hook(layer, name)

    return wrap


HOOKS: dict[str, Any] = {
    "parametrization": lambda layer, name: register_parametrization(
        layer, name, _Same()
    ),
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "older weight_norm": _older(weight_norm),
    "older spectral_norm": _older(spectral_norm),
    "pruning": lambda layer, name: prune.random_unstructured(layer, name, 0.5),  # type: ignore[no-untyped-call]
}
RULES = [
    TransposeTensor("*.weight"),
    MapFieldValue("0.weight", torch.neg),
    DeleteField("0.weight"),
    RenameField("0.weight", "0.kernel"),
]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_does_not_pass_a_parametrized_tensor_silently(
    rule: Any, hook: str
) -> None:
    old, new = Old(nn.Linear(3, 3)), upgraded(rule)(nn.Linear(3, 3))
    for net in (old, new):
        HOOKS[hook](net[0], "weight")

    with pytest.raises(RecordMismatchError, match=r"has 0\.weight parametrized, as 0"):
        burnish.load_record(new, burnish.save_record(old))


def test_the_cure_is_to_take_the_parametrization_away() -> None:
    old = Old(nn.Linear(3, 3))
    register_parametrization(old[0], "weight", _Same())
    remove_parametrizations(old[0], "weight")

    plain = upgraded(TransposeTensor("*.weight"))(nn.Linear(3, 3))
    burnish.load_record(plain, burnish.save_record(old))

    assert torch.equal(plain.state_dict()["0.weight"], old.state_dict()["0.weight"].T)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("rule", [RenameField("0", "1"), DeleteField("0.bias")])
def test_a_rule_for_the_module_or_for_another_tensor_is_followed(
    rule: Any, hook: str
) -> None:
    is_moved = isinstance(rule, RenameField)
    old = Old(nn.Linear(3, 3))
    moved = [nn.Identity(), nn.Linear(3, 3)]
    new = upgraded(rule)(*(moved if is_moved else [nn.Linear(3, 3, bias=False)]))
    HOOKS[hook](old[0], "weight")
    HOOKS[hook](new[-1], "weight")

    burnish.load_record(new, burnish.save_record(old))

    values = new[-1].state_dict()
    for name, value in old[0].state_dict().items():
        assert name == "bias" or torch.equal(values[name], value)


@pytest.mark.parametrize("later_rules", [[], [RenameField("0", "1")]])
def test_a_later_move_of_the_module_is_no_rule_for_its_names(
    later_rules: list[Any],
) -> None:
    old = Old(nn.Linear(3, 3))
    new = upgraded(RenameField("0.weight", "0.kernel"), *later_rules)(nn.Linear(3, 3))
    register_parametrization(old[0], "weight", _Same())

    with pytest.raises(RecordMismatchError, match=r"has 0\.weight parametrized, as 0"):
        burnish.load_record(new, burnish.save_record(old))


@pytest.mark.parametrize(
    ("hook", "transposed", "others"),
    [
        ("parametrization", "parametrizations.weight.original", []),
        ("older weight_norm", "weight_v", ["weight_g"]),
    ],
)
def test_a_rule_for_the_names_of_a_parametrization_meets_its_tensor(
    hook: str, transposed: str, others: list[str]
) -> None:
    rules = [
        TransposeTensor("0.weight"),
        TransposeTensor(f"0.{transposed}"),
        *(MapFieldValue(f"0.{name}", torch.abs) for name in others),
    ]
    old, new = Old(nn.Linear(3, 3)), upgraded(*rules)(nn.Linear(3, 3))
    for net in (old, new):
        HOOKS[hook](net[0], "weight")

    burnish.load_record(new, burnish.save_record(old))

    values = new[0].state_dict()
    assert torch.equal(values[transposed], old[0].state_dict()[transposed].T)
