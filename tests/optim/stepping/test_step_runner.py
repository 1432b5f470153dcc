"""A step with closures, hooks, scalers and gradients that are not finite."""

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler as schedules

from burnish.optim import (
    NonFiniteGradientError,
    SimpleOptimizer,
    engine_report,
)
from burnish.optim.schedulers import Step

from ..nets import (
    UserAdamW,
    X,
    adamw,
    backward,
    drive,
    layers,
    same,
    set_grads,
    values,
)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("fused", [False, None, True])
def test_gradients_that_are_not_finite_follow_the_policy(
    bad: float, fused: bool | None
) -> None:
    for policy in ("pass", "skip", "error"):
        net = layers()
        adaptor = UserAdamW().bind(net, lr=1e-2, nonfinite=policy, fused=fused)
        drive(adaptor, net, 1)
        set_grads(net, 2)
        net[2].bias.grad[1] = bad
        before = values(net)

        if policy == "error":
            with pytest.raises(NonFiniteGradientError, match=r"2\.bias") as caught:
                adaptor.step()
            assert pickle.loads(pickle.dumps(caught.value)).paths == ["2.bias"]
        else:
            adaptor.step()

        if policy == "pass":
            assert not net[2].bias.isfinite().all()
        else:
            assert same(before, net)
            assert adaptor.state[net[2].bias]["t"] == 1


def test_an_error_in_the_authors_step_leaves_all_parameters() -> None:
    class Failing(SimpleOptimizer[None]):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
            raise KeyError("mine")

    net = layers()
    set_grads(net, 1)
    before = values(net)

    for fused in (False, None, True):
        with pytest.raises(KeyError, match="mine"):
            Failing().bind(net, lr=1e-2, fused=fused).step()

    assert same(before, net)


def test_closures_run_with_gradients_and_their_loss_comes_back() -> None:
    module = layers()
    adaptor = adamw(module)
    before = values(module)

    def closure() -> Tensor:
        adaptor.zero_grad()
        return backward(module)

    with torch.no_grad():
        losses = [adaptor.step(closure), adaptor.step(closure=closure)]

    assert losses[1].item() < losses[0].item()
    assert not torch.equal(before[0], module[0].weight)


def test_hooks_run_once_each_and_around_the_step() -> None:
    module = layers()
    adaptor = adamw(module)
    schedules.StepLR(adaptor, 2)
    called: list[str] = []
    before = module[0].weight.detach().clone()

    def pre(optimizer: Any, args: Any, kwargs: Any) -> None:
        called.append("pre" if torch.equal(before, module[0].weight) else "late")

    def post(optimizer: Any, args: Any, kwargs: Any) -> None:
        called.append("early" if torch.equal(before, module[0].weight) else "post")

    adaptor.register_step_pre_hook(pre)
    adaptor.register_step_post_hook(post)
    backward(module)
    adaptor.step()

    assert called == ["pre", "post"]


def test_a_profile_names_the_step() -> None:
    module = layers()
    adaptor = adamw(module)
    backward(module)

    with torch.autograd.profiler.profile() as profile:
        adaptor.step()

    found: Any = profile
    assert any("OptimizerAdaptor.step" in event.key for event in found.key_averages())


def test_a_grad_scaler_unscales_clips_and_steps() -> None:
    module = layers()
    adaptor = adamw(module)
    before = module[0].weight.detach().clone()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)  # type: ignore[attr-defined]  # torch exports it late

    scaler.scale(module(X).square().mean()).backward()
    scaler.unscale_(adaptor)
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    scaler.step(adaptor)
    scaler.update()
    module[0].weight.grad = torch.full_like(before, float("inf"))
    after = module[0].weight.detach().clone()
    scaler.scale(torch.ones(()))
    scaler.step(adaptor)

    assert not torch.equal(before, after)
    assert torch.equal(after, module[0].weight)


def test_a_save_leaves_the_rate_of_the_last_step() -> None:
    net = layers()
    adaptor = UserAdamW().bind(net, lr=Step(1.0, 1, 0.5))
    drive(adaptor, net, 1)

    adaptor.save_record()
    engine_report(adaptor)

    assert adaptor.param_groups[0]["lr"] == 1.0
    drive(adaptor, net, 1)
    assert adaptor.param_groups[0]["lr"] == 0.5
