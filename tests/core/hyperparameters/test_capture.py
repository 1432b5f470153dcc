"""What a decorated constructor may be called with: all that it took before."""

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
import torch
from pydantic import ConfigDict
from torch import nn

from burnish import module, open_record
from burnish.config import Hparams


@module
class Any_(nn.Module):
    def __init__(this, *values: Any, **named: Any) -> None:  # pyright: ignore[reportSelfClsParameterName]  # what is tested
        super().__init__()
        this.layer = nn.Linear(1, 1)
        this.values, this.named = values, named


@module
class Table(nn.Module):
    def __init__(self, weight: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())


def test_an_argument_that_contains_itself_is_passed_on() -> None:
    items: list[Any] = []
    items.append(items)

    holder: Any = Any_(items, named=items)

    assert holder.values[0] is items
    hparams = open_record(holder.save_record()).metadata["burnish"]["hparams"]
    assert "__unstored__" in hparams


def test_an_argument_may_be_called_self() -> None:
    holder: Any = Any_(self=1)

    assert holder.named == {"self": 1}
    again: Any = Any_.from_record(holder.save_record())  # type: ignore[attr-defined]  # of a decorated class
    assert again.named == {"self": 1}


def test_a_tensor_that_was_an_argument_is_not_pickled_beside_the_parameter() -> None:
    table: Any = Table(torch.zeros(10_000))

    data = pickle.dumps(table)

    assert len(data) < 60_000
    assert torch.equal(pickle.loads(data).weight, table.weight)


def test_tensors_that_were_arguments_are_not_kept_by_what_is_noted() -> None:
    weight = torch.zeros(10_000)
    table: Any = Table(weight)
    holder: Any = Any_([weight], (1, (weight,)), named={"a": [weight.numpy()]})
    holder.values = holder.named = ()
    held = weakref.ref(weight)

    del weight
    gc.collect()

    assert held() is None
    assert len(pickle.dumps(copy.deepcopy(holder))) < 20_000
    with pytest.raises(TypeError, match=r"weight: an object of torch\.Tensor is no"):
        _ = table.hparams
    hparams = open_record(holder.save_record()).metadata["burnish"]["hparams"]
    assert set(hparams["__unstored__"]) == {"values", "named"}


def test_what_was_declared_as_a_tensor_is_checked_as_one() -> None:
    seen: list[Any] = []

    @module
    class Checked(nn.Module):
        class Hparams(Hparams):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            weight: torch.Tensor

        def __init__(self, weight: torch.Tensor) -> None:
            super().__init__()
            seen.append(weight)

    weight = torch.ones(2)

    Checked(weight)

    assert seen[0] is weight
