"""State and gradients follow the parameter to its device."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore[reportPrivateUsage]  # no public name

from burnish.optim import (
    ASGD,
    Adadelta,
    Adamax,
    AdamW,
    ClipGlobalNorm,
    Muon,
    NAdam,
    RAdam,
    Rprop,
    SimpleOptimizer,
)

from .nets import UserAdamW, drive, engine_names, equal, layers, step_by_lists

LAZY = torch.device("lazy")


@pytest.fixture
def mode() -> Iterator[FakeTensorMode]:
    """A device that refuses to mix with others, as a GPU does."""
    with FakeTensorMode(allow_non_fake_inputs=True) as made:
        yield made


def fake(mode: FakeTensorMode, *shape: int, device: Any = LAZY) -> Tensor:
    with _disable_current_modes():
        meta = torch.empty(*shape, device="meta")
    return FakeTensor(mode, meta, device)


def test_the_stand_in_device_refuses_to_mix(mode: FakeTensorMode) -> None:
    with pytest.raises(RuntimeError, match="device"):
        _ = fake(mode, 3) + fake(mode, 3, device=torch.device("cpu"))


@pytest.mark.parametrize("simple", [UserAdamW(), AdamW()])
@pytest.mark.parametrize("fused", [False, None])
def test_state_moves_to_the_parameter_before_the_step(
    mode: FakeTensorMode, simple: SimpleOptimizer[Any], fused: bool | None
) -> None:
    module: Any = nn.Module()
    module.weight = nn.Parameter(fake(mode, 4, 3))
    adaptor = simple.bind(module, lr=1e-2, fused=fused)
    module.weight.grad = fake(mode, 4, 3)
    adaptor.step()
    state = adaptor.state[module.weight]
    for name, value in state.items():
        if isinstance(value, Tensor):
            state[name] = fake(mode, 4, 3, device=torch.device("cpu"))

    module.weight.grad = fake(mode, 4, 3)
    adaptor.step()

    devices = {
        v.device for v in adaptor.state[module.weight].values() if isinstance(v, Tensor)
    }
    assert devices == {LAZY}
    assert module.weight.device == LAZY


def test_elementwise_steps_run_on_lists_on_an_accelerator(mode: FakeTensorMode) -> None:
    module: Any = nn.Module()
    for name in ("a", "b"):
        setattr(module, name, nn.Parameter(fake(mode, 4, 3)))
    adaptor = UserAdamW().bind(module, lr=1e-2)

    for parameter in module.parameters():
        parameter.grad = fake(mode, 4, 3)
    adaptor.step()

    assert engine_names(adaptor) == {"foreach"}


@pytest.mark.cuda
@pytest.mark.parametrize("simple", [UserAdamW(), AdamW(), Muon()])
@pytest.mark.parametrize("fused", [False, None])
def test_a_run_goes_on_on_a_gpu(
    simple: SimpleOptimizer[Any], fused: bool | None
) -> None:
    net: Any = nn.Linear(8, 8, bias=False)
    adaptor = simple.bind(net, lr=1e-2, fused=fused, clip=ClipGlobalNorm(1.0))
    drive(adaptor, net, 1)

    net.to("cuda")
    drive(adaptor, net, 2)

    stored = adaptor.state[net.weight].values()
    assert all(v.is_cuda for v in stored if isinstance(v, Tensor))
    assert net.weight.isfinite().all()


LISTWISE = [UserAdamW(), NAdam(), RAdam(), Adamax(), Adadelta(), ASGD(), Rprop()]


@pytest.mark.parametrize("simple", LISTWISE, ids=lambda simple: type(simple).__name__)
def test_lists_give_the_numbers_of_the_loop(simple: SimpleOptimizer[Any]) -> None:
    left, right = layers(), layers()
    engine = simple.bind(left, lr=1e-2)
    loop = simple.bind(right, lr=1e-2, fused=False)
    drive(engine, left, 1)
    drive(loop, right, 1)
    step_by_lists(engine)

    drive(engine, left, 2, 3)
    drive(loop, right, 2, 3)

    assert engine_names(engine) == {"foreach"}
    assert all(
        torch.allclose(a, b, atol=1e-6)
        for a, b in zip(left.parameters(), right.parameters(), strict=True)
    )
    assert not equal(left, layers())
