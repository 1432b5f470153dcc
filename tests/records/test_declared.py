"""What a record saves is what its class loads; anything else is refused by path."""

import dataclasses
import enum
import typing
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from burnish import open_record
from burnish.records import FlatRecord, Record, Recorder, RecordMismatchError


class Pair(NamedTuple):
    number: int
    values: torch.Tensor


class Options(typing.TypedDict):
    number: int
    values: torch.Tensor


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Word(enum.StrEnum):
    PARAM = "weight"


class Code(enum.IntEnum):
    OK = 200


T = typing.TypeVar("T")


class Box(Record, typing.Generic[T]):
    x: T


def record_of(hint: Any) -> Any:
    """Return a record class with the one field ``x`` that is declared as ``hint``."""
    return type("Holder", (Record,), {"__annotations__": {"x": hint}})


TAKEN: dict[str, tuple[Any, Any]] = {
    "size": (torch.Size, torch.Size([1, 2])),
    "numpy scalar": (np.float32, np.float32(0.1)),
    "numpy integer": (np.int16, np.int16(3)),
    "named tuple": (Pair, Pair(1, torch.ones(2))),
    "ordered dict": (OrderedDict[str, int], OrderedDict(b=1, a=2)),
    "bare ordered dict": (OrderedDict, OrderedDict(b=1, a=2)),
    "counter": (Counter, Counter("aab")),
    "counter of texts": (Counter[str], Counter("aab")),
    "text that is a member": (Word, Word.PARAM),
    "enum after a text": (str | Word, Word.PARAM),
    "enums in a sequence": (Sequence[Word], [Word.PARAM]),
    "tuple as a sequence": (Sequence[Word], (Word.PARAM,)),
    "enums in a mapping": (Mapping[str, Word], {"a": Word.PARAM}),
    "literal": (typing.Literal["a", 2, Word.PARAM], Word.PARAM),
    "generic record": (Box[int], Box(x=3)),
    "defaultdict": (defaultdict, defaultdict(None, a=1)),
    "mapping of any class": (Mapping[str, int], {"a": 1}),
    "bytearray": (bytearray, bytearray(b"ab")),
    "parameter": (nn.Parameter, nn.Parameter(torch.ones(2))),
    "flags": (Rights, Rights.READ | Rights.WRITE),
    "one flag": (Rights, Rights.READ),
    "no flag": (Rights, Rights(0)),
    "typed dict": (Options, {"number": 1, "values": torch.ones(1)}),
    "list": (list[int], [1, 2]),
    "tuple": (tuple[int, ...], (1, 2)),
    "optional": (list[int] | None, None),
    "dict": (dict[str, list[torch.Tensor]], {"$a.b": [torch.ones(1)]}),
    "float of an int": (float, 1),
    "float of a large int": (float, 2**60),
    "final": (typing.Final[int], 1),
}


@pytest.mark.parametrize(("hint", "value"), TAKEN.values(), ids=TAKEN)
def test_a_value_of_the_declared_type_comes_back_as_that(hint: Any, value: Any) -> None:
    cls = record_of(hint)

    again = cls.load(cls(x=value).save()).x

    expected = float if hint is float else type(value)
    assert type(again) is expected
    assert not isinstance(again, list | tuple) or [*map(type, again)] == [
        *map(type, value)
    ]
    if isinstance(value, torch.Tensor):
        assert torch.equal(again, value)  # type: ignore[arg-type]  # a tensor too
    else:
        assert repr(again) == repr(expected(value) if hint is float else value)


class Numbers(list[int]):
    pass


class Inner(Record):
    t: torch.Tensor


INNER = Inner(t=torch.ones(1))

