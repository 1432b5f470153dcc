"""Gradients that share memory are stepped in turn."""

import torch

from burnish.optim import (
    SGD,
)

from ..nets import (
    plist,
)


def test_sparse_and_shared_gradients_step_in_turn() -> None:
    net = plist(torch.ones(4, 2), torch.ones(3))
    at, ones = torch.tensor([[1]]), torch.ones(1, 2)
    net[0].grad = torch.sparse_coo_tensor(at, ones, (4, 2), check_invariants=True)
    net[1].grad = torch.ones(3)

    SGD().bind(net, lr=0.5, fused=False).step()

    assert net[0].tolist() == [[1, 1], [0.5, 0.5], [1, 1], [1, 1]]
