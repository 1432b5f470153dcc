"""Hyperparameters of another type are refused in words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    LBFGS,
    NORMS,
    SGD,
    Adafactor,
    Adam,
    AdamW,
    Group,
    Lion,
    Rprop,
    SimpleOptimizer,
)

from .nets import bound, layers


@dataclass(frozen=True, kw_only=True)
class User(SimpleOptimizer[None]):
    """Checks nothing itself."""

    beta: float = 0.9
    count: int = 3
    is_fast: bool = False
    betas: tuple[float, float] = (0.9, 0.99)

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        return tensor - grad * lr, None


@dataclass(frozen=True, kw_only=True)
class Many(User):
    """As many numbers as one likes."""

    shares: tuple[float, ...] = ()


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a tensor": (lambda: Adam(betas=(0.9, torch.tensor(0.99))), r"float\(x\)"),  # type: ignore[arg-type]
    "a text": (lambda: Lion(weight_decay="x"), "weight_decay must be a number"),  # type: ignore[arg-type]
    "of a user": (lambda: bound(User(beta="x")), r"User\(beta=.*must be a number"),  # type: ignore[arg-type]
    "no whole": (lambda: bound(User(count=1.5)), "must be a whole number"),  # type: ignore[arg-type]
    "no bool": (lambda: bound(User(is_fast="no")), "must be a bool"),  # type: ignore[arg-type]
    "an item": (lambda: bound(User(betas=(0.9, "x"))), r"betas=\.\.\.\)\[1\]"),  # type: ignore[arg-type]
    "amsgrad": (lambda: bound(AdamW(amsgrad="yes")), "must be a bool"),  # type: ignore[arg-type]
    "fused": (
        lambda: bound(AdamW(), fused="c"),
        "fused must be True, False or None, got 'c'",
    ),
    "maximize": (
        lambda: bound(AdamW(), maximize=None),
        "maximize must be True or False",
    ),
    "clip": (lambda: bound(AdamW(), clip=1.0), "clip must be a ClipValue"),
    "groups": (lambda: bound(AdamW(), groups=["**.bias"]), "groups must be Group"),
    "lr": (lambda: bound(AdamW(), lr="0.1"), "lr must be a number or a schedule"),
    "lr as a text": (
        lambda: bound(AdamW(), lr="step: 1@0 lin 0@9"),
        r"schedulers\.Curve\('step",
    ),
    "lr as a function": (lambda: bound(AdamW(), lr=abs), "LambdaLR"),
    "foreach": (lambda: AdamW(foreach=True), "engine_report"),  # type: ignore[call-arg]
    "capturable": (lambda: AdamW(capturable=True), "CUDA graphs"),  # type: ignore[call-arg]
    "a rate": (lambda: Lion(0.1), r"Lion\(\)\.bind\(net, lr=0\.1\)"),  # type: ignore[misc, arg-type]
    "of LBFGS": (lambda: LBFGS(foreach=True), "engine_report"),  # type: ignore[call-arg]
    "to bind": (lambda: bound(AdamW(), capturable=True), "CUDA graphs"),
    "to LBFGS": (lambda: LBFGS().bind(layers(), foreach=True), "does not need it"),  # type: ignore[call-arg]
    "of a group": (
        lambda: bound(AdamW(), groups=[Group("**.bias", foreach=True)]),
        "engine_report",
    ),
    "a parameter": (lambda: Group(nn.Parameter(torch.ones(2))), "add_param_group"),  # type: ignore[arg-type]
    "parameters": (lambda: Group([*layers().parameters()]), "got a Parameter"),
    "a layer": (lambda: Group(nn.Linear(2, 2)), "got a Linear"),  # type: ignore[arg-type]
    "fused in torch's place": (lambda: AdamW(fused=True), "pass it to bind"),  # type: ignore[call-arg]
    "types twice": (lambda: Group(nn.LayerNorm, type=NORMS), "takes types once"),
    "clip of a group": (lambda: Group("**", clip=1.0), "clip must be a ClipValue"),  # type: ignore[arg-type]
    "clip set": (
        lambda: setattr(bound(SGD()), "clip", 1.0),
        "clip must be a ClipValue",
    ),
    "LBFGS for a group": (
        lambda: Group("**", optimizer=LBFGS()),  # type: ignore[arg-type]
        r"steps one tensor, got LBFGS: Group\(",
    ),
    "torch's for a group": (
        lambda: Group("**", optimizer=torch.optim.SGD),  # type: ignore[arg-type]
        "steps one tensor, got SGD",
    ),
    "an item after the first": (
        lambda: bound(Many(shares=(0.1, "x"))),  # type: ignore[arg-type]
        r"shares=\.\.\.\)\[1\] must be a number",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_another_type_is_refused_in_words(name: str) -> None:
    call, words = WRONG[name]

    with pytest.raises(TypeError, match=words):
        call()


def test_a_number_that_has_to_be_finite_is_refused_as_infinite() -> None:
    with pytest.raises(ValueError, match="at least 0 and finite, got inf"):
        bound(SGD(weight_decay=float("inf")))
    with pytest.raises(ValueError, match=r"at least 0, got -1\.0$"):
        bound(SGD(weight_decay=-1.0))


def test_a_policy_that_there_is_not_is_refused_when_it_is_set() -> None:
    adaptor = bound(SGD(), nonfinite="error")

    # It would have skipped steps, as all that is not "error" did.
    with pytest.raises(ValueError, match="'pass', 'skip' or 'error', got 'eror'"):
        adaptor.nonfinite = "eror"

    assert adaptor.nonfinite == "error"


def test_numbers_of_numpy_are_numbers() -> None:
    simple = SGD(momentum=float(np.float64(0.9)), weight_decay=np.float32(0.5))  # type: ignore[arg-type]

    assert bound(simple).param_groups[0]["weight_decay"] == 0.5


@dataclass(frozen=True, kw_only=True)
class Typed(User):
    """Annotates what only type checkers know."""

    hook: "Nowhere | None" = None  # type: ignore[name-defined]  # noqa: F821  # on purpose


def test_an_annotation_that_names_nothing_leaves_the_other_fields_checked() -> None:
    with pytest.raises(TypeError, match=r"beta=...\) must be a number, got 'x'"):
        bound(Typed(beta="x"))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("pair", [None, (0.5,), 0.5])
def test_pairs_of_numbers_have_two(pair: Any) -> None:
    with pytest.raises(ValueError, match="etas must be 2 numbers, got"):
        Rprop(etas=pair)
    with pytest.raises(ValueError, match="step_sizes must be 2 numbers, got"):
        Rprop(step_sizes=pair)
    with pytest.raises(ValueError, match="eps must be 2 numbers, got"):
        Adafactor(eps=pair)
