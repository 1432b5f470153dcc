# pyright: reportPrivateUsage=false
# Which kernels are borrowed is the engine's own table.
"""A borrowed kernel runs only where it agrees with the step as written."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import SGD, Adagrad, Adam, AdamW, SimpleOptimizer

from ..nets import plist

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


SIMPLE: dict[str, SimpleOptimizer[Any]] = {
    "SGD": SGD(),
    "SGD, decay": SGD(weight_decay=0.1),
    "SGD, momentum": SGD(momentum=0.9),
    "SGD, nesterov": SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
    "SGD, dampening": SGD(momentum=0.9, dampening=0.3),
    "Adam": Adam(),
    "Adam, decay": Adam(weight_decay=0.1),
    "Adam, amsgrad": Adam(amsgrad=True),
    "AdamW": AdamW(),
    "AdamW, amsgrad": AdamW(amsgrad=True),
    "Adagrad": Adagrad(),
    "Adagrad, decay": Adagrad(weight_decay=0.1, lr_decay=0.1),
}


SIZES = [*range(1, 131), 10_007]


def values(size: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Return values of ordinary size and either sign."""
    return _drawn(size, seed).to(dtype, copy=True)


@cache
def _drawn(size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(size, generator=generator, dtype=torch.float64)
    return drawn + 0.25 * drawn.sign()


def stepped(
    simple: SimpleOptimizer[Any], tensors: list[Tensor], fused: bool | None
) -> list[Tensor]:
    """Return the parameters after two steps, each with gradients of its own."""
    net = plist(*tensors)
    adaptor = simple.bind(net, lr=0.05, fused=fused)
    for seed in range(2):
        for i, p in enumerate(net.parameters()):
            p.grad = values(p.numel(), 1000 * seed + i, torch.float64).to(p.dtype)
        adaptor.step()
    return [p.detach() for p in net.parameters()]


def errors(tensors: list[Tensor], exact: list[Tensor]) -> Tensor:
    """Return each element's error, in units of the larger of 1/4 and the value."""
    unit = torch.finfo(tensors[0].dtype).eps
    return torch.cat(
        [
            (t.double() - e).abs() / (unit * e.abs().clamp_min(0.25))
            for t, e in zip(tensors, exact, strict=True)
        ]
    )


def check(
    simple: SimpleOptimizer[Any], dtype: torch.dtype, sizes: list[int], threads: int
) -> None:
    """Compare the default engine with the loop and with float64."""
    start = [values(size, size, dtype) for size in sizes]
    loop = stepped(simple, [t.clone() for t in start], False)
    exact = stepped(simple, [t.double().clone() for t in start], False)
    for count in range(1, threads + 1):
        torch.set_num_threads(count)
        default = stepped(simple, [t.clone() for t in start], None)
        torch.set_num_threads(1)
        compare(start, default, loop, exact)


def compare(
    start: list[Tensor], default: list[Tensor], loop: list[Tensor], exact: list[Tensor]
) -> None:
    """Assert what is promised in the dtype of the tensors."""
    dtype = start[0].dtype
    if dtype in (torch.float32, torch.float64):
        assert errors(default, [t.double() for t in loop]).max() <= 16
        return
    # Two steps, and each may add one unit.
    usual = errors(loop, exact)
    assert errors(default, exact).max() <= usual[usual.isfinite()].max() + 2
    moves = torch.cat(
        [
            (e - s.double()).abs() > 2 * torch.finfo(dtype).eps * s.double().abs()
            for e, s in zip(exact, start, strict=True)
        ]
    )
    stays = torch.cat([d == s for d, s in zip(default, start, strict=True)])
    assert not (moves & stays).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SIMPLE)
def test_every_size_is_stepped_to_the_promise_of_its_dtype(
    name: str, dtype: torch.dtype
) -> None:
    check(SIMPLE[name], dtype, SIZES, threads=1)


@pytest.mark.parametrize(
    ("lr", "sizes"), [(0.05, SIZES), (1e-3, [*range(1, 131), 100_003])]
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SIMPLE)
def test_each_parameter_in_half_is_as_near_as_the_loop_and_one_unit(
    name: str, dtype: torch.dtype, lr: float, sizes: list[int]
) -> None:
    start = torch.cat([values(size, size, dtype) for size in sizes])

    default, loop, exact = (
        torch.cat(
            stepped_once(SIMPLE[name], torch.split(start.to(to), sizes), lr, fused)
        )
        for to, fused in ((dtype, None), (dtype, False), (torch.float64, False))
    )

    unit = last_place(torch.maximum(start.double().abs(), exact.abs()), dtype)
    error, allowed = (default - exact).abs() / unit, (loop - exact).abs() / unit + 1
    assert not (error > allowed)[loop.isfinite()].any()
    moves = (exact - start.double()).abs() > 0.75 * unit
    assert not (moves & (default == start)).any()


def test_a_kernel_in_half_leaves_what_only_the_roundings_of_the_loop_move() -> None:
    start = torch.full((32,), 3.0, dtype=torch.float16)
    grad = -torch.ones_like(start)

    def result(fused: bool | None, dtype: torch.dtype) -> float:
        net = plist(start.to(dtype, copy=True))
        adaptor = AdamW(weight_decay=0.01).bind(net, lr=1e-3, fused=fused)
        net[0].grad = grad.to(dtype)
        adaptor.step()
        return float(net[0][0].item())

    # Half a unit is 0.000977. The loop rounds after the decay too, which is lost then.
    assert result(False, torch.float64) == pytest.approx(3.00097, abs=1e-8)
    assert result(False, torch.float16) > 3.0
    assert result(None, torch.float16) == 3.0


def stepped_once(
    simple: SimpleOptimizer[Any],
    tensors: tuple[Tensor, ...],
    lr: float,
    fused: bool | None,
) -> list[Tensor]:
    """Return the parameters after a step, whose gradients are the same in any dtype."""
    net = plist(*(t.clone() for t in tensors))
    adaptor = simple.bind(net, lr=lr, fused=fused)
    for i, p in enumerate(net.parameters()):
        p.grad = values(p.numel(), 1000 + i, torch.bfloat16).to(p.dtype)
    adaptor.step()
    return [p.detach() for p in net.parameters()]


def last_place(size: Tensor, dtype: torch.dtype) -> Tensor:
    """Return one unit in the last place of values of this size."""
    limits = torch.finfo(dtype)
    return limits.eps * size.clamp_min(limits.tiny).log2().floor().exp2()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["SGD", "SGD, momentum", "AdamW", "Adagrad"])
def test_many_elements_are_stepped_on_any_number_of_threads(
    name: str, dtype: torch.dtype
) -> None:
    check(SIMPLE[name], dtype, [400_003], threads=2)
