"""States are stepped where their storage lies."""

import pytest
import torch
from torch import Tensor

from ...nets import (
    Net,
    UserAdamW,
    distance,
    drive,
)


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("how", ["share_memory_", "data"])
def test_states_whose_storage_moved_are_stepped_where_they_are(
    how: str, fused: bool | None
) -> None:
    left, right = Net(), Net()
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)
    drive(engine, left, 1, 2)
    drive(loop, right, 1, 2)

    for state in engine.state.values():
        for tensor in state.values():
            if isinstance(tensor, Tensor) and how == "data":
                tensor.data = tensor.data.clone()
            elif isinstance(tensor, Tensor):
                tensor.share_memory_()  # type: ignore[no-untyped-call]  # torch's stub
    drive(engine, left, 3, 4)
    drive(loop, right, 3, 4)

    assert distance(left, right) <= 1e-6
    for a, b in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.allclose(engine.state[a]["m"], loop.state[b]["m"], atol=1e-6)
