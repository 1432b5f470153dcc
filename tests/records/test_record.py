"""Typed records: fields in, entries out, and back."""

import copy
import dataclasses
import enum
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import burnish
from burnish.records import (
    Entry,
    FlatRecord,
    ParamId,
    Precision,
    Record,
    RecordError,
    RecordMismatchError,
    open_record,
)


class Mode(enum.Enum):
    TRAIN = 1
    EVAL = "eval"


class Moments(Record):
    m: Tensor
    v: Tensor | None = None


class State(Record):
    t: int
    moments: dict[str, Moments]
    history: list[float]
    mode: Mode = Mode.TRAIN
    table: np.ndarray[Any, Any] | None = None
    blob: bytes = b""
    pair: tuple[int, str] = (1, "a")
    big: int = 0


class Anything(Record):
    value: Any


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


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst", ".mpk.gz", ".json", ".json.gz"])
def test_every_kind_of_field_comes_back(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"state{suffix}"

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


def test_one_tensor_in_two_fields_is_stored_once_and_tied_again() -> None:
    tensor = torch.ones(1000)
    record = Moments(m=tensor, v=tensor)

    data = record.save()
    back = Moments.load(data)

    assert isinstance(data, bytes)
    assert len(data) < 6000
    assert back.m is back.v


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


def test_a_field_is_read_when_touched_and_only_then(tmp_path: Path) -> None:
    file = tmp_path / "two.mpk"
    Moments(m=torch.zeros(64), v=torch.ones(64)).save(file)
    content = bytearray(file.read_bytes())
    at = content.rfind(torch.ones(64).numpy().tobytes())
    content[at] ^= 1
    file.write_bytes(content)

    record = Moments.load(file)

    assert torch.equal(record.m, torch.zeros(64))
    with pytest.raises(Exception, match=r"two\.mpk: the bytes of v are not those"):
        _ = record.v


def test_unknown_and_missing_fields_name_both_sides() -> None:
    class Old(Record):
        t: int
        mm: Tensor

    class New(Record):
        t: int
        m: Tensor

    data = Old(t=1, mm=torch.ones(1)).save()

    with pytest.raises(RecordMismatchError) as caught:
        New.load(data)

    assert "mm: stored in the" in str(caught.value)
    assert "m: missing in the stored" in str(caught.value)
    assert "Did you mean 'm'?" in str(caught.value)


def test_a_field_of_another_type_names_the_path_and_both_types() -> None:
    data = Anything(value={"inner": "text"}).save()

    class Wanted(Record):
        value: dict[str, int]

    with pytest.raises(
        RecordMismatchError, match=r"value\.inner: found 'text', expected"
    ):
        _ = Wanted.load(data).value


def test_a_bool_is_no_int_and_an_int_is_a_float() -> None:
    class Number(Record):
        x: float

    class Whole(Record):
        x: int

    class Truth(Record):
        x: bool

    data = Anything(value=2)
    stored = Number.load(Number(x=2).save())

    assert stored.x == 2.0
    with pytest.raises(RecordMismatchError, match="x: found True, expected int"):
        _ = Whole.load(Truth(x=True).save()).x
    assert data.value == 2


def test_a_default_stands_in_for_a_field_that_the_file_lacks() -> None:
    class Before(Record):
        t: int

    class After(Record):
        t: int
        added: Tensor | None = None
        name: str = "new"

    back = After.load(Before(t=4).save())

    assert (back.t, back.added, back.name) == (4, None, "new")


def test_a_nested_record_without_declared_fields_keeps_its_entries() -> None:
    class Run(Record):
        model: Record | FlatRecord
        step: int

    model = Record.from_state_dict(
        {"layers.0.weight": torch.ones(2), "bias": torch.zeros(1)}
    )

    back = Run.load(Run(model=model, step=5).save())

    assert isinstance(back.model, FlatRecord)
    assert torch.equal(back.model["layers.0.weight"], torch.ones(2))
    assert torch.equal(back.model.layers[0].weight, torch.ones(2))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"value: a builtins\.object cannot be stored"),
        ({1: "x"}, "value: a dict needs str keys here, found 1"),
        ([lambda: 1], r"value\.0: a builtins\.function cannot be stored"),
        (np.array(["a"]), "value: an array of dtype <U1 is no plain numbers"),
        (
            torch.ones(2, device="meta"),
            "value: a tensor on the meta device, which has no values",
        ),
        (torch.eye(3).to_sparse(), "value: a tensor of layout torch.sparse_coo"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_path(value: Any, message: str) -> None:
    with pytest.raises(Exception, match=message):
        Anything(value=value).save()


def test_data_that_contains_itself_is_an_error_and_no_crash() -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(TypeError, match="nested deeper than 64 levels"):
        Anything(value=loop).save()


def test_a_field_that_would_hide_a_method_is_refused_when_declared() -> None:
    with pytest.raises(TypeError, match="a field called 'save' would hide what"):

        class Bad(Record):  # pyright: ignore[reportUnusedClass]  # never made
            save: int  # type: ignore[assignment]  # what is tested


def test_an_unknown_attribute_lists_the_fields() -> None:
    with pytest.raises(AttributeError, match="Moments has no field 'w'; it has m, v"):
        _ = Moments(m=torch.ones(1)).w  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def test_none_is_no_file() -> None:
    with pytest.raises(TypeError, match="file is None; leave it out"):
        Moments(m=torch.ones(1)).save(None)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_repr_is_one_line_of_dtypes_and_shapes() -> None:
    assert repr(Moments(m=torch.ones(2, 3))) == "Moments(m=float32[2x3], v=None)"


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(PLAIN)
def test_any_plain_value_comes_back_from_messagepack(value: Any) -> None:
    back = Anything.load(Anything(value=value).save())

    assert back.value == value
    assert type(back.value) is type(value)


class Shelf(Record):
    values: Any


class Deep(Record):
    tensor: torch.Tensor
    items: Any = None


def test_records_in_records_without_declared_types_keep_their_tensors() -> None:
    tensors = [torch.full((2,), float(i)) for i in range(5)]
    inner = Deep(tensor=tensors[2], items=[tensors[3], (b"xy", tensors[1])])
    outer = Deep(tensor=tensors[0], items={"inner": inner, "last": tensors[4]})

    found = Shelf.load(Shelf(values=outer).save()).values

    assert torch.equal(found["tensor"], tensors[0])
    assert torch.equal(found["items.last"], tensors[4])
    nested = found["items.inner"]
    assert torch.equal(nested["tensor"], tensors[2])
    assert torch.equal(nested["items"][0], tensors[3])
    assert nested["items"][1][0] == b"xy"
    assert torch.equal(nested["items"][1][1], tensors[1])


def test_plain_data_is_chosen_with_the_tensors_in_it_or_not_at_all() -> None:
    tree = {"a._extra_state": {"ema": {"$tensor": 0}}}
    entries = [
        Entry("a.ema", "extra", torch.float32, (2,), torch.ones(2)),
        Entry("a.w", "parameter", torch.float32, (2,), torch.zeros(2)),
    ]
    record = FlatRecord.of(entries, tree=tree)

    with pytest.raises(ValueError, match=r"a\._extra_state: .* a\.ema, a tensor in it"):
        record.select(exclude="a.ema")
    assert list(record.select(exclude=["a.ema", "a._extra_state"])) == ["a.w"]


def test_a_record_of_entries_is_read_like_a_dict() -> None:
    tensors = {"a.w": torch.ones(2), "a.b": torch.zeros(1), "c": torch.ones(3)}

    record = Record.from_state_dict(tensors)

    assert list(record.keys()) == list(tensors)
    assert dict(record).keys() == tensors.keys()
    assert all(value is tensors[name] for name, value in record.items())
    assert [value.shape for value in record.values()] == [(2,), (1,), (3,)]
    assert dict(record.a)["w"] is record["a.w"]
    assert record.get("c") is tensors["c"]
    assert record.a.get("x", 5) == 5
    assert "a" in dir(record)


def test_a_child_called_like_a_method_of_dicts_is_reached_as_an_item() -> None:
    tensors = {"att.keys.w": torch.ones(2), "items.w": torch.zeros(1)}

    record = Record.from_state_dict(tensors)

    assert dict(record).keys() == tensors.keys()
    assert record.att["keys"].w is tensors["att.keys.w"]
    assert record["items"].w is tensors["items.w"]


def test_nothing_is_assigned_to_a_record_that_shows_entries() -> None:
    record = Record.from_state_dict({"head.bias": torch.zeros(2)})

    with pytest.raises(TypeError, match=r"'head.bias' cannot be set"):
        record["head.bias"] = torch.ones(2)
    with pytest.raises(AttributeError, match="'bias' cannot be set"):
        record.head.bias = torch.ones(2)
    with pytest.raises(AttributeError, match="'head' cannot be set"):
        record.head = torch.ones(2)
    with pytest.raises(TypeError, match=r"'head.bias' cannot be removed"):
        del record["head.bias"]
    with pytest.raises(AttributeError, match="'bias' cannot be removed"):
        delattr(record.head, "bias")


def test_a_record_with_fields_is_not_iterated_by_number() -> None:
    class Step(Record):
        t: int

    with pytest.raises(TypeError, match=r"Step is not iterable; record.fields\(\)"):
        list(Step(t=1))


def test_a_record_of_a_file_shows_its_numbers_and_texts_too() -> None:
    class Progress(Record):
        step: int
        name: str
        best: torch.Tensor

    data = Progress(step=3, name="x", best=torch.ones(2)).save()

    lines = repr(open_record(data)).splitlines()
    assert [line.split() for line in lines[2:]] == [["step", "3"], ["name", "'x'"]]


def test_a_checkpoint_is_told_apart_from_the_state_dict_in_it() -> None:
    weights = {"a": torch.ones(1)}

    with pytest.raises(TypeError, match=r"from_state_dict\(checkpoint\['model'\]\)"):
        Record.from_state_dict({"epoch": 3, "model": weights})
    extra = {"model._extra_state": weights}
    assert Record.from_state_dict(extra).extra() == extra


class Curve(Record):
    points: np.ndarray
    name: bytes = b"loss"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_an_array_is_not_stored_in_a_dtype_that_numpy_lacks(dtype: torch.dtype) -> None:
    curve = Curve(points=np.arange(3.0))

    with pytest.raises(RecordError, match=r"points.*numpy.*keep='points'"):
        curve.save(precision=Precision(tensor=dtype))

    kept = Precision(tensor=dtype, keep="points")
    assert Curve.load(curve.save(precision=kept)).points.dtype == np.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e5m2])
