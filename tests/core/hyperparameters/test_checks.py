"""Entries that are no arguments of the class, or not all of them, are refused."""

from typing import Any

import pytest
from torch import Tensor, nn

from burnish.config import Hparam, Hparams
from burnish.core import (
    Module,
    from_hyperparameters,
    get_hparams,
)
from burnish.core.errors import HyperparameterError


class Net(Module):
    def __init__(self, a: int, b: int = 2, *, c: str = "x") -> None:
        super().__init__()
        self.lin = nn.Linear(a, b)
        self.acts = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        self.m = nn.ModuleDict({"k": nn.Identity()})

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        return y


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


def test_a_computed_field_that_disagrees_is_refused() -> None:
    extended = get_hparams(with_computed_field()(32), extended=True)
    extended["head_dim"] = 7

    with pytest.raises(
        HyperparameterError, match=r"head_dim: is computed as 8, found 7"
    ):
        from_hyperparameters(extended)


class Typed(Hparams):
    lr: float = 0.1
    tags: tuple[str, ...] = ()


def test_an_unknown_argument_names_the_nearest() -> None:
    hparams = Net(3).hparams
    hparams["cc"] = 1

    with pytest.raises(HyperparameterError, match=r"cc: Net takes no such .*mean 'c'"):
        from_hyperparameters(hparams)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(HyperparameterError, match="a: Net needs this argument"):
        from_hyperparameters({"__module__": __name__, "__name__": "Net"})
