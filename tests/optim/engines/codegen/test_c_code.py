"""Every operation that is compiled gives torch's numbers, rounding and NaN included."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import Muon, SimpleOptimizer
from burnish.records import Record

from ...nets import engine_names, plist

NAN, INF = float("nan"), float("inf")


Operation = Callable[[Tensor, Tensor], Tensor]


def method(name: str, *args: Any) -> Operation:
    return lambda t, g: getattr(t, name)(*(args or (g,)))  # type: ignore[no-any-return]  # a tensor


def unary(name: str) -> Operation:
    return lambda t, g: getattr(t, name)()  # type: ignore[no-any-return]  # a tensor


def comparison(name: str) -> Operation:
    return lambda t, g: torch.where(getattr(t, name)(0.1), t, g)


UNARY = (
    "neg abs sqrt rsqrt reciprocal square sign exp log log1p expm1 tanh sigmoid relu"
)


OPERATIONS: dict[str, Operation] = {
    **{name: unary(name) for name in UNARY.split()},
    **{
        name: method(name)
        for name in ("add", "sub", "mul", "div", "maximum", "minimum")
    },
    **{f"{name}_tensor": method(name) for name in ("clamp_min", "clamp_max")},
    **{
        f"{name}_number": method(name, 0.1)
        for name in ("add", "sub", "mul", "div", "clamp_min", "clamp_max")
    },
    **{name: comparison(name) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
    **{
        f"pow_{i}": method("pow", power)
        for i, power in enumerate((2.0, 3.0, 0.5, -0.5, -1.0, -2.0))
    },
    "add_alpha": lambda t, g: t.add(g, alpha=0.1),
    "sub_alpha": lambda t, g: t.sub(g, alpha=0.1),
    "add_alpha_number": lambda t, g: t.add(0.3, alpha=0.7),
    "number_less": lambda t, g: 0.1 - t,
    "number_over": lambda t, g: 0.1 / t,
    "addcmul": lambda t, g: t.addcmul(g, g, value=0.1),
    "addcdiv": lambda t, g: t.addcdiv(t, g, value=0.1),
    "lerp_low": lambda t, g: t.lerp(g, 0.1),
    "lerp_high": lambda t, g: t.lerp(g, 0.9),
    "lerp_tensor": lambda t, g: t.lerp(g, g),
    "where_number": lambda t, g: torch.where(t > g, t, 0.1),
    "where_other": lambda t, g: torch.where(t > g, 0.1, t),
    "masked": lambda t, g: t * (t > g),
    "masked_fill": lambda t, g: t.masked_fill(t > g, 0.1),
    "clamp": lambda t, g: t.clamp(-0.3, 0.3),
    "clamp_turned": lambda t, g: t.clamp(0.3, -0.3),
    "clamp_tensors": lambda t, g: t.clamp(g, g.abs()),
    "clamp_min_nan": lambda t, g: t.clamp_min(NAN),
    "clamp_inf": lambda t, g: t.clamp(-INF, 1.0),
    "single": lambda t, g: (t.float() * 0.1 + g).to(t.dtype),
    "filled": lambda t, g: torch.full_like(t, 0.1),
}
if torch.ones(1).clamp(max=NAN).isnan():
    # Torch before that kept what was clamped by no number.
    OPERATIONS["clamp_max_nan"] = lambda t, g: t.clamp(max=NAN)


Results: Any = type(
    "Results", (Record,), {"__annotations__": dict.fromkeys(OPERATIONS, Tensor)}
)


class All(SimpleOptimizer[Any]):
    """Keeps in its state what each operation gives."""

    def init(self, tensor: Tensor) -> Any:
        return Results(**{name: torch.zeros_like(tensor) for name in OPERATIONS})

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Any) -> Any:
        results = {name: f(tensor, grad) for name, f in OPERATIONS.items()}
        return tensor.clone(), Results(**results)


def awkward(seed: int, dtype: torch.dtype) -> Tensor:
    """Return numbers of all sizes that half precisions hold, and what is no number."""
    generator = torch.Generator().manual_seed(seed)
    usual = torch.randn(1000, generator=generator, dtype=torch.float64)
    sizes = torch.randint(-12, 6, (1000,), generator=generator).double().exp2()
    special = torch.tensor([0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 0.1, 0.3, -0.3] * 8)
    values = torch.cat([usual, usual * sizes, special.double()])
    return values[torch.randperm(len(values), generator=generator)].to(dtype)


def stored(fused: bool | None, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the results by operation, of the engine or of the loop."""
    net = plist(awkward(1, dtype))
    adaptor = All().bind(net, lr=0.1, fused=fused)
    net[0].grad = awkward(2, dtype)
    adaptor.step()
    expected = {True: "compiled", None: "blocks", False: "loop"}[fused]
    assert engine_names(adaptor) == {expected}
    results: dict[str, Tensor] = adaptor.state[net[0]]
    return results


@pytest.mark.parametrize("fused", [True, None])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16]
)
def test_every_operation_rounds_as_torch_does(
    dtype: torch.dtype, fused: bool | None
) -> None:
    engine, loop = stored(fused, dtype), stored(False, dtype)

    for name in OPERATIONS:
        ours, theirs = engine[name].double(), loop[name].double()
        assert torch.equal(ours.isnan(), theirs.isnan()), name
        differs = (ours != theirs) & ~theirs.isnan()
        operand = awkward(1, dtype).double().abs().clamp(1.0, 1e30)
        size = torch.maximum(theirs.abs(), operand) * torch.finfo(dtype).eps
        assert bool(((ours - theirs).abs()[differs] <= 4 * size[differs]).all()), name
        # Torch itself rounds otherwise in the tail of a vector, for a few operations.
        if dtype in (torch.bfloat16, torch.float16):
            assert differs.sum() <= 10, name


@pytest.mark.parametrize("fused", [None, False])
def test_muon_steps_matrices_of_float16(fused: bool | None) -> None:
    net = plist(torch.ones(4, 6, dtype=torch.float16))
    adaptor = Muon().bind(net, lr=0.1, fused=fused)

    net[0].grad = torch.arange(24.0).reshape(4, 6).half()
    adaptor.step()

    assert net[0].dtype is torch.float16
    assert net[0].isfinite().all()
    assert not torch.equal(net[0], torch.ones_like(net[0]))
