"""State dicts hold plain numbers and texts, whatever the hyperparameters are."""

import enum
import io
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from burnish.optim import AdamW, OptimizerAdaptor, SimpleOptimizer
from burnish.records import Record


class Mode(enum.Enum):
    FAST = "fast"
    SAFE = "safe"


class Parts(enum.Flag):
    HEAD = 1
    TAIL = 2


class Range(NamedTuple):
    low: float
    mode: Mode


class Seen(Record):
    total: Tensor
    marker: Any


@dataclass(frozen=True, kw_only=True)
class Marked(SimpleOptimizer[Seen]):
    """Keeps its hyperparameter in its state as well."""

    marker: Any = None

    def init(self, tensor: Tensor) -> Seen:
        return Seen(torch.zeros_like(tensor), self.marker)

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Seen
    ) -> tuple[Tensor, Seen]:
        return tensor - lr * grad, Seen(state.total + grad, state.marker)


SCALARS = [
    Mode.FAST,
    Parts.HEAD | Parts.TAIL,
    Parts(0),
    np.float32(0.1),
    np.float64(0.1),
    np.int64(3),
    np.str_("x"),
]
SEQUENCES = [(np.float64(0.5), Mode.SAFE), [Mode.FAST], Range(0.5, Mode.SAFE)]


def through_file(optim: OptimizerAdaptor) -> dict[str, Any]:
    """Return the state dict as torch reads it without running what is in it."""
    file = io.BytesIO()
    torch.save(optim.state_dict(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


def stepped(marker: Any) -> OptimizerAdaptor:
    net = nn.Linear(2, 2)
    optim = Marked(marker=marker).bind(net, lr=0.1)
    for param in net.parameters():
        param.grad = torch.ones_like(param)
    optim.step()
    return optim


@pytest.mark.parametrize("marker", SCALARS, ids=repr)
def test_enums_and_numbers_of_numpy_come_back_from_a_state_dict(marker: Any) -> None:
    optim, again = stepped(marker), stepped(marker)

    again.load_state_dict(through_file(optim))

    values = [again.param_groups[0]["marker"]]
    values += [stored["marker"] for stored in again.state.values()]
    assert values == [marker] * 3
    assert {type(value) for value in values} == {type(marker)}


@pytest.mark.parametrize("marker", SEQUENCES, ids=repr)
def test_what_is_in_lists_and_tuples_is_plain_as_well(marker: Any) -> None:
    net = nn.Linear(2, 2)
    optim, again = (AdamW().bind(net, lr=0.1) for _ in range(2))
    for each in (optim, again):
        each.param_groups[0]["marker"] = marker

    again.load_state_dict(through_file(optim))

    assert again.param_groups[0]["marker"] == marker
    assert type(again.param_groups[0]["marker"]) is type(marker)


def test_a_rate_of_numpy_is_no_silent_loss() -> None:
    optim, again = (AdamW().bind(nn.Linear(2, 2), lr=0.1) for _ in range(2))
    optim.param_groups[0]["lr"] = np.float32(0.05)

    again.load_state_dict(through_file(optim))

    assert again.param_groups[0]["lr"] == float(np.float32(0.05))


def test_a_rate_set_since_is_not_rounded_to_a_narrower_number() -> None:
    optim, again = (AdamW().bind(nn.Linear(2, 2), lr=0.1) for _ in range(2))
    again.param_groups[0]["lr"] = np.float32(0.1)
    optim.param_groups[0]["lr"] = 0.05

    again.load_state_dict(through_file(optim))

    assert again.param_groups[0]["lr"] == 0.05
