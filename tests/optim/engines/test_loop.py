"""Sparse gradients and complex parameters in the plain loop."""

import pytest
import torch
from torch import nn

from burnish.optim import (
    AdamW,
)

from ..nets import (
    UserAdamW,
    distance,
    plist,
)


@pytest.mark.parametrize("fused", [False, None, True])
def test_sparse_gradients_are_stepped_as_dense_ones(fused: bool | None) -> None:
    sparse, dense = (nn.Embedding(6, 3, sparse=s) for s in (True, False))
    dense.load_state_dict(sparse.state_dict())

    for module in (sparse, dense):
        adaptor = UserAdamW().bind(module, lr=0.1, fused=fused)
        for _ in range(3):
            adaptor.zero_grad()
            module(torch.tensor([1, 4, 4])).square().sum().backward()
            adaptor.step()

    assert distance(sparse, dense) <= 1e-6


@pytest.mark.parametrize("fused", [False, None, True])
def test_complex_parameters_are_stepped_as_pairs_of_real_ones(
    fused: bool | None,
) -> None:
    left, right = (plist(torch.ones(3, dtype=torch.complex64)) for _ in "ab")
    adaptor = AdamW().bind(left, lr=0.1, fused=fused)
    oracle = torch.optim.AdamW(right.parameters(), lr=0.1, foreach=False)

    for net, optimizer in ((left, adaptor), (right, oracle)):
        for k in range(3):
            net[0].grad = torch.tensor([1 + 2j, -1j, k + 0j], dtype=torch.complex64)
            optimizer.step()

    assert torch.allclose(left[0], right[0], atol=1e-6)
