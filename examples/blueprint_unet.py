"""A U-Net of blocks whose parts are chosen by styles: a list of them is an order.

Run it: two U-Nets of one class learn to tell discs from noise, in a few seconds.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

import burnish
from burnish.core.blueprint import Blueprint, register_style


@burnish.module
class ConvBlock(nn.Sequential):
    """A convolution under the name ``layer``; styles put more before and behind it."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        layer = nn.Conv2d(n_inputs, n_outputs, 3, padding=1)
        super().__init__(OrderedDict(layer=layer))


@register_style(ConvBlock)
def normalized(block: Any, before: str = "") -> None:
    """Normalize what comes so far, or what comes before another part."""
    norm: Blueprint[Any] = Blueprint(nn.BatchNorm2d, None)
    if before:
        block.insert(before, norm, name="normalization")
    else:
        block.append(norm, name="normalization")


@register_style(ConvBlock)
def activated(block: Any, cls: type[nn.Module] = nn.ReLU) -> None:
    """Put an activation at the end."""
    block.append(cls, name="activation")


@register_style(ConvBlock)
def pooled(block: Any) -> None:
    """Halve the image before all else."""
    block.insert(0, Blueprint(nn.MaxPool2d, 2), name="pool")


@register_style(ConvBlock)
def upsampled(block: Any) -> None:
    """Double the image before all else."""
    block.insert(0, Blueprint(nn.Upsample, scale_factor=2), name="upsample")


@register_style(ConvBlock)
def shortcut(block: Any) -> None:
    """Add what goes in to what comes out, through a convolution of one pixel."""
    skip: Blueprint[Any] = Blueprint(nn.Conv2d, None, block.layer.out_channels, 1)
    block.wrap(lambda part: Blueprint(Shortcut, part, skip))


@register_style(ConvBlock)
def ordered(block: Any, *names: str) -> None:
    """Do several by name, in this order: what is appended comes in the order here."""
    for name in names:
        block.style(name)


@burnish.module
class Shortcut(nn.Module):
    def __init__(self, inner: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.inner, self.skip = inner, skip

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x) + self.skip(x)
        return result


@burnish.module
class UNet(nn.Module):
    """Blocks down and up again; each one up gets what the one beside it gave."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([ConvBlock(1, width), ConvBlock(width, 2 * width)])
        self.bottom = ConvBlock(2 * width, 4 * width)
        self.decoder = nn.ModuleList(
            [ConvBlock(4 * width, 2 * width), ConvBlock(4 * width, width)]
        )
        self.head = nn.Conv2d(2 * width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        x = self.bottom(x)
        for block in self.decoder:
            x = torch.cat([block(x), skips.pop()], dim=1)
        result: Tensor = self.head(x)
        return result


def plain() -> Blueprint[Any]:
    """Return a U-Net with a normalization before each activation."""
    bp: Blueprint[Any] = Blueprint(UNet)
    bp.isinstance(ConvBlock).style("ordered", "normalized", "activated")
    (bp["encoder", 1:] + bp["bottom"]).style("pooled")
    bp["decoder", :].style("upsampled")
    return bp


def residual() -> Blueprint[Any]:
    """Return one with another activation first, and a shortcut at the bottom."""
    bp: Blueprint[Any] = Blueprint(UNet, width=4)
    blocks = bp.isinstance(ConvBlock)
    blocks.style("activated", nn.SiLU).style("normalized", before="activation")
    bp["encoder", 1:].style("pooled")
    bp["decoder", :].style("upsampled")
    bp.bottom.style("shortcut")
    bp.configure("bottom.skip", nn.Conv2d, kernel_size=2, stride=2)
    bp.bottom.inner.style("pooled")
    bp.isinstance(nn.Conv2d).initialize(nn.init.kaiming_normal_)
    return bp


def discs(n: int = 32, size: int = 16) -> tuple[Tensor, Tensor]:
    """Return noisy images of one disc each, and where the discs are."""
    grid = torch.arange(float(size))
    centers = torch.randint(4, size - 4, (n, 2, 1, 1))
    square_distances = (grid[:, None] - centers[:, 0]) ** 2 + (
        grid - centers[:, 1]
    ) ** 2
    masks = (square_distances < 9.0).float()[:, None]
    return masks + 0.3 * torch.randn(masks.shape), masks


def train(net: nn.Module, x: Tensor, masks: Tensor, n_steps: int = 40) -> list[float]:
    """Return the losses."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses: list[float] = []
    for _ in range(n_steps):
        loss = nn.functional.binary_cross_entropy_with_logits(net(x), masks)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch declares no types here
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    torch.manual_seed(0)
    images, masks = discs()
    for blueprint in (plain(), residual()):
        blueprint.show()
        net = blueprint.build(images)
        losses = train(net, images, masks)
        is_disc = burnish.predict(net, images) > 0
        accuracy = (is_disc == masks.bool()).float().mean()
        print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, {accuracy:.1%} of pixels\n")
