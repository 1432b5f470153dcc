"""Burn's own numbers: its unit tests as data, corrected where they were loose."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    LBFGS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Adan,
    ClipNorm,
    ClipValue,
    Group,
    Muon,
    RMSprop,
    schedulers,
)
from burnish.optim.muon import adjusted, orthogonalized

from .nets import plist, tree

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "burn_vectors.json").read_text()
)


def by_id(section: str, *ids: str) -> list[Any]:
    found = [v for v in VECTORS[section] if not ids or v["id"] in ids]
    return [pytest.param(v, id=v["id"]) for v in found]


def one(section: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(v for v in VECTORS[section] if v["id"] == name)
    return found


def simple_of(vector: dict[str, Any]) -> Any:
    """Return the optimizer of a vector, Burn's defaults filled in."""
    c = dict(vector["config"])
    betas = (c.get("beta_1", 0.9), c.get("beta_2", 0.999))
    eps = c.get("epsilon", 1e-5)
    decay = c.get("weight_decay", 0.0)
    if vector["optimizer"] == "Adam":
        return Adam(
            betas=betas, eps=eps, weight_decay=decay, amsgrad=c.get("amsgrad", False)
        )
    if vector["optimizer"] == "AdamW":
        cautious = c.get("cautious_weight_decay", False)
        return AdamW(
            betas=betas,
            eps=eps,
            weight_decay=decay,
            amsgrad=c.get("amsgrad", False),
            cautious=cautious,
        )
    if vector["optimizer"] == "Adan":
        three = (c.get("beta_1", 0.98), c.get("beta_2", 0.92), c.get("beta_3", 0.99))
        return Adan(betas=three, eps=eps, weight_decay=decay)
    if vector["optimizer"] == "AdaGrad":
        return Adagrad(lr_decay=c.get("lr_decay", 0.0), eps=eps, weight_decay=decay)
    assert vector["optimizer"] == "RmsProp"
    momentum = c.get("momentum", 0.9)
    return RMSprop(
        alpha=c.get("alpha", 0.99), momentum=momentum, eps=eps, weight_decay=decay
    )


def inputs_of(vector: dict[str, Any]) -> list[Tensor]:
    given = vector["inputs"]
    if isinstance(given, dict):
        return [torch.full(given["shape"], scale) for scale in given["scales"]]
    return [torch.tensor(x) for x in given]


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("vector", by_id("optimizers"))
def test_a_layer_trained_by_burn_ends_at_the_same_weights(
    vector: dict[str, Any], fused: bool | None
) -> None:
    weight, bias = torch.tensor(vector["weight"]), torch.tensor(vector["bias"])
    layer: Any = nn.Linear(weight.shape[0], weight.shape[1])
    # Burn keeps a linear layer's weight as (inputs, outputs).
    layer.weight.data, layer.bias.data = weight.t().contiguous(), bias
    adaptor = simple_of(vector).bind(layer, lr=vector["learning_rate"], fused=fused)

    for x in inputs_of(vector):
        adaptor.zero_grad()
        layer(x).sum().backward()
        adaptor.step()

    if "property" in vector["expected"]:
        assert not layer.weight.isnan().any()
        return
    tolerance = vector["tolerance"]["absolute"]
    for found, name in ((layer.weight.t(), "weight"), (layer.bias, "bias")):
        expected = torch.tensor(vector["expected"][name])
        assert (found - expected).abs().max().item() < tolerance


def test_muon_adjusts_the_learning_rate_as_burn_does() -> None:
    rules = {"Muon.test_adjust_lr_fn_original": "original"}
    rules["Muon.test_adjust_lr_fn_match_rms_adamw"] = "match_rms_adamw"
    for name, rule in rules.items():
        for case in one("muon", name)["cases"]:
            assert adjusted(rule, *case["shape"]) == pytest.approx(
                case["ratio"], abs=1e-8
            )


def test_muon_refuses_a_vector_in_words() -> None:
    with pytest.raises(ValueError, match="requires 2D tensors, got 1D"):
        orthogonalized(torch.ones(512), (3.4445, -4.775, 2.0315), 5, 1e-7)
    with pytest.raises(ValueError, match=r"bias: Muon steps matrices only"):
        Muon().bind(nn.Linear(2, 2), lr=0.01)