REFUSED: dict[str, tuple[Any, Any]] = {
    "list given a tuple": (list[int], (1, 2)),
    "tuple given a list": (tuple[int, int], [1, 2]),
    "tuple of another length": (tuple[int, int], (1,)),
    "text for an int": (int, "s"),
    "bool for an int": (int, True),
    "float for an int": (int, 1.0),
    "item in a dict": (dict[str, int], {"a": 1, "b": "s"}),
    "item in a list": (list[int], [1, "s"]),
    "missing key": (Options, {"number": 1}),
    "text in a named tuple": (Pair, Pair("s", torch.ones(1))),  # type: ignore[arg-type]  # what is tested
    "factory": (defaultdict, defaultdict(int, a=1)),
    "frozen parameter": (nn.Parameter, nn.Parameter(torch.ones(1), False)),
    "none": (torch.Tensor, None),
    "member for a text": (str, Word.PARAM),
    "member for a number": (int, Code.OK),
    "member in a list of texts": (list[str], [Word.PARAM]),
    "member in a bare list": (list, [[Word.PARAM]]),
    "member in a bare dict": (dict, {"a": Word.PARAM}),
    "member for anything": (Any, {"a": [Code.OK]}),
    "counter for anything": (Any, {"a": [Counter("aab")]}),
    "counter for a dict": (dict[str, int], Counter("aab")),
    "named tuple for anything": (Any, Pair("s", torch.ones(1))),  # type: ignore[arg-type]  # any
    "size for a tuple": (tuple[int, ...], torch.Size([1])),
    "list of a class of its own": (list[int], Numbers([1])),
    "member for any item": (list[Any], [Rights.READ]),
    "member for an object": (object, Rights.READ),
    "another literal": (typing.Literal["a", 2], "b"),
    "number beside a literal": (typing.Literal[1], True),
    "int that no float is": (float, 2**53 + 1),
    "int beyond all floats": (float, 10**400),
    "int beyond a scalar": (np.int8, 300),
    "float beyond a scalar": (np.float16, 1e30),
    "float for a whole scalar": (np.int64, 2.5),
    "scalar of no type": (np.generic, np.int8(1)),
    "texts in a sequence of ints": (Sequence[int], ["a"]),
    "long double": (float, np.longdouble(1.5)),
    "array of long doubles": (np.ndarray, np.ones(2, np.longdouble)),
    "masked array": (np.ndarray, np.ma.masked_equal([1.0, 2.0], 2.0)),  # type: ignore[no-untyped-call]  # of numpy
    "matrix": (np.ndarray, np.ones((2, 2)).view(np.matrix)),
    "long complex number": (Any, np.clongdouble(1)),
}


