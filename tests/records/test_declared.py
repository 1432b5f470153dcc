"""What a record saves is what its class loads; anything else is refused by path."""

import dataclasses
import enum
import typing
from collections import Counter, OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from burnish.records import Record


class Pair(NamedTuple):
    number: int
    values: torch.Tensor


class Options(typing.TypedDict):
    number: int
    values: torch.Tensor


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


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
    "defaultdict": (defaultdict, defaultdict(None, a=1)),
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
    "final": (typing.Final[int], 1),
}


@pytest.mark.parametrize(("hint", "value"), TAKEN.values(), ids=TAKEN)
def test_a_value_of_the_declared_type_comes_back_as_that(hint: Any, value: Any) -> None:
    cls = record_of(hint)

    again = cls.load(cls(x=value).save()).x

    expected = float if hint is float else type(value)
    assert type(again) is expected
    if isinstance(value, torch.Tensor):
        assert torch.equal(again, value)  # type: ignore[arg-type]  # a tensor too
    else:
        assert repr(again) == repr(expected(value) if hint is float else value)


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
