"""Values on their way into a record: ties found, misfits named by path."""

import enum
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import burnish
from burnish.records import (
    Record,
    Recorder,
    open_record,
)
from burnish.records.entries.encoder import Encoder

from ..typed_records import Anything, Moments


class Color(enum.Enum):
    RED = 1


def test_one_tensor_in_two_places_is_one_entry_with_a_tie() -> None:
    tensor = torch.ones(2)
    encoder = Encoder()

    node = encoder.encode({"a": tensor, "b": [tensor]}, "field")

    assert node == {"a": {"$tensor": 0}, "b": [{"$tensor": 0}]}
    assert [entry.path for entry in encoder.entries] == ["field.a"]
    assert encoder.entries[0].ties == ("field.b.0",)


def test_dots_and_an_empty_key_are_escaped_in_the_paths_of_entries() -> None:
    encoder = Encoder()

    encoder.encode({"a.b": torch.ones(1), "": torch.zeros(1)}, "field")

    assert [entry.path for entry in encoder.entries] == ["field.a\\.b", "field.\\e"]


def test_scalars_of_numpy_are_stored_as_numbers() -> None:
    encoder = Encoder()

    assert encoder.encode([np.float32(0.5), np.int8(3)], "field") == [0.5, 3]
    with pytest.raises(TypeError, match=r"field: a numpy\.complex64 cannot be stored"):
        encoder.encode(np.complex64(1j), "field")


def test_a_dict_needs_texts_as_keys() -> None:
    with pytest.raises(TypeError, match=r"field\.a: a dict needs str keys here"):
        Encoder(is_declared=False).encode({"a": {1: 2}}, "field")


class Named(str):
    __slots__ = ()


class ById(str):
    """Texts that are equal to themselves alone."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class Size(enum.StrEnum):
    SMALL = "s"


@pytest.mark.parametrize("form", ["mpk", "json"])
def test_keys_that_are_more_than_texts_come_back_as_texts_from_every_format(
    form: str,
) -> None:
    record = Anything(value={Named("a"): 1, Size.SMALL: {np.str_("n"): torch.ones(2)}})

    value = Anything.load(record.save(recorder=Recorder(form))).value

    assert [type(key) for key in (*value, *value["s"])] == [str, str, str]
    assert value["a"] == 1
    assert torch.equal(value["s"]["n"], torch.ones(2))


@pytest.mark.parametrize("form", ["mpk", "json", "safetensors"])
def test_keys_of_metadata_may_be_more_than_texts_in_every_format(form: str) -> None:
    data = burnish.save_record(
        nn.Linear(1, 1), recorder=Recorder(form), metadata={Size.SMALL: {Named("a"): 1}}
    )

    assert burnish.open_record(data).metadata["s"] == {"a": 1}


def test_keys_of_one_text_are_refused_and_none_is_lost() -> None:
    with pytest.raises(TypeError, match=r"field: the keys of a dict must differ"):
        Encoder().encode({ById("a"): 1, ById("a"): 2}, "field")


def test_an_enum_is_stored_only_where_a_field_declares_it() -> None:
    assert Encoder().encode(Color.RED, "field") == {"$enum": "RED"}
    with pytest.raises(TypeError, match="no field declares its class"):
        Encoder(is_declared=False).encode(Color.RED, "field")


def test_what_nests_in_itself_is_an_error_with_its_path() -> None:
    values: list[object] = []
    values.append(values)

    with pytest.raises(TypeError, match=r"^field\.0\.0.*nested deeper"):
        Encoder().encode(values, "field")


def test_entries_of_extra_state_get_the_numbers_after_those_before_them() -> None:
    first, second = Encoder(), Encoder()
    first.encode(torch.ones(1), "a")
    second.encode([torch.ones(1), torch.zeros(1)], "b")

    numbers = second.move_to(first.entries)

    assert numbers == {0: 1, 1: 2}
    assert [entry.kind for entry in first.entries] == ["tensor", "extra", "extra"]


def test_one_tensor_in_two_fields_is_stored_once_and_tied_again() -> None:
    tensor = torch.ones(1000)
    record = Moments(m=tensor, v=tensor)

    data = record.save()
    back = Moments.load(data)

    assert isinstance(data, bytes)
    assert len(data) < 6000
    assert back.m is back.v


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), r"value: a builtins\.object cannot be stored"),
        ({1: "x"}, "value: a dict needs str keys here, found 1"),
        ([lambda: 1], r"value\.0: a builtins\.function cannot be stored"),
        (np.array(["a"]), "value: an array of dtype <U1 is not plain numbers"),
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


def test_further_paths_of_a_tied_tensor_stand_behind_its_first() -> None:
    tensor = torch.ones(2)
    record = Record.from_state_dict({"a": tensor, "b": torch.zeros(1), "c": tensor})

    for state in (record.to_state_dict(), open_record(record.save()).to_state_dict()):
        assert [*state] == ["a", "c", "b"]
        assert state["a"] is state["c"]
