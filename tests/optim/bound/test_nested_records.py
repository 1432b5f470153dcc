"""Records within a state come back as what they are."""

import copy
import enum
import io
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import burnish
from burnish.optim import OptimizerAdaptor, SimpleOptimizer

from ..nets import (
    drive,
    engine_names,
    equal,
    layers,
)


class Inner(burnish.Record):
    sum: Tensor
    count: int


class Nested(burnish.Record):
    inner: Inner
    all: list[Inner]


class Nesting(SimpleOptimizer[Nested]):
    """Keeps records within its state."""

    def init(self, tensor: Tensor) -> Nested:
        return Nested(Inner(torch.zeros_like(tensor), 0), [])

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Nested) -> Any:
        inner = Inner(state.inner.sum + grad, state.inner.count + 1)
        older = state.all[0].sum if state.all else grad
        new = tensor - (inner.sum + older) * (lr / inner.count)
        return new, Nested(inner, [Inner(state.inner.sum, 0)])


def test_records_within_a_state_come_back_as_what_they_are() -> None:
    left, right = layers(), layers()
    first = Nesting().bind(left, lr=0.1)
    drive(first, left, 1, 2)
    again = Nesting().bind(right, lr=0.1)
    right.load_state_dict(left.state_dict())

    again.load_record(first.save_record())
    drive(first, left, 3, 4)
    drive(again, right, 3, 4)

    assert engine_names(again) == {"loop"}
    assert equal(left, right)


class Mode(enum.Enum):
    FAST = 1
    SAFE = 2


class Sides(NamedTuple):
    left: Tensor
    mode: Mode


class Mixed(burnish.Record):
    n: int
    mode: Mode
    late: Mode | None
    sides: Sides
    seen: set[int]
    modes: list[Mode]
    by_number: dict[int, float]
    by_mode: dict[Mode, Inner]
    pair: tuple[int, Inner]
    dtype: torch.dtype
    array: np.ndarray[Any, Any]
    name: str


class Mixing(SimpleOptimizer[Mixed]):
    """Keeps one of each kind of value in its state, empty ones at first."""

    def init(self, tensor: Tensor) -> Mixed:
        zero = torch.zeros_like(tensor)
        return Mixed(
            0,
            Mode.FAST,
            None,
            Sides(zero, Mode.FAST),
            set(),
            [],
            {},
            {},
            (0, Inner(zero, 0)),
            torch.float32,
            np.zeros(2),
            "",
        )

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Mixed) -> Any:
        n, left = state.n + 1, state.sides.left * 0.5 + grad
        scale = state.mode.value * (1 + sum(state.by_number.values()) + len(state.name))
        new_state = Mixed(
            n,
            Mode.SAFE,
            Mode.FAST,
            Sides(left, Mode.SAFE),
            state.seen | {n},
            [*state.modes, Mode.SAFE],
            {**state.by_number, n: 0.5},
            {**state.by_mode, Mode.SAFE: Inner(left, n)},
            (n, Inner(state.pair[1].sum + grad, n)),
            torch.float64,
            state.array + 1,
            state.name + "x",
        )
        return tensor - left * (lr * scale), new_state


def by_record(optim: OptimizerAdaptor, again: OptimizerAdaptor) -> OptimizerAdaptor:
    again.load_record(optim.save_record())
    return again


def by_state_dict(optim: OptimizerAdaptor, again: OptimizerAdaptor) -> OptimizerAdaptor:
    file = io.BytesIO()
    torch.save(optim.state_dict(), file)
    file.seek(0)
    again.load_state_dict(torch.load(file, weights_only=True))
    return again


def by_copy(optim: OptimizerAdaptor, again: OptimizerAdaptor) -> OptimizerAdaptor:
    return copy.deepcopy(optim)


def by_pickle(optim: OptimizerAdaptor, again: OptimizerAdaptor) -> OptimizerAdaptor:
    copied: OptimizerAdaptor = pickle.loads(pickle.dumps(optim))
    return copied


def plain(value: Any) -> Any:
    """Return a value with its types, and nothing that == cannot compare."""
    if isinstance(value, burnish.Record):
        value = value.fields()
    if isinstance(value, dict):
        return sorted(((repr(k), plain(v)) for k, v in value.items()), key=repr)
    if isinstance(value, list | tuple):
        return type(value), [plain(item) for item in value]
    if isinstance(value, Tensor | np.ndarray):
        return type(value), value.tolist()
    return type(value), value


@pytest.mark.parametrize("carry", [by_record, by_state_dict, by_copy, by_pickle])
def test_every_kind_of_value_in_a_state_comes_back_as_what_it_is(
    carry: Callable[[OptimizerAdaptor, OptimizerAdaptor], OptimizerAdaptor],
) -> None:
    net, other = layers(), layers()
    optim = Mixing().bind(net, lr=0.1)
    drive(optim, net, 1, 2)

    again = carry(optim, Mixing().bind(other, lr=0.1))

    values = [[plain(v) for v in o.state.values()] for o in (optim, again)]
    assert values[0] == values[1]


def test_a_named_tuple_of_other_fields_is_refused() -> None:
    net = layers()
    optim, again = (Mixing().bind(net, lr=0.1) for _ in range(2))
    drive(optim, net, 1)
    data = optim.state_dict()
    data["state"][0]["sides"] = (*data["state"][0]["sides"], 1)

    with pytest.raises(burnish.records.RecordMismatchError, match="sides"):
        again.load_state_dict(data)
