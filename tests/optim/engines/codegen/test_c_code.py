"""Every operation that is compiled gives torch's numbers, rounding and NaN included."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import AdamW, Muon, SimpleOptimizer
from burnish.optim.engines import compiled
from burnish.optim.engines.codegen.compiler import FLAGS, load_library
from burnish.records import Record

from ...nets import drive, engine_names, layers, plist
from ...steppers import Stepping

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
    """Return numbers of all sizes that half precisions hold, and NaN."""
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


def half_values(dtype: torch.dtype) -> Tensor:
    """Return every value of a half precision."""
    return torch.arange(65536, dtype=torch.int32).to(torch.int16).view(dtype)


def same_values(a: Tensor, b: Tensor) -> bool:
    """Return whether values are the same to the sign of a zero; any NaN is a NaN."""
    is_nan = a.isnan() & b.isnan()
    return bool(((a.view(torch.int16) == b.view(torch.int16)) | is_nan).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_half_precision_value_is_read_and_written_as_it_is(
    dtype: torch.dtype,
) -> None:
    net = plist(half_values(dtype))
    simple = Stepping(fn=lambda p, g, a, b: (p.float().to(p.dtype), g, p))
    optimizer = simple.bind(net, lr=1.0, fused=True)

    net[0].grad = half_values(dtype).flip(0)
    optimizer.step()

    assert engine_names(optimizer) == {"compiled"}
    assert same_values(net[0].detach(), half_values(dtype))
    assert same_values(optimizer.state[net[0]]["a"], half_values(dtype).flip(0))
    assert same_values(optimizer.state[net[0]]["b"], half_values(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float32_is_rounded_to_half_precisions_as_torch_does(
    dtype: torch.dtype,
) -> None:
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(-(2**31), 2**31, (500_000,), generator=generator)
    sizes = torch.linspace(-1, 1, 500_000) * 2.0 ** torch.arange(-30, 20).repeat(10_000)
    halves = half_values(dtype).float()
    # What lies in the middle of two goes to the even one.
    middles = (halves + halves.roll(-1)) / 2
    values = torch.cat([words.to(torch.int32).view(torch.float32), sizes, middles])
    net = plist(torch.zeros(len(values), dtype=dtype))
    simple = Stepping(fn=lambda p, g, a, b: (a, a, b))
    optimizer = simple.bind(net, lr=1.0, fused=True, state_dtype=torch.float32)
    net[0].grad = torch.zeros_like(net[0])
    optimizer.step()

    optimizer.state[net[0]]["a"].copy_(values)
    optimizer.step()

    assert engine_names(optimizer) == {"compiled"}
    assert same_values(net[0].detach(), values.to(dtype))


NARROW: list[dict[str, Any]] = [
    {},
    {"state_dtype": torch.float32},
    {"master_dtype": torch.float32},
    {"rounding": "stochastic"},
]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="other compilers report other")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", NARROW, ids=str)
def test_the_loop_is_made_of_vectors(
    dtype: torch.dtype,
    options: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    sources: list[str] = []

    def kept(source: str) -> Any:
        sources.append(source)
        return load_library(source)

    monkeypatch.setattr(compiled, "load_library", kept)
    monkeypatch.setattr(compiled, "_programs", {})
    net = layers(dtype)
    drive(AdamW().bind(net, lr=1e-3, fused=True, **options), net, 1)

    assert sources
    for source in sources:
        (tmp_path / "step.c").write_text(source)
        command = ["gcc", *FLAGS, "-fopt-info-vec", "step.c", "-o", "step.so"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert "loop vectorized" in done.stderr
