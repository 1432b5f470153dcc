"""Types of one's own in fields of records, by a pair of functions."""

import enum
import ipaddress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
import torch

from burnish.records import (
    Record,
    Recorder,
    RecordMismatchError,
    open_record,
    register_field_type,
)


@dataclass
class Rotation:
    matrix: torch.Tensor
    name: str = ""


class Mode(enum.Enum):
    FAST = 1


@dataclass
class Moody:
    """Encodes and decodes as a test says."""

    data: Any = None


class Derived(Rotation):
    pass


def rotation_of(data: Any) -> Rotation:
    if data["matrix"].shape != (2, 2):
        raise ValueError("a rotation is two by two")
    return Rotation(data["matrix"], data["name"])


register_field_type(
    Rotation, encode=lambda r: {"matrix": r.matrix, "name": r.name}, decode=rotation_of
)
register_field_type(
    Fraction,
    encode=lambda f: (f.numerator, f.denominator),
    decode=lambda pair: Fraction(*pair),
)
register_field_type(ipaddress.IPv4Address, encode=str, decode=ipaddress.IPv4Address)
register_field_type(Moody, encode=lambda moody: moody.data, decode=Moody)


class Scene(Record):
    camera: Rotation | None = None
    parts: dict[int, Rotation] | None = None
    shares: list[Fraction] | None = None
    host: ipaddress.IPv4Address | None = None
    moody: Moody | None = None
    anything: Any = None


@pytest.mark.parametrize("form", ["mpk", "json"])
def test_values_of_a_registered_type_come_back_as_that(form: str) -> None:
    scene = Scene(
        camera=Rotation(torch.eye(2), "front"),
        parts={3: Rotation(torch.ones(2, 2))},
        shares=[Fraction(1, 3), Fraction(2)],
        host=ipaddress.IPv4Address("10.0.0.1"),
    )

    stored = Scene.load(scene.save(recorder=Recorder(form)))

    assert stored.camera is not None
    assert stored.camera.name == "front"
    assert torch.equal(stored.camera.matrix, torch.eye(2))
    assert stored.parts is not None
    assert torch.equal(stored.parts[3].matrix, torch.ones(2, 2))
    assert stored.shares == scene.shares
    assert stored.host == scene.host


def test_tensors_of_a_type_of_ones_own_are_entries_of_the_record() -> None:
    shared = torch.eye(2)
    scene = Scene(camera=Rotation(shared), parts={0: Rotation(shared)})

    assert [(e.path, e.ties) for e in scene.entries()] == [
        ("camera.matrix", ("parts.0.matrix",))
    ]
    stored = Scene.load(scene.save(precision=None))
    assert stored.camera is not None
    assert stored.parts is not None
    assert stored.camera.matrix is stored.parts[0].matrix


def test_a_program_without_the_class_reads_its_data() -> None:
    data = Scene(shares=[Fraction(1, 3)], camera=Rotation(torch.eye(2), "a")).save()

    record = open_record(data)

    assert [record["shares.0.0"], record["shares.0.1"]] == [1, 3]
    assert record.camera.name == "a"
    assert torch.equal(record["camera.matrix"], torch.eye(2))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"camera": Derived(torch.eye(2))}, r"camera: a .*Derived cannot be stored"),
        ({"camera": Rotation(torch.ones(3))}, r"camera: .*ValueError: a rotation is"),
        (
            {"anything": Fraction(1)},
            r"anything: a Fraction would be read back as plain",
        ),
        (
            {"anything": [{"a": Fraction(1)}]},
            r"anything\.0\.a: a Fraction would be read back",
        ),
        ({"host": Fraction(1)}, r"host: found .*expected"),
        (
            {"moody": Moody(Mode.FAST)},
            r"moody: <Mode.FAST: 1> would be read back as a s",
        ),
        (
            {"moody": Moody([Fraction(1)])},
            r"moody\.0: a Fraction would be read back as",
        ),
        ({"moody": Moody({1: 2})}, r"moody: a dict needs str keys here"),
        ({"moody": Moody(object())}, r"moody: a builtins\.object cannot be stored"),
    ],
)
def test_what_would_not_come_back_is_refused_with_its_path(
    fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(TypeError, match=problem):
        Scene(**fields).save()


def test_data_of_a_file_that_the_class_does_not_take_is_a_mismatch() -> None:
    class Plain(Record):
        host: Any

    class Dated(Record):
        host: ipaddress.IPv4Address

    with pytest.raises(RecordMismatchError, match=r"host: found 'soon' \(Address"):
        _ = Dated.load(Plain("soon").save()).host


def test_a_decoder_that_returns_something_else_is_told_at_the_save() -> None:
    class Wrong:
        pass

    class Field(Record):
        value: Wrong

    register_field_type(Wrong, encode=lambda _: 1, decode=lambda number: number)
    with pytest.raises(TypeError, match=r"value: .*decode returned an int"):
        Field(Wrong()).save()


def test_the_last_registration_counts() -> None:
    class Box:
        def __init__(self, value: int) -> None:
            self.value = value

    class Field(Record):
        box: Box

    register_field_type(Box, encode=lambda _: 0, decode=Box)
    register_field_type(Box, encode=lambda box: box.value, decode=Box)

    assert Field.load(Field(Box(3)).save()).box.value == 3


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("Rotation", str, str), r"takes a class, got 'Rotation'"),
        ((dict, dict, dict), r"dict needs no rule"),
        ((Mode, 3, Mode), r"encode must be a function of one value, got 3"),
    ],
)
def test_wrong_registrations_are_refused(arguments: Any, problem: str) -> None:
    cls, encode, decode = arguments
    with pytest.raises(TypeError, match=problem):
        register_field_type(cls, encode=encode, decode=decode)
