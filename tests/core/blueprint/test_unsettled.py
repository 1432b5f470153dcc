"""Constructors that never do the same twice end in an error that says so."""

import random
from typing import Any

import numpy as np
import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import NotRepeatedError


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
        NotRepeatedError, match="makes a new class in each run, such as"
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
    with pytest.raises(NotRepeatedError, match=r"depend on chance|do not repeat"):
        Blueprint(Chosen)


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = random.random()
        self.linear = nn.Linear(2, 2)


def test_chance_that_makes_no_other_module_is_allowed() -> None:
    built = Blueprint(Scaled).build()

    assert isinstance(built.linear, nn.Linear)
