"""State dicts hold plain numbers and texts, whatever the hyperparameters are."""

import enum
import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from burnish.config import Schedule
from burnish.config.schedule import scheduled
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


@pytest.mark.parametrize(
    "rate",
    [scheduled(Schedule.parse("step: 0.05@0 lin 0@9"), float, 0.05), Fraction(1, 20)],
    ids=["scheduled", "fraction"],
)
def test_a_rate_of_another_class_is_stored_as_its_number(rate: Any) -> None:
    optim, again = (AdamW().bind(nn.Linear(2, 2), lr=0.1) for _ in range(2))
    optim.param_groups[0]["lr"] = rate

    again.load_state_dict(through_file(optim))

    assert again.param_groups[0]["lr"] == 0.05


def test_a_rate_set_since_is_not_rounded_to_a_narrower_number() -> None:
    optim, again = (AdamW().bind(nn.Linear(2, 2), lr=0.1) for _ in range(2))
    again.param_groups[0]["lr"] = np.float32(0.1)
    optim.param_groups[0]["lr"] = 0.05

    again.load_state_dict(through_file(optim))

    assert again.param_groups[0]["lr"] == 0.05


NESTED: list[Any] = [
    {"head": 0.5, "tail": {"deep": [1, Mode.SAFE]}},
    {1: 0.5, 2: "x"},
    {Mode.FAST: 0.5},
    np.array([0.1, 0.2], dtype=np.float32),
    np.array([[1, 2], [3, 4]]),
    torch.bfloat16,
    torch.channels_last,
    torch.device("cpu"),
    {0.5, 0.25},
    frozenset({Mode.FAST, Mode.SAFE}),
    (torch.float16, {"a": np.float64(0.1)}),
    torch.tensor([0.5, 0.25]),
]


def alike(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray | Tensor):
        return type(a) is type(b) and a.dtype == b.dtype and a.tolist() == b.tolist()
    return type(a) is type(b) and bool(a == b)


def other_than(marker: Any) -> Any:
    """Return a value of the same kind with other numbers."""
    if isinstance(marker, np.ndarray | Tensor):
        return marker * 0
    if isinstance(marker, dict):
        return dict.fromkeys(marker, 0.0) | {
            k: v for k, v in marker.items() if isinstance(v, dict)
        }
    if isinstance(marker, torch.dtype):
        return torch.float64
    return marker


@dataclass(frozen=True, kw_only=True)
class Configured(SimpleOptimizer[None]):
    """Has a hyperparameter of any kind."""

    marker: Any = None

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: None
    ) -> tuple[Tensor, None]:
        return tensor - lr * grad, None


@pytest.mark.parametrize("how", ["state dict", "record", "file"])
@pytest.mark.parametrize("marker", NESTED, ids=lambda value: type(value).__name__)
def test_hyperparameters_of_every_kind_of_data_come_back(marker: Any, how: str) -> None:
    net = nn.Linear(2, 2)
    optim = Configured(marker=marker).bind(net, lr=0.1)
    again = Configured(marker=other_than(marker)).bind(net, lr=0.1)

    if how == "state dict":
        again.load_state_dict(through_file(optim))
    else:
        source: Any = optim.into_record() if how == "record" else optim.save_record()
        again.load_record(source, hyperparameters="restore")

    assert alike(again.param_groups[0]["marker"], marker)
    net.weight.grad = torch.ones(2, 2)
    again.step()


@pytest.mark.parametrize("marker", [len, object(), nn.Linear(1, 1), [print], 1j])
def test_a_hyperparameter_that_is_no_data_is_named_when_it_is_left_out(
    marker: Any,
) -> None:
    optim = Configured(marker=marker).bind(nn.Linear(2, 2), lr=0.1)
    again = Configured(marker=marker).bind(nn.Linear(2, 2), lr=0.2)

    with pytest.warns(
        RuntimeWarning, match=r"group 0: marker .*Configured.*keeps the value"
    ):
        state = optim.state_dict()
    with pytest.warns(
        RuntimeWarning, match=r"group 0: marker .*Configured.*keeps the value"
    ):
        record = optim.save_record()

    for source in (state, record):
        again.param_groups[0]["lr"] = 0.2
        if source is state:
            again.load_state_dict(state)
        else:
            again.load_record(record, hyperparameters="restore")
        assert again.param_groups[0]["marker"] == marker
        assert again.param_groups[0]["lr"] == 0.1


def test_a_state_dict_is_no_window_into_a_hyperparameter() -> None:
    marker = {"a": [1]}
    optim = Configured(marker=marker).bind(nn.Linear(2, 2), lr=0.1)

    optim.state_dict()["param_groups"][0]["marker"]["a"].append(2)

    assert marker == {"a": [1]}


class Tables(Record):
    total: Tensor
    table: dict[Any, Any]
    names: Any


@dataclass(frozen=True, kw_only=True)
class Tabled(SimpleOptimizer[Tables]):
    """Keeps tables in its state."""

    def init(self, tensor: Tensor) -> Tables:
        table = {Mode.FAST: 0.0, 1: 0.0}
        return Tables(torch.zeros_like(tensor), table, {"a": [Mode.FAST], "b": 0})

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Tables
    ) -> tuple[Tensor, Tables]:
        table = {key: value + 1.0 for key, value in state.table.items()}
        return tensor - lr * grad, Tables(state.total + grad, table, state.names)


def test_tables_in_states_come_back_under_their_keys() -> None:
    net = nn.Linear(2, 2)
    optim, again = (Tabled().bind(net, lr=0.1) for _ in range(2))
    for _ in range(2):
        net.weight.grad = torch.ones(2, 2)
        optim.step()

    again.load_state_dict(through_file(optim))

    stored = again.state[net.weight]
    assert stored["table"] == {Mode.FAST: 2.0, 1: 2.0}
    assert stored["names"] == {"a": [Mode.FAST], "b": 0}
    again.step()
