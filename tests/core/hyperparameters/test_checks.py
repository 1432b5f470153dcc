"""Entries that are not arguments of the class, or not all of them, are refused."""

import pytest

from burnish.config import Hparams
from burnish.core import (
    from_hyperparameters,
    get_hparams,
)
from burnish.core.errors import HyperparameterError

from .models import Net, with_computed_field


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
        from_hyperparameters({"__module__": Net.__module__, "__name__": "Net"})
