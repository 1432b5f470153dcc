"""Gradients that got another form behind torch's back: refused, or converted."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import SGD, AdamW, Lion, Muon, OptimizerAdaptor, SimpleOptimizer
from burnish.optim.errors import NonFiniteGradientError

from .nets import UserAdamW

OPTIMIZERS: list[SimpleOptimizer[Any]] = [
    SGD(),
    SGD(momentum=0.9),
    AdamW(),
    Lion(),
    Muon(),
    UserAdamW(),
]
DTYPES = [torch.float32, torch.bfloat16]


def pair_with_gradients(dtype: torch.dtype = torch.float32) -> nn.ParameterList:
    """Return two equal matrices, each with a gradient."""
    generator = torch.Generator().manual_seed(0)
    value, grad = (torch.randn(4, 6, generator=generator).to(dtype) for _ in range(2))
    net = nn.ParameterList([nn.Parameter(value.clone()) for _ in range(2)])
    for param in net:
        param.grad = grad.clone()
    return net


def stepped(
    simple: SimpleOptimizer[Any], net: nn.Module, fused: bool | None, n: int
) -> OptimizerAdaptor:
    """Return an optimizer of ``net`` after ``n`` steps."""
    optim = simple.bind(net, lr=0.1, fused=fused)
    for _ in range(n):
        optim.step()
    return optim


@pytest.mark.parametrize("fused", [None, True, False])
@pytest.mark.parametrize("simple", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n_steps", [0, 2])
def test_a_gradient_reshaped_behind_torchs_back_is_refused_before_anything_moves(
    simple: SimpleOptimizer[Any],
    fused: bool | None,
    dtype: torch.dtype,
    n_steps: int,
) -> None:
    for shape in ((6, 4), (24,), (4, 6, 1)):
        for in_place in (True, False):
            net = pair_with_gradients(dtype)
            optim = stepped(simple, net, fused, n_steps)
            before = [param.detach().clone() for param in net]
            grad = net[0].grad
            assert grad is not None
            if in_place:
                grad.data = grad.data.view(shape)
            else:
                grad.data = grad.data.clone().view(shape)

            with pytest.raises(ValueError, match=r"gradient is .* of shape") as caught:
                optim.step()

            assert any("for 0" in note for note in caught.value.__notes__)
            assert all(map(torch.equal, net, before))


@pytest.mark.parametrize("fused", [None, True, False])
@pytest.mark.parametrize("n_steps", [0, 2])
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.int64, torch.bool], ids=str
)
def test_a_gradient_of_another_dtype_is_converted(
    dtype: torch.dtype, n_steps: int, fused: bool | None
) -> None:
    for simple in OPTIMIZERS:
        net, twin = pair_with_gradients(), pair_with_gradients()
        optim = stepped(simple, net, fused, n_steps)
        expected = stepped(simple, twin, fused, n_steps)
        for param, other in zip(net, twin, strict=True):
            assert param.grad is not None
            assert other.grad is not None
            converted = other.grad.to(dtype)
            param.grad.data = converted
            other.grad = converted.to(torch.float32)

        optim.step()
        expected.step()

        for param, other in zip(net, twin, strict=True):
            torch.testing.assert_close(param, other, rtol=1e-5, atol=1e-6)


def half(dtype: torch.dtype, grad: float, **options: Any) -> tuple[Tensor, Any]:
    """Return a weight of ``dtype`` and its optimizer after a step by a float32 grad."""
    net = nn.ParameterList([nn.Parameter(torch.ones(3, 2, dtype=dtype))])
    optim = AdamW().bind(net, lr=0.1, **options)
    optim.apply_gradients(None, net, {"0": torch.full((3, 2), grad)})
    return net[0], optim


@pytest.mark.parametrize("fused", [None, True, False])
@pytest.mark.parametrize(
    ("dtype", "grad"), [(torch.float16, 1e6), (torch.bfloat16, 0.0010001)], ids=str
)
@pytest.mark.parametrize("option", ["master_dtype", "state_dtype"])
def test_a_wider_gradient_is_stepped_with_all_its_digits_and_its_range(
    option: str, dtype: torch.dtype, grad: float, fused: bool | None
) -> None:
    options: dict[str, Any] = {option: torch.float32}

    weight, optim = half(dtype, grad, fused=fused, **options)

    mean = optim.state[weight]["exp_avg"]
    torch.testing.assert_close(mean, torch.full((3, 2), 0.1 * grad), rtol=1e-6, atol=0)
    assert torch.isfinite(weight).all()


def test_a_gradient_beyond_the_dtype_of_its_state_is_not_finite() -> None:
    with pytest.raises(NonFiniteGradientError, match="gradients of 0 are not finite"):
        half(torch.float16, 1e6, nonfinite="error")

    weight, optim = half(torch.float16, 1e6, nonfinite="skip")

    assert torch.equal(weight, torch.ones_like(weight))
    assert not optim.state


@pytest.mark.parametrize("fused", [None, True, False])
def test_complex_and_real_are_never_taken_for_each_other(fused: bool | None) -> None:
    real = nn.ParameterList([nn.Parameter(torch.ones(3, 2))])
    real[0].grad = torch.ones(3, 2)
    real[0].grad.data = torch.ones(3, dtype=torch.complex64)
    pairs = nn.ParameterList([nn.Parameter(torch.ones(3, dtype=torch.complex64))])
    pairs[0].grad = torch.ones(3, dtype=torch.complex64)
    pairs[0].grad.data = torch.ones(3, 2)

    for net in (real, pairs):
        with pytest.raises(ValueError, match="complex64"):
            SGD().bind(net, lr=0.1, fused=fused).step()


@pytest.mark.parametrize("fused", [None, True, False])
@pytest.mark.parametrize("n_steps", [0, 2])
def test_a_gradient_stored_with_the_other_sign_is_read_as_it_is(
    n_steps: int, fused: bool | None
) -> None:
    negated: Tensor
    for simple in OPTIMIZERS:
        net, twin = pair_with_gradients(), pair_with_gradients()
        optim = stepped(simple, net, fused, n_steps)
        expected = stepped(simple, twin, fused, n_steps)
        for param in net:
            assert param.grad is not None
            negated = torch._neg_view(-param.grad)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]  # no public one sets the bit
            param.grad = negated
            assert param.grad.is_neg()

        optim.step()
        expected.step()

        for param, other in zip(net, twin, strict=True):
            torch.testing.assert_close(param, other, rtol=1e-5, atol=1e-6)
