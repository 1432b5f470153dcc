"""Typed records: fields in, entries out, and back."""

import copy
import pickle
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import burnish
from burnish.records import (
    FlatRecord,
    Record,
    open_record,
)

from ..formats_of_records import OWN_RECORDERS
from .typed_records import Mode, Moments


class State(Record):
    t: int
    moments: dict[str, Moments]
    history: list[float]
    mode: Mode = Mode.TRAIN
    table: np.ndarray[Any, Any] | None = None
    blob: bytes = b""
    pair: tuple[int, str] = (1, "a")
    big: int = 0


def example() -> State:
    return State(
        t=3,
        moments={"a.b": Moments(m=torch.ones(2, 3)), "$odd": Moments(m=torch.zeros(1))},
        history=[1.0, float("nan"), float("-inf")],
        mode=Mode.EVAL,
        table=np.arange(6, dtype=np.int16).reshape(2, 3),
        blob=b"\x00\xff",
        pair=(7, "x"),
        big=-(2**90),
    )


@pytest.mark.parametrize("suffix", [s for s in OWN_RECORDERS if s != "safetensors"])
def test_every_kind_of_field_comes_back(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"state.{suffix}"

    example().save(file)
    back = State.load(file)

    assert (back.t, back.mode, back.blob) == (3, Mode.EVAL, b"\x00\xff")
    assert (back.pair, back.big) == ((7, "x"), -(2**90))
    assert back.history[0] == 1.0
    assert np.isnan(back.history[1])
    assert back.history[2] == float("-inf")
    assert back.table is not None
    assert back.table.dtype == np.int16
    assert (back.table == np.arange(6).reshape(2, 3)).all()
    assert list(back.moments) == ["a.b", "$odd"]
    assert torch.equal(back.moments["a.b"].m, torch.ones(2, 3))
    assert back.moments["a.b"].v is None


def test_a_field_is_the_tensor_itself_and_not_a_copy() -> None:
    tensor = torch.ones(2)

    record = Moments(m=tensor)

    assert record.m is tensor
    assert record["m"] is tensor


def test_items_reach_into_lists_dicts_and_records_by_path() -> None:
    record = example()

    assert record["history.0"] == 1.0
    assert torch.equal(record["moments.a\\.b.m"], torch.ones(2, 3))
    assert "moments.a\\.b.m" in record
    assert "moments.c" not in record
    with pytest.raises(KeyError, match=r"nothing is stored at 'history\.9'"):
        record["history.9"]


def test_a_clone_is_a_snapshot_in_memory_of_its_own() -> None:
    tensor = torch.zeros(3)
    record = Moments(m=tensor, v=tensor)

    snapshot = record.clone()
    tensor.fill_(1)

    assert torch.equal(snapshot.m, torch.zeros(3))
    assert snapshot.v is snapshot.m


def test_what_files_modules_and_state_dicts_give_is_a_record_to_those_who_ask() -> None:
    class Empty(Record):
        pass

    records = (
        open_record(example().save()),
        Record.from_state_dict({"w": torch.ones(1)}),
        burnish.core.into_record(torch.nn.Linear(1, 1)),
        example(),
    )

    assert all(isinstance(record, Record) for record in records)
    assert issubclass(FlatRecord, Record)
    assert not issubclass(FlatRecord, State)
    assert not isinstance(records[0], Empty)
    assert not isinstance({"w": 1}, Record)
    assert not isinstance(example(), FlatRecord)


def test_records_survive_pickle_and_deepcopy_before_they_are_read() -> None:
    data = example().save()

    for copied in (
        pickle.loads(pickle.dumps(State.load(data))),
        copy.deepcopy(State.load(data)),
        pickle.loads(pickle.dumps(open_record(data))).typed(State),
    ):
        assert copied.mode is Mode.EVAL
        assert torch.equal(copied.moments["a.b"].m, torch.ones(2, 3))


def test_none_is_no_file() -> None:
    with pytest.raises(TypeError, match="file is None; leave it out"):
        Moments(m=torch.ones(1)).save(None)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_checkpoint_is_told_apart_from_the_state_dict_in_it() -> None:
    weights = {"a": torch.ones(1)}

    with pytest.raises(TypeError, match=r"from_state_dict\(checkpoint\['model'\]\)"):
        Record.from_state_dict({"epoch": 3, "model": weights})
    extra = {"model._extra_state": weights}
    assert Record.from_state_dict(extra).extra() == extra


def test_a_record_without_fields_is_one(tmp_path: Path) -> None:
    record = Record()

    record.save(tmp_path / "r.mpk")

    assert repr(record) == "Record()"
    assert not open_record(tmp_path / "r.mpk").entries()


def test_records_are_equal_by_identity_and_hold_the_same_if_their_bytes_are() -> None:
    class Holder(Record):
        n: int
        t: Tensor

    one, same = (Holder(n=1, t=torch.tensor([1.0, torch.nan])) for _ in range(2))
    others = [
        Holder(n=2, t=one.t),
        Holder(n=1, t=one.t.double()),
        Holder(n=1, t=-one.t),
        Holder(n=1, t=one.t[None]),
    ]

    assert one != same
    assert len({one, same}) == 2
    assert one.save() == same.save() == Holder.load(one.save()).save()
    assert all(one.save() != other.save() for other in others)


def test_an_attribute_that_is_no_field_is_told_when_it_is_left_out() -> None:
    class Untyped(Record):
        step: int
        best = None

        @cached_property
        def name(self) -> str:
            return f"step {self.step}"

    class Outer(Record):
        inner: Untyped

    record: Any = Untyped(step=1)
    record._scratch = record.name
    record.save()
    record.best, record.stepp = 0.5, 2

    with pytest.warns(RuntimeWarning, match="the Untyped has best, stepp, but its"):
        record.save()
    with pytest.warns(RuntimeWarning, match="the Untyped has best, stepp, but its"):
        Outer(inner=record).save()
