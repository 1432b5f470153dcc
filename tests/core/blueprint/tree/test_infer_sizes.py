from typing import Any

import pytest
import torch
from torch import nn

from burnish.core.blueprint import Blueprint


def sequence(*parts: Any) -> Any:
    return Blueprint(nn.Sequential, *parts)


@pytest.mark.parametrize(
    ("cls", "arguments", "example", "size"),
    [
        (nn.Conv1d, {"out_channels": 4, "kernel_size": 3}, (2, 3, 8), 3),
        (nn.Conv2d, {"out_channels": 4, "kernel_size": 3}, (3, 8, 8), 3),
        (
            nn.Conv2d,
            {"out_channels": 4, "kernel_size": 3, "groups": 2},
            (1, 6, 8, 8),
            6,
        ),
        (nn.Conv3d, {"out_channels": 4, "kernel_size": 1}, (2, 3, 4, 4, 4), 3),
        (nn.ConvTranspose2d, {"out_channels": 4, "kernel_size": 2}, (2, 3, 4, 4), 3),
        (nn.BatchNorm2d, {}, (2, 3, 4, 4), 3),
        (nn.InstanceNorm2d, {"affine": True}, (2, 3, 4, 4), 3),
        (nn.GroupNorm, {"num_groups": 2}, (2, 6, 4), 6),
        (nn.LayerNorm, {}, (2, 6, 4), 4),
        (nn.RMSNorm, {}, (2, 6, 4), 4),
        (nn.GRU, {"hidden_size": 4}, (2, 5, 3), 3),
        (nn.LSTM, {"hidden_size": 4, "num_layers": 2}, (2, 5, 3), 3),
    ],
)
def test_every_sized_layer_is_completed(
    cls: Any, arguments: Any, example: tuple[int, ...], size: int
) -> None:
    x = torch.randn(example)
    blueprint = sequence(Blueprint(cls, **arguments))
    name = blueprint._session.draft.nodes_by_path["0"].missing_sizes[0]

    module = blueprint.create(x)

    expected = (size,) if name == "normalized_shape" else size
    assert getattr(module[0], name) == expected
    module(x)


def test_bilinear_takes_two_inputs() -> None:
    module = Blueprint(nn.Bilinear, out_features=3).build(
        torch.zeros(2, 4), torch.zeros(2, 5)
    )

    assert module.weight.shape == (3, 4, 5)


def test_a_norm_swapped_in_takes_its_size_from_the_example() -> None:
    blueprint = sequence(Blueprint(nn.Conv2d, 3, 6, 1), Blueprint(nn.Identity))
    blueprint.configure("1", nn.GroupNorm, num_groups=3)

    assert blueprint.build(torch.zeros(1, 3, 2, 2))[1].num_channels == 6
