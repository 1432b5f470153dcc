"""Groups of optimizers follow fields of the config."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch

from burnish.config import ConfigError, load
from burnish.config.process.transaction import Transaction, all_or_nothing
from burnish.optim import LBFGS, SGD, AdamW
from burnish.optim.schedulers import Cosine
from burnish.train.hyperstate.bound_optimizers import BoundOptimizers


@dataclass
class Config:
    lr: float = 0.1
    decay: float = 0.0
    name: str = "a"


TORCH: dict[str, Any] = {
    name: cls
    for name, cls in vars(torch.optim).items()
    if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
}
TORCH.pop("Optimizer")


def params() -> Any:
    return [torch.zeros(2, requires_grad=True)]


def weights() -> Any:
    return [torch.zeros(2, 2, requires_grad=True)]


def test_groups_have_what_the_config_says_from_the_start_on() -> None:
    optim = torch.optim.AdamW([{"params": params()}, {"params": params(), "lr": 9.0}])
    bound = BoundOptimizers()

    bound.bind(optim, Config(), {"lr": "lr", "weight_decay": "decay"})
    assert [g["lr"] for g in optim.param_groups] == [0.1, 0.1]
    bound.update(Config(lr=0.2, decay=0.5))

    assert [g["lr"] for g in optim.param_groups] == [0.2, 0.2]
    assert optim.param_groups[1]["weight_decay"] == 0.5


def test_one_group_follows_alone() -> None:
    optim = torch.optim.SGD([{"params": params()}, {"params": params()}], lr=9.0)
    bound = BoundOptimizers()

    bound.bind(optim.param_groups[1], Config(), {"lr": "lr"})

    assert [g["lr"] for g in optim.param_groups] == [9.0, 0.1]


def test_optimizers_of_burnish_follow_too() -> None:
    net = torch.nn.Linear(2, 1)
    optim = AdamW().bind(net, lr=9.0)
    bound = BoundOptimizers()

    bound.bind(optim, Config(lr=0.0, decay=0.25), {"lr": "lr", "weight_decay": "decay"})
    before = net.weight.detach().clone()
    net(torch.ones(1, 2)).sum().backward()
    optim.step()

    assert torch.equal(net.weight, before)
    assert optim.param_groups[0]["weight_decay"] == 0.25


def test_a_rate_in_a_tensor_stays_that_tensor() -> None:
    rate = torch.tensor(9.0)
    optim = torch.optim.Adam(params(), lr=rate)
    bound = BoundOptimizers()

    bound.bind(optim, Config(), {"lr": "lr"})
    transaction = Transaction()
    bound.edit(Config(lr=0.5), transaction)

    assert optim.param_groups[0]["lr"] is rate
    assert rate.item() == 0.5
    transaction.undo()
    assert rate.item() == pytest.approx(0.1)


def test_a_number_that_knows_its_schedule_is_bare_in_a_group() -> None:
    optim = torch.optim.SGD(params(), lr=9.0)
    bound = BoundOptimizers()

    bound.bind(optim, load(Config, None, ["lr=step: 0.5@0 lin 0.0@10"]), {"lr": "lr"})

    assert type(optim.param_groups[0]["lr"]) is float


def test_a_value_that_somebody_set_stays_until_the_field_changes() -> None:
    optim = torch.optim.SGD(params(), lr=9.0)
    bound = BoundOptimizers()
    bound.bind(optim, Config(), {"lr": "lr"})
    optim.param_groups[0]["lr"] = 0.7

    bound.update(Config(decay=1.0))
    assert optim.param_groups[0]["lr"] == 0.7
    transaction = Transaction()
    bound.edit(Config(lr=0.2), transaction)
    assert optim.param_groups[0]["lr"] == 0.2
    transaction.undo()

    assert optim.param_groups[0]["lr"] == 0.7


def test_a_group_that_refuses_its_value_keeps_all_as_they_were() -> None:
    first, second = (
        torch.optim.SGD(params(), lr=9.0),
        SGD().bind(torch.nn.Linear(2, 1), lr=9.0),
    )
    bound = BoundOptimizers()
    bound.bind(first, Config(), {"lr": "lr"})
    bound.bind(second, Config(), {"momentum": "decay"})

    with pytest.raises(ValueError, match="momentum"):
        bound.update(Config(lr=0.2, decay=-5.0))

    assert first.param_groups[0]["lr"] == 0.1
    bound.update(Config(lr=0.2))
    assert first.param_groups[0]["lr"] == 0.2


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({"momentun": "lr"}, "no 'momentun'.*did you mean 'momentum'"),
        ({"lr": "rate"}, "in the config, expected a number, found None"),
        ({"lr": "name"}, "found 'a'"),
        ({"lr": ""}, "path ''"),
    ],
)
def test_what_leads_to_no_number_is_told(paths: dict[str, str], message: str) -> None:
    optim = torch.optim.SGD(params(), lr=9.0)

    with pytest.raises(ValueError, match=f"(?i){message}"):
        BoundOptimizers().bind(optim, Config(), paths)
    assert optim.param_groups[0]["lr"] == 9.0


def test_a_group_with_a_schedule_of_its_own_is_told() -> None:
    schedule = Cosine(0.1, 10)
    optim = SGD().bind(torch.nn.Linear(2, 1), lr=schedule)

    with pytest.raises(ValueError, match="own schedule"):
        BoundOptimizers().bind(optim, Config(), {"lr": "lr"})


@pytest.mark.parametrize("name", sorted(TORCH))
def test_an_edit_that_an_optimizer_of_torch_refuses_when_made_is_refused(
    name: str,
) -> None:
    optim = TORCH[name](weights(), lr=0.5)
    bound = BoundOptimizers()
    bound.bind(optim, Config(), {"lr": "lr"})

    all_or_nothing(partial(bound.edit, Config(lr=0.25)))
    with pytest.raises(ConfigError, match=f"lr: {name} refuses it: .*-1"):
        all_or_nothing(partial(bound.edit, Config(lr=-1.0)))

    assert optim.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("template", [SGD(), AdamW(), LBFGS()])
@pytest.mark.parametrize("rate", [-1.0, float("nan")])
def test_an_edit_of_a_rate_that_an_optimizer_of_burnish_refuses_is_refused(
    template: Any, rate: float
) -> None:
    optim = template.bind(torch.nn.Linear(2, 1), lr=0.5)
    bound = BoundOptimizers()
    bound.bind(optim, Config(), {"lr": "lr"})

    with pytest.raises(ConfigError, match=rf"lr: \w+ refuses it: .*{rate}"):
        all_or_nothing(partial(bound.edit, Config(lr=rate)))

    assert optim.param_groups[0]["lr"] == 0.1
    all_or_nothing(partial(bound.edit, Config(lr=0.0)))
    assert optim.param_groups[0]["lr"] == 0.0


def test_a_schedule_is_not_asked_what_torch_refuses() -> None:
    optim = torch.optim.SGD(params(), lr=0.5)
    bound = BoundOptimizers()
    bound.bind(optim, Config(), {"lr": "lr"})

    bound.update(Config(lr=-1.0))

    assert optim.param_groups[0]["lr"] == -1.0


@dataclass
class Betas:
    betas: tuple[float, float] = (0.5, 0.9)


def test_several_numbers_follow_as_well() -> None:
    optim = torch.optim.Adam(params())
    bound = BoundOptimizers()

    bound.bind(optim, Betas(), {"betas": "betas"})
    assert optim.param_groups[0]["betas"] == (0.5, 0.9)
    with pytest.raises(ConfigError, match="betas: Adam refuses it"):
        all_or_nothing(partial(bound.edit, Betas(betas=(0.5, 1.5))))

    assert optim.param_groups[0]["betas"] == (0.5, 0.9)


def test_what_is_no_optimizer_is_told() -> None:
    with pytest.raises(TypeError, match="expected an optimizer"):
        BoundOptimizers().bind(params(), Config(), {"lr": "lr"})


@dataclass
class AnyBetas:
    betas: Any = (0.5, 0.9)


@pytest.mark.parametrize("betas", [(0.5, 0.9, 0.99), 0.5, None])
def test_an_edit_of_another_form_than_the_groups_have_is_refused(betas: Any) -> None:
    optim = torch.optim.Adam(params())
    bound = BoundOptimizers()
    bound.bind(optim, AnyBetas(), {"betas": "betas"})

    with pytest.raises(ConfigError, match="betas: expected 2 numbers, found"):
        all_or_nothing(partial(bound.edit, AnyBetas(betas=betas)))

    assert optim.param_groups[0]["betas"] == (0.5, 0.9)


@pytest.mark.parametrize("is_group", [False, True])
def test_groups_follow_after_a_state_dict_was_loaded(is_group: bool) -> None:
    optim = torch.optim.SGD(params(), lr=9.0)
    bound = BoundOptimizers()
    target: Any = optim.param_groups[0] if is_group else optim
    bound.bind(target, Config(), {"lr": "lr"}, [optim])

    optim.load_state_dict(optim.state_dict())
    bound.update(Config(lr=0.2))

    assert optim.param_groups[0]["lr"] == 0.2


def test_groups_that_are_added_follow_and_removed_ones_are_left() -> None:
    optim = torch.optim.SGD([{"params": params()}, {"params": params()}], lr=9.0)
    bound = BoundOptimizers()
    bound.bind(optim.param_groups[1], Config(), {"lr": "lr"}, [optim])
    bound.bind(optim, Config(), {"weight_decay": "decay"})

    del optim.param_groups[1]
    bound.update(Config(lr=0.2, decay=0.5))
    optim.add_param_group({"params": params()})
    bound.update(Config(lr=0.3, decay=0.25))

    assert [g["weight_decay"] for g in optim.param_groups] == [0.25, 0.25]
    assert [g["lr"] for g in optim.param_groups] == [9.0, 0.3]


def test_an_edit_of_one_group_is_asked_what_its_optimizer_refuses() -> None:
    optim = torch.optim.SGD(params(), lr=9.0)
    bound = BoundOptimizers()
    bound.bind(optim.param_groups[0], Config(), {"lr": "lr"}, [optim])

    with pytest.raises(ConfigError, match="lr: SGD refuses it"):
        all_or_nothing(partial(bound.edit, Config(lr=-1.0)))


def test_a_rate_that_a_scheduler_sets_too_is_warned_of() -> None:
    optim = torch.optim.SGD(params(), lr=9.0)
    bound = BoundOptimizers()
    bound.bind(optim, Config(), {"lr": "lr", "weight_decay": "decay"})
    torch.optim.lr_scheduler.StepLR(optim, 10)

    with pytest.warns(RuntimeWarning, match="lr: .*scheduler of torch"):
        bound.edit(Config(lr=0.2), Transaction())
    bound.edit(Config(lr=0.2, decay=0.5), Transaction())
    with pytest.warns(RuntimeWarning, match="lr: .*scheduler of torch"):
        BoundOptimizers().bind(optim, Config(), {"lr": "lr"})


@pytest.mark.parametrize("rate", [9.0, torch.tensor(9.0)])
def test_a_restored_number_that_the_config_did_not_set_is_warned_of(rate: Any) -> None:
    optim = torch.optim.Adam(params(), lr=rate, betas=(0.5, 0.9))

    with pytest.warns(RuntimeWarning, match="lr: the checkpoint stores 9.0.* lr=9.0"):
        BoundOptimizers().bind(optim, Config(), {"lr": "lr"}, [optim], Config())

    assert float(optim.param_groups[0]["lr"]) == pytest.approx(0.1)


def test_restored_numbers_of_the_config_and_changed_fields_are_no_news() -> None:
    optim = torch.optim.Adam(params(), lr=torch.tensor(0.1), betas=(0.5, 0.9))
    other = torch.optim.SGD(params(), lr=9.0)
    optim.param_groups[0]["betas"] = [0.5, 0.9]

    BoundOptimizers().bind(optim, Config(), {"lr": "lr"}, [optim], Config())
    BoundOptimizers().bind(optim, Betas(), {"betas": "betas"}, [optim], Betas())
    BoundOptimizers().bind(other, Config(), {"lr": "lr"}, [optim], Config())
    BoundOptimizers().bind(optim, Config(lr=0.2), {"lr": "lr"}, [optim], Config())

    assert optim.param_groups[0]["lr"] == pytest.approx(0.2)
