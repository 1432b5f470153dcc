"""A convolutional encoder and decoder with skip connections: an ordinary module."""

from itertools import pairwise

import torch
from torch import Tensor, nn

import burnish


@burnish.module
class EncoderDecoder(nn.Module):
    """Halves the image at each stage of the encoder, and doubles it in the decoder.

    Each stage of the decoder sees the output of the encoder at its size as well.
    """

    def __init__(self, n_channels: int = 1, widths: tuple[int, ...] = (8, 16)) -> None:
        super().__init__()
        sizes = [n_channels, *widths]
        self.encoder = nn.ModuleList(Conv(a, b) for a, b in pairwise(sizes))
        self.pool = nn.MaxPool2d(2)
        self.middle = Conv(widths[-1], widths[-1])
        self.up = nn.Upsample(scale_factor=2)
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for width in reversed(widths):
            self.decoder.append(Conv(below + width, width))
            below = width
        self.head = nn.Conv2d(below, n_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
            x = self.pool(x)
        x = self.middle(x)
        for stage, skip in zip(self.decoder, reversed(skips), strict=True):
            x = stage(torch.cat([self.up(x), skip], dim=1))
        result: Tensor = self.head(x)
        return result


@burnish.module
class Conv(nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(n_inputs, n_outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(n_outputs)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.norm(self.layer(x)))
        return result
