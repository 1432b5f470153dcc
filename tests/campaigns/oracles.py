"""Shipped optimizers with every combination of torch's options, beside torch's own."""

import itertools
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from burnish.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
)

from .forks import Outcomes, run_cases

GOOD = {"e": "as torch's"}
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
EXACT = {torch.float32: 1e-5, torch.float64: 1e-12}
"""By how much of their size parameters may differ after all steps."""

_DECAYS: dict[str, list[Any]] = {"weight_decay": [0.0, 0.1], "maximize": [False, True]}
_DECOUPLED: dict[str, list[Any]] = {"decoupled_weight_decay": [False, True]}
_ADAM: dict[str, list[Any]] = {
    "amsgrad": [False, True],
    "betas": [(0.9, 0.999), (0.7, 0.9)],
    **_DECAYS,
}
OPTIONS: dict[str, tuple[type[Any], dict[str, list[Any]]]] = {
    "SGD": (
        SGD,
        {
            "momentum": [0.0, 0.9],
            "dampening": [0.0, 0.3],
            "nesterov": [False, True],
            **_DECAYS,
        },
    ),
    "Adam": (Adam, _ADAM),
    "AdamW": (AdamW, _ADAM),
    "Adagrad": (
        Adagrad,
        {"lr_decay": [0.0, 0.1], "initial_accumulator_value": [0.0, 0.5], **_DECAYS},
    ),
    "RMSprop": (
        RMSprop,
        {"centered": [False, True], "momentum": [0.0, 0.9], **_DECAYS},
    ),
    "NAdam": (NAdam, {"momentum_decay": [0.0, 4e-3], **_DECOUPLED, **_DECAYS}),
    "RAdam": (RAdam, {"betas": [(0.9, 0.999), (0.7, 0.9)], **_DECOUPLED, **_DECAYS}),
    "Adamax": (Adamax, {"betas": [(0.9, 0.999), (0.7, 0.9)], **_DECAYS}),
    "Adadelta": (Adadelta, {"rho": [0.9, 0.5], **_DECAYS}),
    "ASGD": (ASGD, {"t0": [1e6, 10], "lambd": [1e-4, 0.1], **_DECAYS}),
    "Rprop": (Rprop, {"etas": [(0.5, 1.2), (0.3, 1.5)], "maximize": [False, True]}),
}


def combinations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each optimizer's name with each combination of its options."""
    for name, (_, options) in OPTIONS.items():
        for values in itertools.product(*options.values()):
            words = dict(zip(options, values, strict=True))
            # torch refuses nesterov without momentum, or with dampening.
            if words.get("nesterov") and (words["dampening"] or not words["momentum"]):
                continue
            yield name, words


CASES = [
    (name, words, dtype, fused)
    for name, words in combinations()
    for dtype in DTYPES
    for fused in (None, True, False)
]


def params_of(dtype: torch.dtype) -> list[nn.Parameter]:
    """Return parameters of a few sizes."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(), (7,), (5, 9), (130,)]
    return [
        nn.Parameter(torch.randn(size, generator=generator).to(dtype)) for size in sizes
    ]


def drive(optimizer: Any, params: list[nn.Parameter], half: Any, n_steps: int) -> None:
    """Step with gradients that every dtype is given alike."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(n_steps):
        for param in params:
            grad = torch.randn(param.shape, generator=generator, dtype=torch.float32)
            grad += 0.1
            param.grad = grad.to(half).to(param.dtype)
        optimizer.step()


def trained(
    case: tuple[Any, ...], dtype: torch.dtype, n_steps: int, *, is_ours: bool
) -> Tensor:
    """Return the parameters after all steps, in float64."""
    name, words, given, fused = case
    params = params_of(given)
    params = [nn.Parameter(p.detach().to(dtype)) for p in params]
    if is_ours:
        simple = OPTIONS[name][0](**{k: v for k, v in words.items() if k != "maximize"})
        net = nn.ParameterList(params)
        own = simple.bind(net, lr=1e-2, maximize=words["maximize"], fused=fused)
        drive(own, params, given, n_steps)
    else:
        kind: Any = getattr(torch.optim, name)
        usual = torch.get_default_dtype()
        # Numbers of a state (`eta`, `mu_product`) are of the default dtype there.
        torch.set_default_dtype(torch.float64 if dtype == torch.float64 else usual)
        try:
            theirs = kind(params, lr=1e-2, foreach=False, **words)
            drive(theirs, params, given, n_steps)
        finally:
            torch.set_default_dtype(usual)
    return torch.cat([p.detach().double().flatten() for p in params])


def outcome(n_steps: int, number: int) -> str:
    """Return how a case ended, as a letter."""
    case = CASES[number]
    dtype = case[2]
    ours = trained(case, dtype, n_steps, is_ours=True)
    theirs = trained(case, dtype, n_steps, is_ours=False)
    if dtype in EXACT:
        size = theirs.abs().clamp_min(1.0)
        is_near = bool(((ours - theirs).abs() <= EXACT[dtype] * size).all())
    else:
        # Both round at every step: ours may be as far from float64 as torch's is.
        exact = trained(case, torch.float64, n_steps, is_ours=False)
        finite = exact.isfinite() & theirs.isfinite()
        error, usual = ((t - exact)[finite] for t in (ours, theirs))
        unit = torch.finfo(dtype).eps * exact[finite].abs().clamp_min(1.0)
        allowed = 2 * usual.square().mean().sqrt() + 2 * unit.mean()
        is_near = bool(error.square().mean().sqrt() <= allowed)
    if not is_near:
        print(case, (ours - theirs).abs().max().item(), file=sys.stderr, flush=True)
    return "e" if is_near else "w"


def oracles(n_steps: int = 200) -> tuple[dict[str, int | float], Outcomes]:
    """Return how every combination ended."""
    outcomes = run_cases(
        partial(outcome, n_steps), range(len(CASES)), GOOD, seconds=120
    )
    return {"cases": len(CASES), "steps": n_steps, **outcomes.counts}, outcomes