@pytest.mark.parametrize("tag", ["$array", "$bytes"])
def test_a_file_whose_arrays_numpy_lacks_is_a_record_error(
    tag: str, dtype: torch.dtype
) -> None:
    plain = FlatRecord.of(
        [Entry("x", "tensor", dtype, (2,), torch.zeros(2).to(dtype))],
        tree={"$record": ["Anything", {"value": {tag: 0}}]},
        typed=True,
    )

    with pytest.raises(RecordError, match=r"x: found torch.*numpy does not have"):
        _ = plain["value"]


def test_a_record_without_fields_is_one(tmp_path: Path) -> None:
    record = Record()

    record.save(tmp_path / "r.mpk")

    assert repr(record) == "Record()"
    assert not open_record(tmp_path / "r.mpk").entries()


def test_metadata_and_extra_state_take_no_enum_that_would_become_its_name() -> None:
    flat = Record.from_state_dict({"x": torch.ones(1)})

    with pytest.raises(TypeError, match=r"metadata\.mode.*store its \.value"):
        flat.save(metadata={"mode": Mode.TRAIN})
    with pytest.raises(TypeError, match=r"mode.*store its \.value"):
        Record.from_state_dict({"x": torch.ones(1), "mode": Mode.TRAIN})


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "weight"},
        {"id": ParamId("short")},
        {"memory_format": "channels_last"},
        {"memory_format": "rows"},
        {"requires_grad": 1},
    ],
)
def test_an_entry_that_no_reader_would_take_is_not_written(
    said: dict[str, Any],
) -> None:
    entry = Entry("x", "tensor", torch.float32, (2,), torch.ones(2))

    with pytest.raises(RecordError, match=r"cannot be stored: .*'x'"):
        Record.from_entries([dataclasses.replace(entry, **said)]).save()


@pytest.mark.parametrize("n_dims", [64, 65])
def test_a_tensor_of_more_dimensions_than_a_reader_takes_is_not_written(
    n_dims: int,
) -> None:
    record = Record.from_state_dict({"x": torch.ones([1] * n_dims)})

    if n_dims == 64:
        assert open_record(record.save())["x"].dim() == 64
    else:
        with pytest.raises(RecordError, match=r"cannot be stored: 'x' has the shape"):
            record.save()


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


def test_further_paths_of_a_tied_tensor_stand_behind_its_first() -> None:
    tensor = torch.ones(2)
    record = Record.from_state_dict({"a": tensor, "b": torch.zeros(1), "c": tensor})

    for state in (record.to_state_dict(), open_record(record.save()).to_state_dict()):
        assert [*state] == ["a", "c", "b"]
        assert state["a"] is state["c"]
