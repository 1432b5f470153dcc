"""A trained tensor in plain data stays the one that its optimizer holds."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish import Record
from burnish.records import RecordMismatchError
from burnish.train import Checkpoints


class Scales(Record):
    inner: nn.Parameter
    count: int


def trained(value: float) -> torch.Tensor:
    return torch.full([2], value, requires_grad=True)


def containers(value: float) -> dict[str, Any]:
    return {
        "listed": [trained(value), {"deep": (trained(value), 3)}],
        "named": {"a": trained(value), "steps": 4, "mean": torch.full([2], value)},
        "record": Scales(nn.Parameter(torch.full([2], value)), 5),
    }


def tensors_of(parts: dict[str, Any]) -> list[torch.Tensor]:
    listed, named, record = parts.values()
    return [listed[0], listed[1]["deep"][0], named["a"], record.inner]


def test_an_optimizer_goes_on_with_the_restored_tensors(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, **containers(0.5))
    parts = containers(0.0)
    before = tensors_of(parts)
    mean = parts["named"]["mean"]
    optimizer = torch.optim.SGD(before, lr=1.0)

    checkpoints.restore(**parts)
    for tensor in before:
        tensor.grad = torch.ones(2)
    optimizer.step()

    assert all(a is b for a, b in zip(tensors_of(parts), before, strict=True))
    assert all(tensor.tolist() == [-0.5, -0.5] for tensor in before)
    assert parts["named"]["mean"] is not mean
    assert parts["named"]["mean"].tolist() == [0.5, 0.5]


def test_a_trained_tensor_comes_back_so_where_no_tensor_stood(tmp_path: Path) -> None:
    """An optimizer made over the one that came back took it, and it never moved."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state={"log_alpha": trained(0.5), "best": torch.ones(1)})
    state: dict[str, Any] = {}

    checkpoints.restore(state=state)

    assert state["log_alpha"].requires_grad
    assert not state["best"].requires_grad


@pytest.mark.parametrize(
    ("part", "path"),
    [
        (
            [trained(0.0), {"deep": (trained(0.0), 3)}, trained(0.0)],
            "listed.2: found",
        ),
        (
            [torch.zeros(3, requires_grad=True), {}],
            r"listed.0: .* expected .*\(3,",
        ),
        ([trained(0.0).double().detach().requires_grad_()], "listed.0: .*float64"),
    ],
)
def test_a_trained_tensor_that_nothing_is_stored_for_is_told(
    tmp_path: Path, part: list[Any], path: str
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, listed=containers(0.5)["listed"])
    before = [*part]

    with pytest.raises(RecordMismatchError, match=path):
        checkpoints.restore(listed=part)

    assert all(a is b for a, b in zip(part, before, strict=True))
    assert part[0].sum() == 0.0


def test_all_is_taken_back_if_a_later_part_does_not_fit(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, **containers(0.5), net=nn.Linear(2, 2))
    parts = containers(0.0)

    with pytest.raises(RecordMismatchError):
        checkpoints.restore(**parts, net=nn.Linear(3, 3))

    assert all(tensor.tolist() == [0.0, 0.0] for tensor in tensors_of(parts))
    assert parts["named"]["mean"].tolist() == [0.0, 0.0]
    assert parts["record"].count == 5


def test_results_that_require_gradients_are_history_and_replaced(
    tmp_path: Path,
) -> None:
    losses = [trained(1.0).sum(), trained(2.0).sum()]
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, losses=losses)
    again = [trained(3.0).sum()]

    checkpoints.restore(losses=again)

    assert [float(loss) for loss in again] == [2.0, 4.0]
