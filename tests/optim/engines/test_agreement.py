# pyright: reportPrivateUsage=false
# Which kernels are borrowed is the engine's own table.
"""A kernel of torch is used only if it gives the numbers of the step."""

from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import SGD, Adam, AdamW, engine_report
from burnish.optim.engines import torch_fused

from ..nets import engine_names, plist


def test_a_kernel_that_gives_other_numbers_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lazy(step: Any, bucket: Any, grads: list[Tensor]) -> None:
        """Step all but the last element of long tensors."""
        for param, grad in zip(bucket.params, grads, strict=True):
            param[:1000].sub_(grad[:1000], alpha=step.lr)

    monkeypatch.setitem(torch_fused._KERNELS, "sgd", lazy)
    monkeypatch.setattr("burnish.optim.engines.agreement._answers", {})
    net = plist(torch.ones(2000))
    adaptor = SGD().bind(net, lr=0.5)

    assert engine_names(adaptor) == {"blocks"}
    assert "torch's kernel gives different numbers" in engine_report(adaptor)[0].why


def test_a_kernel_that_is_worse_in_some_elements_only_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def coarse(step: Any, bucket: Any, grads: list[Tensor]) -> None:
        """Step as torch does, and every eighth element a unit beside it."""
        torch_fused._adam(step, bucket, grads)
        for param in bucket.params:
            param[::8].view(torch.int16).add_(1)

    monkeypatch.setitem(torch_fused._KERNELS, "adamw", coarse)
    monkeypatch.setattr("burnish.optim.engines.agreement._answers", {})
    net = plist(torch.ones(2000, dtype=torch.bfloat16))

    assert engine_names(AdamW().bind(net, lr=0.5)) == {"blocks"}


def test_a_kernel_that_agrees_is_used_and_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: dict[Any, bool] = {}
    monkeypatch.setattr("burnish.optim.engines.agreement._answers", answers)

    for lr in (0.1, 0.2):
        net = plist(torch.ones(20))
        assert engine_names(AdamW().bind(net, lr=lr)) == {"torch_fused"}

    assert list(answers.values()) == [True]


def test_asking_a_kernel_draws_no_random_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("burnish.optim.engines.agreement._answers", {})
    state = torch.get_rng_state()

    engine_names(Adam().bind(plist(torch.ones(20)), lr=0.1))

    assert torch.equal(state, torch.get_rng_state())