@pytest.mark.parametrize(("hint", "value"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_its_class_could_not_load_is_refused_by_path(
    hint: Any, value: Any
) -> None:
    with pytest.raises(TypeError, match=r"^x"):
        record_of(hint)(x=value).save()


def test_a_nested_record_is_refused_by_its_whole_path() -> None:
    inner = record_of(int)

    class Outer(Record):
        parts: dict[str, Any]

    with pytest.raises(TypeError, match=r"^parts\.a\.x: found 's'"):
        Outer(parts={"a": inner(x="s")}).save()


@pytest.mark.parametrize("name", ["_metadata", "_pending", "_flat", "save"])
def test_a_field_hides_nothing_that_records_need(name: str) -> None:
    with pytest.raises(TypeError, match=f"a field called '{name}' would hide"):
        type("Holder", (Record,), {"__annotations__": {name: int}})


def test_a_field_that_the_constructor_does_not_take_has_its_default() -> None:
    class Holder(Record):
        z: int = dataclasses.field(init=False, default=7)

    holder = Holder()

    assert holder.z == 7
    assert Holder.load(holder.save()).z == 7


def test_an_annotation_that_nobody_can_read_is_refused_when_it_is_saved() -> None:
    class Holder(Record):
        x: "Unheard"  # type: ignore[name-defined]  # noqa: F821  # what is tested

    with pytest.raises(TypeError, match=r"Holder.*'Unheard' is not defined"):
        Holder(x=1).save()


def test_a_class_variable_stays_on_the_class_and_in_no_file() -> None:
    class Holder(Record):
        x: int
        unit: typing.ClassVar[str] = "ms"
        later: typing.ClassVar[int]

    holder = Holder(x=1)

    assert holder.unit == Holder.unit == "ms"
    assert [*holder.fields()] == ["x"]
    assert Holder.load(holder.save()).x == 1
    with pytest.raises(AttributeError):
        _ = Holder.later


def test_an_argument_of_the_constructor_alone_is_in_no_file() -> None:
    class Scaled(Record):
        x: int
        factor: dataclasses.InitVar[int]

        def __post_init__(self, factor: int) -> None:
            self.x *= factor

    class Shifted(Scaled):
        y: int = 0

    again = Shifted.load(Shifted(2, 3, y=4).save())

    assert again.fields() == {"x": 6, "y": 4}


def test_a_record_of_another_class_is_refused_in_one_sentence() -> None:
    class Inner(Record):
        x: int

    class Wider(Inner):
        y: int

    with pytest.raises(TypeError, match=r"no such field, as its field declares$"):
        record_of(Inner)(x=Wider(1, 2)).save()


@pytest.mark.parametrize(
    ("hint", "wrap", "path"),
    [
        (list[Inner], lambda inner: [inner], ".0"),
        (tuple[Inner, ...], lambda inner: (inner,), ".0"),
        (dict[str, Inner], lambda inner: {"a": inner}, ".a"),
        (Inner | None, lambda inner: inner, ""),
    ],
)
def test_a_record_comes_back_as_its_class_wherever_that_is_declared(
    hint: Any, wrap: Any, path: str
) -> None:
    cls = record_of(hint)

    again = cls.load(cls(x=wrap(INNER)).save())

    assert type(again.x) is type(wrap(INNER))
    assert all(type(part) is Inner for part in _records_in(again.x))
    assert torch.equal(again[f"x{path}.t"], INNER.t)


@pytest.mark.parametrize("hint", [Any, object, list, Record])
@pytest.mark.parametrize("inner", [INNER, INNER.flat()])
def test_a_record_of_a_class_that_nothing_declares_comes_back_as_a_record(
    hint: Any, inner: Record
) -> None:
    value: Any = [{"a": inner}, (inner,)] if hint is not Record else inner

    again = record_of(hint).load(record_of(hint)(x=value).save()).x

    parts = [again] if hint is Record else [again[0]["a"], again[1][0]]
    for part in parts:
        assert isinstance(part, FlatRecord)
        assert torch.equal(part["t"], INNER.t)


def _records_in(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return [*value] if isinstance(value, list | tuple) else [value]


def test_a_record_in_extra_state_is_refused_by_its_path() -> None:
    with pytest.raises(TypeError, match=r"^extra\.a: a .*Inner is not plain data"):
        Record.from_state_dict({"extra": {"a": INNER}})


def test_a_field_that_the_file_lacks_is_told_with_what_to_do() -> None:
    class After(Record):
        t: torch.Tensor
        added: int

    with pytest.raises(RecordMismatchError, match=r"added: missing[^$]*a default in "):
        After.load(INNER.save())


def test_a_chosen_part_of_a_record_is_told_from_a_whole_one() -> None:
    class Two(Record):
        t: torch.Tensor
        n: int

    data = Two(t=torch.ones(1), n=3).save()

    with pytest.raises(RecordMismatchError, match=r"some tensors of a .*Two.*all its"):
        Two.load(open_record(data, only="t"))
    with pytest.raises(ValueError, match=r"only='n' matches nothing.*open it without"):
        open_record(data, only="n")


class Point(Record):
    x: torch.Tensor


class Offset(Record):
    x: torch.Tensor


class SharpPoint(Point):
    pass


class Shape(Record):
    one: Point | Offset
    maybe: Offset | Point | None
    many: list[Point] | list[Offset]
    named: dict[str, Point | Offset]


def test_records_of_a_union_are_told_apart_by_their_names(tmp_path: Path) -> None:
    point, offset = Point(torch.tensor(1.0)), Offset(torch.tensor(2.0))

    for one in (point, offset):
        shape = Shape(one, one, [one], {"a": point, "b": offset})  # type: ignore[arg-type]  # of either class
        shape.save(tmp_path / "shape.mpk")
        again = Shape.load(tmp_path / "shape.mpk")

        assert {type(again.one), type(again.maybe), type(again.many[0])} == {type(one)}
        assert [type(r) for r in again.named.values()] == [Point, Offset]
        assert torch.equal(again.one.x, one.x)


def test_a_record_of_a_union_whose_class_was_renamed_is_the_first_that_fits(
    tmp_path: Path,
) -> None:
    class Old(Record):
        one: SharpPoint

    Old(SharpPoint(torch.ones(2))).save(tmp_path / "old.mpk")

    class New(Record):
        one: Offset | Point

    assert isinstance(New.load(tmp_path / "old.mpk").one, Offset)


def test_a_record_that_would_come_back_as_another_class_is_refused() -> None:
    class Base(Record):
        one: Point

    with pytest.raises(
        TypeError, match="one: a SharpPoint would be read back as a Point"
    ):
        Recorder().dumps(Base(SharpPoint(torch.ones(2))))


@pytest.mark.parametrize("hint", [Pair, Pair | tuple[int, torch.Tensor]])
def test_a_tuple_that_would_come_back_as_a_named_one_is_refused(hint: Any) -> None:
    with pytest.raises(TypeError, match="x: a tuple would be read back as a Pair"):
        Recorder().dumps(record_of(hint)((1, torch.ones(2))))


def the_tensor(value: Any) -> torch.Tensor:
    """Return the tensor that ``value`` is, or holds alone."""
    if isinstance(value, torch.Tensor):
        return value
    (item,) = value.values() if isinstance(value, Mapping) else value
    return the_tensor(item)


@pytest.mark.parametrize(
    ("hint", "make"),
    [
        (Any | None, lambda tensor: tensor),
        (tuple[Any, ...], lambda tensor: (tensor,)),
        (Sequence[Any], lambda tensor: [tensor]),
        (Mapping[str, Any], lambda tensor: {"a": tensor}),
        (dict[str, Any] | None, lambda tensor: {"a": tensor}),
        (dict | None, lambda tensor: {"a": tensor}),
    ],
    ids=lambda value: None if isinstance(value, FunctionType) else str(value),
)
def test_what_stands_for_anything_in_a_type_comes_back_trained_if_it_was(
    hint: Any, make: Callable[[torch.Tensor], Any]
) -> None:
    cls = record_of(hint)
    weight = torch.ones(2, requires_grad=True)

    back = cls.load(cls(make(weight)).save()).x

    assert the_tensor(back).requires_grad


def test_a_save_asks_of_each_tensor_once_whether_it_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It asked of all at each item: 4,000 tensors took two seconds."""
    asked: list[object] = []

    def is_trained(value: object) -> bool:
        asked.append(value)
        return False

    monkeypatch.setattr("burnish.records.declared.is_trained", is_trained)
    record_of(dict[str, Any])({str(i): torch.ones(1) for i in range(9)}).save()

    assert len(asked) == 9


def test_a_tensor_in_a_field_of_containers_comes_back_as_a_tensor() -> None:
    cls = record_of(list[torch.Tensor] | None)

    back = cls.load(cls([torch.ones(2, requires_grad=True)]).save()).x

    assert not the_tensor(back).requires_grad


def test_what_no_field_declares_comes_back_trained_if_it_was() -> None:
    class Loose(Record):
        anything: Any
        named: dict  # type: ignore[type-arg]  # as users write it
        tensor: torch.Tensor

    weight = nn.Parameter(torch.zeros(2))
    record = Loose([weight], {"p": weight, "w": torch.ones(1)}, torch.ones(3))

    back = Loose.load(record.save())

    assert [back.anything[0].requires_grad, back.named["p"].requires_grad] == [True] * 2
    assert not back.tensor.requires_grad
    assert not back.named["w"].requires_grad