def test_newton_schulz_makes_a_matrix_nearly_orthogonal() -> None:
    vector = one("muon", "Muon.test_newton_schulz_orthogonalization")
    matrix = torch.tensor(vector["input"])

    found = orthogonalized(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7).float()

    assert ((found @ found.T).diagonal() - 1).abs().max() < 0.1


def test_tall_and_wide_matrices_keep_their_shape() -> None:
    vector = one("muon", "Muon.test_tall_matrix_transpose")["input"]
    for name in ("tall", "wide"):
        matrix = torch.tensor(vector[name])

        found = orthogonalized(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7)

        assert found.shape == matrix.shape
        assert not torch.equal(found.float(), matrix)


def test_muon_decays_and_stands_a_gradient_of_zero() -> None:
    for decay in (0.0, 0.01):
        module = nn.Linear(4, 4, bias=False)
        before = module.weight.detach().clone()
        module.weight.grad = torch.zeros(4, 4)

        Muon(weight_decay=decay).bind(module, lr=0.01).step()

        assert torch.allclose(module.weight, before * (1 - 0.01 * decay), atol=1e-7)


LBFGS_IDS = [
    "LBFGS.test_lbfgs_strong_wolfe_comparison",
    "LBFGS.test_lbfgs_no_strong_wolfe_comparison",
]


@pytest.mark.parametrize("vector", by_id("lbfgs", *LBFGS_IDS))
def test_lbfgs_is_that_of_burn(vector: dict[str, Any]) -> None:
    x, y = torch.tensor(vector["x"]), torch.tensor(vector["y"])
    layer: Any = nn.Linear(1, 1)
    search = vector["config"]["line_search_fn"]
    # The first loss tells where the vector starts.
    layer.weight.data, layer.bias.data = torch.tensor([[0.5]]), torch.tensor([0.1])
    spec = LBFGS(max_eval=25, line_search_fn=search)
    optimizer: Any = spec.bind(layer, lr=vector["learning_rate"])
    losses: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Any = (layer(x) - y).square().sum()
        loss.backward()
        losses.append(loss.item())
        found: Tensor = loss
        return found

    optimizer.step(closure)

    expected = vector["expected"]
    assert losses[0] == pytest.approx(expected["initial_loss"], abs=1e-4)
    assert (layer(x) - y).square().sum().item() == pytest.approx(
        expected["final_loss"], abs=1e-4
    )
    assert layer.weight.item() == pytest.approx(expected["weight"], abs=1e-5)
    assert layer.bias.item() == pytest.approx(expected["bias"], abs=1e-5)


def schedule(kind: Any, *args: Any) -> schedulers.Scheduler:
    """Return the schedule that a vector names, or a list of name and numbers."""
    if isinstance(kind, list):
        return schedule(*kind)
    made: Any = {"CosineAnnealing": "Cosine"}.get(kind, kind)
    if made == "Cosine" and len(args) == 3:
        args = (args[0], args[2], args[1])
    found: schedulers.Scheduler = getattr(schedulers, made)(*args)
    return found


NAMES = {"num_iters": "n_iters", "lr": "value"}


def schedule_of(vector: dict[str, Any]) -> schedulers.Scheduler:
    config: dict[str, Any] = {
        NAMES.get(str(k), str(k)): v
        for k, v in vector["config"].items()
        if not isinstance(v, str)
    }
    if vector["scheduler"] == "Sequential":
        children = [schedule(child) for child in config["schedulers"]]
        return schedulers.Sequential(children, config["milestones"])
    kind: str = vector["scheduler"].replace("CosineAnnealing", "Cosine")
    found: schedulers.Scheduler = getattr(schedulers, kind)(**config)
    return found


WITH_RATES = [v for v in VECTORS["lr_schedulers"] if "expected_lrs" in v]


@pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in WITH_RATES])
def test_schedules_give_burns_learning_rates_also_when_resumed(
    vector: dict[str, Any],
) -> None:
    for saved_at in range(len(vector["expected_lrs"])):
        made = schedule_of(vector)

        found = [made.step() for _ in range(saved_at)]
        resumed = type(made).load(made.save())  # type: ignore[arg-type]  # bytes, since no file was given
        found += [resumed.step() for _ in vector["expected_lrs"][saved_at:]]

        assert found == pytest.approx(vector["expected_lrs"], abs=1e-10)


