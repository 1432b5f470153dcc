"""Entries that no reader would take are not written."""

import dataclasses
from typing import Any

import pytest
import torch

from burnish.records import (
    Entry,
    ParamId,
    Record,
    RecordError,
    open_record,
)


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


def test_a_function_that_returns_no_tensor_is_refused_by_its_path() -> None:
    record = Record.from_state_dict({"a": torch.ones(2)})
    no_return: Any = lambda _: None  # noqa: E731
    with pytest.raises(TypeError, match="a: expected a tensor, got None"):
        record.map_tensors(no_return)
