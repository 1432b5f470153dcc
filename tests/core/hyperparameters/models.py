"""Modules and values that several files of tests here use."""

import enum
import json
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from burnish.config import Hparam, Hparams
from burnish.core import Module, from_hyperparameters, get_hparams


class Net(Module):
    def __init__(self, a: int, b: int = 2, *, c: str = "x") -> None:
        super().__init__()
        self.lin = nn.Linear(a, b)
        self.acts = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        self.m = nn.ModuleDict({"k": nn.Identity()})

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        return y


class Counted(Module):
    built = 0

    def __init__(self, *children: nn.Module, size: int = 1) -> None:
        super().__init__()
        type(self).built += 1
        self.parts = nn.ModuleList(children)


class Pair(Module):
    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right


class Holds(Module):
    """Takes anything, keeps what modules there are."""

    def __init__(self, value: Any = None, **more: Any) -> None:
        super().__init__()
        self.value = value


def again(net: nn.Module) -> Any:
    return from_hyperparameters(json.loads(json.dumps(get_hparams(net))))


class Color(enum.Enum):
    RED = "red"


@dataclass
class Inner:
    size: tuple[int, int] = (1, 2)
    dtype: torch.dtype = torch.float16


@dataclass
class Config:
    width: int = 3
    color: Color = Color.RED
    inner: Inner = field(default_factory=Inner)


def with_computed_field() -> Any:
    from pydantic import computed_field

    class Computed(Hparams):
        dim: int = Hparam(64, ge=1)
        heads: int = 4

        @computed_field  # type: ignore[prop-decorator]  # as pydantic says to write it
        @property
        def head_dim(self) -> int:
            return self.dim // self.heads

    class Typed(Module):
        Hparams = Computed

        def __init__(self, dim: int = 64, heads: int = 4) -> None:
            super().__init__()
            self.lin = nn.Linear(dim, dim // heads)

    return Typed
