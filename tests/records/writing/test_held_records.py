"""Which entries stay where they are while they are saved, and which are copied."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import SGD
from burnish.records import FlatRecord, Record
from burnish.records.io.save_handle import SnapshotReport
from burnish.records.precision import Precision
from burnish.records.writing import held_records
from burnish.records.writing.held_records import HeldRecords
from burnish.records.writing.lazy_snapshot import HeldTensor, LazySnapshot
from burnish.records.writing.spare_memory import SpareMemory
from burnish.records.writing.staging import StagedRecord, Staging

SIDE = 8


@pytest.fixture(autouse=True)
def small_tensors_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_records, "LEAST", SIDE)


def staged(record: FlatRecord, precision: Any = None) -> StagedRecord:
    chosen = Precision.of(precision or Precision()).of_record(record)
    entries = record.entries()
    return StagedRecord(entries, chosen.stored_dtypes(entries), chosen)


def copied(record: FlatRecord, precision: Any = None) -> list[str]:
    """Return the paths of what is copied of a record."""
    (rest,) = HeldRecords([staged(record, precision)]).to_copy
    return [entry.path for entry in rest.entries]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(SIDE, SIDE))
        self.register_buffer("count", torch.rand(SIDE, SIDE))
        self.register_buffer("cache", torch.rand(SIDE, SIDE), persistent=False)


def test_a_stepped_parameter_stays_and_buffers_are_copied() -> None:
    net = Net()
    optim = SGD().bind(net, lr=0.1)

    assert copied(record_of(net)) == [
        "count",
        "cache",
    ]
    assert optim.param_groups


def record_of(net: nn.Module) -> FlatRecord:
    from burnish.core import into_record

    return into_record(net)


def test_a_parameter_that_is_converted_is_copied() -> None:
    net = Net()
    optim = SGD().bind(net, lr=0.1)

    assert "weight" in copied(record_of(net), "half")
    assert optim.param_groups


def shared(weight: Tensor) -> Tensor:
    tensor = weight.detach()
    tensor.share_memory_()  # type: ignore[no-untyped-call]  # of torch
    return tensor


AWKWARD: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda weight: weight.detach().t(),
    "strided": lambda weight: weight.detach()[:, ::2],
    "of booleans": lambda weight: weight.detach().view(torch.bool),
    "negated": lambda weight: torch._neg_view(weight.detach()),  # pyright: ignore
    "a copy": lambda weight: weight.detach().clone(),
    "shared": shared,
}


@pytest.mark.parametrize("name", AWKWARD)
def test_what_is_no_row_of_values_that_an_optimizer_steps_is_copied(name: str) -> None:
    net = Net()
    optim = SGD().bind(net, lr=0.1)

    assert copied(Record.from_state_dict({"a": AWKWARD[name](net.weight)})) == ["a"]
    assert optim.param_groups


def test_a_view_of_a_stepped_row_stays() -> None:
    net = Net()
    optim = SGD().bind(net, lr=0.1)

    assert copied(Record.from_state_dict({"a": net.weight.detach()[2:4]})) == []
    assert optim.param_groups


def test_tensors_of_inference_mode_are_copied() -> None:
    with torch.inference_mode():
        net = Net()
    optim = SGD().bind(net, lr=0.1)

    assert copied(record_of(net)) == ["weight", "count", "cache"]
    assert optim.param_groups


def test_what_stays_and_what_is_copied_comes_together_in_order() -> None:
    net = nn.Sequential(Net(), Net())
    optim = SGD().bind(net, lr=0.1)
    record = record_of(net)
    records = HeldRecords([staged(record)])

    held = records.hold(LazySnapshot(SpareMemory(0), SnapshotReport()))
    copies, _ = Staging().copy(records.to_copy)
    (entries,) = records.join(held, copies)

    assert [e.path for e in entries] == [e.path for e in record.entries()]
    assert [e.kind for e in entries if isinstance(e.source, HeldTensor)] == [
        "parameter",
        "parameter",
    ]
    assert all(
        torch.equal(a.read(), b.read())
        for a, b in zip(entries, record.entries(), strict=True)
    )
    assert optim.param_groups
    assert records.size == 2 * SIDE * SIDE * 4
