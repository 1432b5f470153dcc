"""Keys of dicts in records: what is declared comes back as that, or is refused."""

import enum
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any, Literal, NewType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.records import ParamId, Record, Recorder, RecordMismatchError

Layer = NewType("Layer", int)


class Part(enum.Enum):
    HEAD = "h"
    BODY = "b"


class Size(enum.StrEnum):
    SMALL = "s"
    LARGE = "SMALL"


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Keyed(Record):
    integers: dict[int, torch.Tensor] | None = None
    parts: dict[Part, dict[int, float]] | None = None
    sizes: dict[Size, int] | None = None
    levels: dict[Level, int] | None = None
    flags: dict[Access, int] | None = None
    layers: dict[Layer, int] | None = None
    either: dict[int | str, int] | None = None
    some: dict[Literal["a", 1], int] | None = None
    ids: dict[ParamId, int] | None = None
    ordered: OrderedDict[int, list[int]] | None = None
    counts: Counter[int] | None = None
    defaults: defaultdict[int, list[int]] | None = None
    mapping: Mapping[int, str] | None = None
    anything: Any = None
    texts: dict[str, int] | None = None
    pairs: dict[tuple[int, int], int] | None = None


CASES: dict[str, Any] = {
    "parts": {Part.HEAD: {1: 0.5}, Part.BODY: {}},
    "sizes": {Size.SMALL: 1, Size.LARGE: 2},
    "levels": {Level.LOW: 1},
    "flags": {Access.READ: 1, Access.READ | Access.WRITE: 2, Access(0): 3},
    "layers": {Layer(3): 1},
    "either": {1: 1, "a": 2},
    "some": {"a": 1, 1: 2},
    "ids": {ParamId("0123456789abc"): 1},
    "ordered": OrderedDict({2: [1], 1: []}),
    "counts": Counter({3: 2, -1: 1}),
    "defaults": defaultdict(None, {5: [1]}),
    "mapping": {0: "a"},
}


@pytest.mark.parametrize("form", ["mpk", "json"])
@pytest.mark.parametrize("name", CASES)
def test_keys_come_back_as_what_their_field_declares(name: str, form: str) -> None:
    record = Keyed(**{name: CASES[name]})

    value = getattr(Keyed.load(record.save(recorder=Recorder(form))), name)

    assert value == CASES[name]
    assert [*map(type, value)] == [*map(type, CASES[name])]


def test_tensors_by_number_lie_at_paths_of_their_numbers() -> None:
    record = Keyed(integers={7: torch.ones(2), -3: torch.zeros(1)})
    stored = Keyed.load(record.save())

    assert [entry.path for entry in record.entries()] == ["integers.7", "integers.-3"]
    assert stored.integers is not None
    assert torch.equal(stored.integers[7], torch.ones(2))


@given(st.dictionaries(st.integers(), st.integers()))
def test_any_integers_are_keys(integers: dict[int, int]) -> None:
    class Table(Record):
        rows: dict[int, int]

    assert Table.load(Table(integers).save()).rows == integers


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("texts", {1: 1}, r"texts: a dict with the key 1 is not what"),
        (
            "integers",
            {"1": torch.ones(1)},
            r"integers: a dict with the key .1. is not what",
        ),
        ("integers", {Level.LOW: torch.ones(1)}, r"integers: found the key 'LOW'"),
        ("counts", Counter({Level.LOW: 1}), r"counts: found the key 'LOW'"),
        ("integers", {True: torch.ones(1)}, r"needs keys that are str, int or members"),
        ("either", {"1": 1}, r"either: a dict with the key '1'"),
        ("either", {"1": 1, 1: 2}, r"must differ as strings here, found '1' and 1"),
        ("levels", {1: 1}, r"levels: found the key '1', expected keys"),
        ("anything", {1: 1}, r"anything: a dict needs str keys here, found 1"),
        ("anything", [{Part.HEAD: 1}], r"anything\.0: a dict needs str keys here"),
        ("pairs", {(1, 2): 1}, r"pairs: a dict needs keys that are str, int or mem"),
    ],
)
def test_keys_that_would_come_back_as_others_are_refused(
    name: str, value: Any, problem: str
) -> None:
    with pytest.raises(TypeError, match=problem):
        Keyed(**{name: value}).save()


@pytest.mark.parametrize("text", ["a", "1.5", "01", " 1", "1_0", "--1", "", "٣"])
def test_a_key_of_a_file_that_the_field_does_not_declare_is_told(text: str) -> None:
    class Texts(Record):
        rows: dict[str, int]

    class Numbers(Record):
        rows: dict[int, int]

    data = Texts({text: 1}).save()
    with pytest.raises(
        RecordMismatchError, match=r"found the key .*, expected keys of int"
    ):
        _ = Numbers.load(data).rows
