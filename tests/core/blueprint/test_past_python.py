"""Constructors that read values past Python: declared by a build with initializers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import ConstructionError
from burnish.core.state.uninitialized import skip_init


def mapped(weight: Tensor) -> Tensor:
    result: Tensor = torch.func.vmap(torch.sin)(weight)
    return result


def differentiated(weight: Tensor) -> Tensor:
    result: Tensor = torch.func.grad(lambda w: (w * w).sum())(weight.detach())
    return result


def scripted(weight: Tensor) -> Tensor:
    script: Any = torch.jit.trace(lambda w: w * 2 + 1, torch.ones(2, 2))  # type: ignore[no-untyped-call]  # torch declares nothing
    result: Tensor = script(weight)
    return result


class Reads(nn.Module):
    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        first = nn.Linear(2, 2)
        self.inner = nn.Sequential(first, nn.ReLU())
        self.register_buffer("scale", read(first.weight).detach())


@pytest.mark.filterwarnings("ignore:`torch.jit:Warning")
@pytest.mark.parametrize("read", [mapped, differentiated, scripted])
def test_a_constructor_that_reads_weights_past_python_is_declared(read: Any) -> None:
    blueprint = Blueprint(Reads, read)

    blueprint.replace("inner.1", nn.GELU)
    module: Any = blueprint.build()

    assert isinstance(module.inner[1], nn.GELU)
    assert torch.equal(module.scale, read(module.inner[0].weight).detach())


def test_such_a_constructor_is_declared_inside_skip_init_too() -> None:
    with skip_init():
        blueprint = Blueprint(Reads, mapped)

    assert isinstance(blueprint.build().inner[1], nn.ReLU)


class Refuses(nn.Module):
    n_calls = 0

    def __init__(self) -> None:
        super().__init__()
        Refuses.n_calls += 1
        raise RuntimeError("it never works")


def test_a_constructor_that_always_fails_is_told_after_one_more_try() -> None:
    Refuses.n_calls = 0

    with pytest.raises(ConstructionError, match="it never works"):
        Blueprint(Refuses)

    assert Refuses.n_calls == 2
