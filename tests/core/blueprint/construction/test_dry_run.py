"""Constructors that read values past Python: declared by a build with initializers."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import (
    ConstructionError,
    NotRepeatedError,
)
from burnish.core.state.uninitialized.uninitialized import skip_init


class OnlyTwo(nn.Module):
    def __init__(self, n: int = 2) -> None:
        super().__init__()
        if n == 2:
            self.w = nn.Parameter(torch.ones(2))


def test_what_another_run_registered_is_gone() -> None:
    module = Blueprint(OnlyTwo).configure(n=3).build()

    assert list(module.parameters()) == []


class Positive(nn.Module):
    def __init__(self, a: int = 1) -> None:
        super().__init__()
        if a < 0:
            raise ValueError("a is negative")
        self.a = a


class HasPositive(nn.Module):
    def __init__(self, n: int = 1) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Positive() for _ in range(n))


def test_the_path_of_the_constructor_is_named() -> None:
    blueprint = Blueprint(HasPositive, 3)

    with pytest.raises(
        ConstructionError, match=r"parts\.2.*Positive.*negative"
    ) as raised:
        blueprint.configure("parts.2", a=-1)

    assert raised.value.path == "parts.2"
    assert isinstance(raised.value.__cause__, ValueError)
    assert len(blueprint.create().parts) == 3


class Chance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for i in range(random.randrange(1, 1000)):
            self.add_module(f"m{i}", nn.Identity())


class Counter(nn.Module):
    n = 0

    def __init__(self) -> None:
        super().__init__()
        Counter.n += 1
        self.parts = nn.ModuleList(nn.Identity() for _ in range(Counter.n))


class Cached(nn.Module):
    cache: nn.Module | None = None

    def __init__(self) -> None:
        super().__init__()
        if Cached.cache is None:
            Cached.cache = nn.Linear(2, 2)
        self.part = Cached.cache


class Swapping(nn.Module):
    turn = False

    def __init__(self) -> None:
        super().__init__()
        Swapping.turn = not Swapping.turn
        first, second = nn.Linear(2, 2), nn.Linear(2, 2)
        if Swapping.turn:
            first, second = second, first
        self.first, self.second = first, second


@pytest.mark.parametrize("cls", [Chance, Counter, Swapping])
def test_constructions_that_do_not_repeat_are_an_error_with_the_path(cls: Any) -> None:
    def three_times() -> None:
        for _ in range(3):
            Blueprint(cls).create()

    with pytest.raises(NotRepeatedError) as raised:
        three_times()

    assert raised.value.path
    assert raised.value.path in str(raised.value)


def test_a_module_that_was_made_earlier_is_an_error_with_the_path() -> None:
    Cached.cache = None

    with pytest.raises(NotRepeatedError, match=r"part: was built by an earlier run"):
        Blueprint(Cached).create()


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


class MakesClasses(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        class Layer(nn.Linear):
            pass

        self.layer = Layer(2, 2)


class NamesClasses(nn.Module):
    n_made = 0

    def __init__(self) -> None:
        super().__init__()
        NamesClasses.n_made += 1
        cls: Any = type(f"Layer{NamesClasses.n_made}", (nn.Linear,), {})
        self.layer = cls(2, 2)


@pytest.mark.parametrize("cls", [MakesClasses, NamesClasses])
def test_a_constructor_that_makes_a_class_each_run_is_told(cls: Any) -> None:
    with pytest.raises(
        NotRepeatedError, match="defines a new class in each run, such as"
    ):
        Blueprint(cls)


def draw_width() -> int:
    return random.choice(range(2, 1000))


def draw_width_of_numpy() -> int:
    return int(np.random.randint(2, 1000))


class Drawn(nn.Module):
    def __init__(self, draw: Any = draw_width) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, draw()))


@pytest.mark.parametrize("draw", [draw_width, draw_width_of_numpy])
def test_an_argument_drawn_by_chance_is_noticed_with_its_path(draw: Any) -> None:
    with pytest.raises(NotRepeatedError, match=r"inner\.0: .*out_features was \d+"):
        Blueprint(Drawn, draw)


class Chosen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        kinds = [nn.ReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Tanh, nn.Mish, nn.CELU, nn.SELU]
        self.act = nn.ModuleList(random.choice(kinds)() for _ in range(20))


def test_a_class_drawn_by_chance_is_noticed() -> None:
    with pytest.raises(
        NotRepeatedError, match=r"depend on random numbers|different things in two runs"
    ):
        Blueprint(Chosen)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = random.random()
        self.linear = nn.Linear(2, 2)


def test_chance_that_makes_no_other_module_is_allowed() -> None:
    built = Blueprint(Scaled).build()

    assert isinstance(built.linear, nn.Linear)
