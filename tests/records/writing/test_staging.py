"""Staging: copies of what is saved, in memory that serves from save to save."""

from typing import Any

import pytest
import torch

from burnish.records import FlatRecord, PrecisionError, Record, RecordError
from burnish.records.entries.entry import Entry
from burnish.records.precision import Precision
from burnish.records.writing.staging import StagedRecord, Staging


def staged(record: FlatRecord, **precision: Any) -> StagedRecord:
    chosen = Precision(**precision).of_record(record)
    entries = record.entries()
    return StagedRecord(entries, chosen.stored_dtypes(entries), chosen)


def values(entry: Entry) -> torch.Tensor:
    return entry.tensor()


def odd_tensors() -> dict[str, torch.Tensor]:
    """Return tensors that are not plain rows of numbers."""
    square = torch.arange(16.0).view(4, 4)
    return {
        "row": torch.arange(5.0),
        "transposed": square.t(),
        "strided": square[:, ::2],
        "expanded": torch.ones(1).expand(3),
        "number": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "complex": torch.tensor([1 + 2j]).conj(),
        "bool": torch.tensor([True, False]),
        "ints": torch.tensor([1, 2], dtype=torch.uint8),
        "channels": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "grad": torch.nn.Parameter(torch.rand(3)),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "inference": inference_tensor(),
    }


def inference_tensor() -> torch.Tensor:
    with torch.inference_mode():
        return torch.ones(2)


def test_copies_have_the_values_of_their_tensors_in_one_memory() -> None:
    tensors = odd_tensors()
    record = Record.from_state_dict(tensors)

    (copies,), memory = Staging().copy([staged(record)])

    begin, end = memory.data_ptr(), memory.data_ptr() + len(memory)
    for entry, copy in zip(record.entries(), copies, strict=True):
        assert torch.equal(
            values(copy).float() if entry.path == "float8" else values(copy),
            values(entry).float() if entry.path == "float8" else values(entry),
        )
        assert values(copy).is_contiguous()
        assert not values(copy).numel() or begin <= values(copy).data_ptr() < end
        assert (copy.path, copy.kind, copy.shape) == (
            entry.path,
            entry.kind,
            entry.shape,
        )


def test_memory_is_one_copy_of_what_is_saved() -> None:
    tensors = {f"w{i}": torch.rand(100, 100) for i in range(5)}
    record = Record.from_state_dict({**tensors, "tied": tensors["w0"]})

    _, memory = Staging().copy([staged(record)])

    assert 200_000 <= len(memory) <= 200_000 + 64 * 6


def test_memory_that_was_given_back_serves_again_and_grows_where_needed() -> None:
    staging = Staging()
    record = staged(Record.from_state_dict({"w": torch.rand(1000)}))
    larger = staged(Record.from_state_dict({"w": torch.rand(2000)}))

    _, first = staging.copy([record])
    _, second = staging.copy([record])
    staging.give_back(first)
    _, third = staging.copy([record])
    staging.give_back(third)
    _, fourth = staging.copy([larger])

    assert second.data_ptr() != first.data_ptr()
    assert third.data_ptr() == first.data_ptr()
    assert len(fourth) >= 8000


def test_memory_from_inference_mode_serves_outside_of_it() -> None:
    staging = Staging()
    record = staged(Record.from_state_dict({"w": torch.rand(10)}))

    with torch.inference_mode():
        _, memory = staging.copy([record])
    staging.give_back(memory)
    (copies,), _ = staging.copy([record])

    assert torch.equal(values(copies[0]), values(record.entries[0]))


def test_half_precision_is_converted_on_the_way_and_takes_half_the_memory() -> None:
    weight = torch.rand(300, 1000).t()
    record = Record.from_state_dict({"w": weight})

    (copies,), memory = Staging().copy([staged(record, param="half")])

    assert copies[0].dtype is torch.float16
    assert torch.equal(values(copies[0]), weight.half())
    assert len(memory) <= 600_064


def test_what_half_precision_cannot_hold_is_refused() -> None:
    record = Record.from_state_dict({"w": torch.tensor([1e9])})

    with pytest.raises(PrecisionError, match=r"w.*does not fit float16"):
        Staging().copy([staged(record, param="half")])


def test_a_tensor_without_values_or_of_another_shape_is_refused_with_its_place() -> (
    None
):
    meta = staged(Record.from_state_dict({"w": torch.empty(3, device="meta")}))
    tensor = torch.ones(3)
    stale = staged(Record.from_state_dict({"w": tensor}))
    tensor.resize_(5)

    with pytest.raises(RecordError, match="w: a tensor on the meta device") as caught:
        Staging().copy([meta._replace(note="in the part 'net'")])
    with pytest.raises(RecordError, match="w: the tensor's shape changed to"):
        Staging().copy([stale])
    assert caught.value.__notes__ == ["in the part 'net'"]


def test_prepared_memory_serves_the_first_copy() -> None:
    staging = Staging()
    record = staged(Record.from_state_dict({"w": torch.rand(1000)}))

    staging.prepare([record])
    prepared = staging._spare[0].data_ptr()  # pyright: ignore[reportPrivateUsage]  # nobody else sees it
    _, memory = staging.copy([record])

    assert memory.data_ptr() == prepared


def test_torch_is_left_with_gradients_on_where_a_copy_fails() -> None:
    record = staged(Record.from_state_dict({"w": torch.empty(3, device="meta")}))

    with pytest.raises(RecordError):
        Staging().copy([record])

    assert torch.is_grad_enabled()
