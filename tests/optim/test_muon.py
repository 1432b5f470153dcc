"""Muon resumes to the bit, and steps matrices of every dtype."""

import pytest
import torch

from burnish.optim import (
    Muon,
)

from .nets import drive, equal, plist


@pytest.mark.parametrize("fused", [False, None])
def test_muon_resumes_to_the_bit(fused: bool | None) -> None:
    nets = [plist(torch.ones(4, 3), torch.eye(4)) for _ in "ab"]
    first, second = (Muon().bind(net, lr=0.1, fused=fused) for net in nets)
    drive(first, nets[0], *range(5))
    drive(second, nets[1], *range(2))

    third = Muon().bind(nets[1], lr=0.1, fused=fused)
    third.load_record(second.save_record())
    drive(third, nets[1], *range(2, 5))

    assert equal(*nets)
