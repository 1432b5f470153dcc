"""Tensors of a module that share a part of their memory; misfits that do no harm."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import from_record, load_record, report_of
from burnish.records import RecordError, RecordMismatchError


class Rows(nn.Module):
    """A matrix and its first row, which may be a view of it."""

    def __init__(
        self, *, is_view: bool, value: float = 0.0, persistent: bool = True
    ) -> None:
        super().__init__()
        self.register_buffer("x", torch.zeros(2, 2))
        row: Any = self.x[0] if is_view else torch.full((2,), value)  # type: ignore[index]
        self.register_buffer("row", row, persistent=persistent)
        self.weight = nn.Parameter(torch.ones(2))


class Cache(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("mask", torch.ones(size), persistent=False)


def values(module: nn.Module) -> list[Tensor]:
    return [t.detach().clone() for t in [*module.parameters(), *module.buffers()]]


def test_different_values_for_views_of_one_memory_are_refused() -> None:
    data = burnish.save_record(Rows(is_view=False, value=9.0))
    module = Rows(is_view=True)
    before = values(module)

    with pytest.raises(RecordMismatchError, match="x: found values that differ"):
        load_record(module, data)
    with pytest.raises(RecordMismatchError, match="shares memory"):
        from_record(lambda: Rows(is_view=True), data)

    assert all(map(torch.equal, values(module), before))


def test_equal_values_for_views_of_one_memory_are_loaded() -> None:
    source, module = Rows(is_view=True), Rows(is_view=True)
    source.get_buffer("x").fill_(5.0)

    load_record(module, burnish.save_record(source))

    assert all(map(torch.equal, values(module), values(source)))


def test_a_view_that_no_state_dict_has_gives_way_and_is_reported() -> None:
    data = burnish.save_record(Rows(is_view=False, value=9.0, persistent=False))
    module = Rows(is_view=True, persistent=False)

    report = load_record(module, data)

    assert not module.get_buffer("x").any()
    assert "row" not in report.loaded
    assert any(line.startswith("row: shares memory") for line in report.changed)


def test_a_cache_that_has_grown_is_left_out_with_a_line_of_the_report() -> None:
    data, module = burnish.save_record(Cache(8)), Cache(4)

    report = load_record(module, data)
    built = from_record(lambda: Cache(4), data)

    line = "mask: found shape (8,), expected (4,); left unchanged"
    assert line in report.changed
    assert module.get_buffer("mask").tolist() == built.get_buffer("mask").tolist()
    assert line in report_of(built).changed  # type: ignore[union-attr]


def test_a_record_without_values_is_refused_in_words() -> None:
    record = burnish.open_record(burnish.save_record(nn.Linear(2, 2)), device="meta")

    with pytest.raises(RecordError, match="no values to load"):
        load_record(nn.Linear(2, 2), record)


def test_gradients_come_along_to_a_stored_dtype() -> None:
    module = nn.Linear(2, 2)
    data = burnish.save_record(nn.Linear(2, 2).double())
    module(torch.ones(1, 2)).sum().backward()

    load_record(module, burnish.open_record(data, dtype="stored"))

    assert module.weight.dtype is torch.float64
    assert [p.grad.dtype for p in module.parameters()] == [torch.float64] * 2  # type: ignore[union-attr]
