"""Records within records that no field declares."""

from typing import Any

import torch

from burnish.records import (
    FlatRecord,
    Record,
)


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