def test_noam_rises_to_its_warm_up_and_falls_after() -> None:
    vector = one("lr_schedulers", "Noam.test_function_increase_and_decrease")
    made = schedulers.Noam(10.0, warmup_steps=100)

    rates = [made.step() for _ in range(200)]

    assert all(a < b for a, b in pairwise(rates[:100]))
    assert all(a > b for a, b in pairwise(rates[99:]))
    for step, expected in vector["derived_lrs"].items():
        assert rates[int(step) - 1] == pytest.approx(expected, abs=1e-12)


def error_case(vector: dict[str, Any]) -> dict[str, Any]:
    if vector["config"].get("schedulers") == "3 schedulers":
        three = [["Constant", 0.1]] * 3
        return {**vector, "config": {**vector["config"], "schedulers": three}}
    return vector


TAKEN_HERE = {0, 1, 3, 5, 6, 9, 10, 12}
"""Burn refuses a rate of 0 or above 1 and a cosine that rises; see docs."""


@pytest.mark.parametrize("number", range(len(VECTORS["lr_scheduler_config_errors"])))
def test_wrong_schedules_are_refused_in_burns_words(number: int) -> None:
    vector = error_case(VECTORS["lr_scheduler_config_errors"][number])
    words = vector["expected_error"]

    if words is None or number in TAKEN_HERE:
        assert schedule_of(vector).step() >= 0
    else:
        # What the range ends at is ours, where it is a rate.
        with pytest.raises(ValueError, match=words.split(" and at most")[0]):
            schedule_of(vector)


@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf])
def test_rates_that_are_none_are_refused(rate: float) -> None:
    for make in (
        lambda: schedulers.Linear(rate, 0.1, 3),
        lambda: schedulers.Linear(0.1, rate, 3),
        lambda: schedulers.Cosine(rate, 3),
        lambda: schedulers.Cosine(0.1, 3, min_lr=rate),
        lambda: schedulers.Exponential(rate, 0.5),
        lambda: schedulers.Constant(rate),
    ):
        with pytest.raises(ValueError, match="must be at least 0"):
            make()


def test_rates_begin_at_zero_and_go_above_one() -> None:
    assert schedulers.Linear(0.0, 8.0, 4).at(1) == 2.0
    assert schedulers.Cosine(0.0, 2, min_lr=3.0).at(2) == pytest.approx(3.0)
    assert schedulers.Exponential(4.0, 0.5).at(1) == 2.0


def test_groups_have_schedules_of_their_own_and_the_last_match_wins() -> None:
    net = tree(backbone=nn.Linear(2, 2), head=nn.Linear(2, 2))
    lr = schedulers.Linear(0.001, 0.0001, 4)
    groups = [
        Group("**", lr=0.5),
        Group("backbone.**", lr=schedulers.Linear(0.1, 0.01, 4)),
    ]
    adaptor = SGD().bind(net, lr=lr, groups=[groups[1]])
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)

    seen = []
    for _ in range(2):
        adaptor.step()
        seen.append([group["lr"] for group in adaptor.param_groups])
    fresh = Group("backbone.**", lr=schedulers.Linear(0.1, 0.01, 4))
    shadowed = SGD().bind(net, lr=lr, groups=[groups[0], fresh])

    assert seen == [[0.001, 0.1], pytest.approx([0.000775, 0.0775])]
    assert [g["lr"] for g in shadowed.param_groups] == [0.5, 0.1]


@pytest.mark.parametrize(
    "vector",
    by_id(
        "gradient_clipping",
        "GradientClipping.test_clip_by_value",
        "GradientClipping.test_clip_by_norm",
    ),
)
@pytest.mark.parametrize("fused", [False, None, True])
def test_gradients_are_clipped_to_burns_numbers(
    vector: dict[str, Any], fused: bool | None
) -> None:
    grad = torch.tensor(vector["grad"])
    module = plist(torch.zeros_like(grad))
    module[0].grad = grad.clone()
    clip: Any = {"Value": ClipValue, "Norm": ClipNorm}[vector["kind"]](
        vector["threshold"]
    )

    SGD().bind(module, lr=1.0, clip=clip, fused=fused).step()

    expected = torch.tensor(vector["expected"]["derived_exact"])
    assert torch.allclose(-module[0], expected, atol=1e-6)
    assert torch.equal(module[0].grad, grad)
    assert math.isfinite(module[0].sum().item())
