"""Parameters and gradients of any order in memory are stepped right."""

import pytest
import torch

from burnish.optim import (
    SGD,
)

from ...nets import (
    UserAdamW,
    distance,
    drive,
    plist,
)
from ...steppers import odd_formats


@pytest.mark.parametrize("fused", [False, None, True])
def test_channels_last_and_transposed_parameters_keep_their_format(
    fused: bool | None,
) -> None:
    left, right = odd_formats(), odd_formats()
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)
    strides = [p.stride() for p in left]

    drive(engine, left, *range(4))
    drive(loop, right, *range(4))

    assert distance(left, right) <= 1e-6
    assert [p.stride() for p in left] == strides


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_gradient_of_another_memory_format_is_stepped_right(
    fused: bool | None,
) -> None:
    module = plist(torch.zeros(2, 3, 4, 4))
    grad = torch.randn(2, 3, 4, 4)
    adaptor = SGD().bind(module, lr=1.0, fused=fused)
    module[0].grad = grad.to(memory_format=torch.channels_last)

    adaptor.step()

    assert torch.allclose(module[0], -grad)
