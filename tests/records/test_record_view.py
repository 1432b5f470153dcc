"""Entries by name, read like a dict or by attribute."""

import pytest
import torch

import burnish
from burnish.records import (
    Record,
    open_record,
)

from .typed_records import Moments


def test_an_unknown_attribute_lists_the_fields() -> None:
    with pytest.raises(AttributeError, match="Moments has no field 'w'; it has m, v"):
        _ = Moments(m=torch.ones(1)).w  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


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


def test_a_method_of_other_libraries_is_told_by_its_name_here() -> None:
    record = Record.from_state_dict({"weight": torch.ones(2)})

    with pytest.raises(AttributeError, match=r"'state_dict'. It is to_state_dict\(\)"):
        _ = open_record(record).state_dict


def test_a_part_of_many_names_shows_some_and_no_markup_of_a_stranger() -> None:
    names = [f"{i}" for i in range(9)]
    part = Record.from_state_dict({f"h.{n}": torch.ones(1) for n in names})["h"]
    odd = Record.from_state_dict({"h.<b>\x1b[31m": torch.ones(1)})["h"]

    assert repr(part) == "<branch with 0, 1, 2, 3, 4, 5, 6, 7, ...>"
    assert "\x1b" not in repr(odd)
    assert "<b>" not in odd._repr_html_()


@pytest.mark.parametrize(
    "name", ["clear", "copy", "pop", "setdefault", "to_dict", "update"]
)
def test_a_method_of_dicts_is_told_with_the_call_that_returns_a_dict(name: str) -> None:
    nest = open_record(burnish.save_record({"opt": {"state": [torch.ones(2)]}}))
    entries = Record.from_state_dict({"opt.state": torch.ones(2)})

    with pytest.raises(AttributeError, match=r"to_data\(\)"):
        getattr(nest, name)
    with pytest.raises(AttributeError, match=r"to_data\(\) has one at 'opt'"):
        getattr(nest["opt"], name)
    with pytest.raises(AttributeError, match=r"open_record\(part\).to_state_dict"):
        getattr(entries["opt"], name)


def test_a_part_names_the_call_for_its_state_dict() -> None:
    record = Record.from_state_dict({"model.weight": torch.ones(2)})

    with pytest.raises(AttributeError, match=r"open_record\(part\).to_state_dict"):
        _ = record["model"].state_dict
