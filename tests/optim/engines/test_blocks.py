"""Blocks give the loop's numbers."""

import torch

from ..nets import (
    Net,
    UserAdamW,
    drive,
    equal,
)


def test_blocks_of_bfloat16_are_the_loop_to_the_bit() -> None:
    left, right = Net(torch.bfloat16), Net(torch.bfloat16)

    drive(UserAdamW().bind(left, lr=1e-2), left, *range(4))
    drive(UserAdamW().bind(right, lr=1e-2, fused=False), right, *range(4))

    assert equal(left, right)
