"""Four networks, reconfigured by patterns, trained on digits, saved and reopened.

python examples/blueprint_reconfigured.py
"""

import functools
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from blueprint_encoder_decoder import EncoderDecoder
from blueprint_mlp import MLP
from blueprint_resnet import ResNet18
from blueprint_vit import ViT
from rich import print
from sklearn.datasets import load_digits
from torch import Tensor, nn

from burnish.core.blueprint import Blueprint
from burnish.optim import AdamW


def mlp() -> Blueprint[MLP]:
    """Return a perceptron that is deeper than its class says, without a ReLU."""
    blueprint = Blueprint(MLP, depth=3)
    blueprint.configure("blocks.*.act", nn.SiLU).configure("**.dropout.p", 0.1)
    return blueprint.configure("blocks.2", width=16).configure("head", in_features=16)


def encoder_decoder() -> Blueprint[EncoderDecoder]:
    """Return an encoder and decoder with other norms, and leaky in the encoder."""
    blueprint = Blueprint(EncoderDecoder, widths=(8, 16))
    blueprint.configure("**.norm", nn.GroupNorm, num_groups=4)
    return blueprint.configure("encoder.*.act", nn.LeakyReLU, negative_slope=0.1)


def resnet() -> Blueprint[ResNet18]:
    """Return a slim ResNet-18 for small gray images."""
    blueprint = Blueprint(ResNet18, n_channels=1, n_classes=10, width=8)
    blueprint.configure("stem.0", kernel_size=3, stride=1, padding=1)
    blueprint.replace("stem.3", nn.Identity)
    return blueprint.configure("**.act{1,2}", functools.partial(nn.ELU, alpha=0.5))


def vit() -> Blueprint[ViT]:
    """Return a deeper transformer with RMS norms and narrow blocks."""
    blueprint = Blueprint(ViT, depth=3)
    blueprint.configure("blocks.*.norm*", nn.RMSNorm).configure("blocks.*", ratio=2)
    return blueprint.configure("blocks.0.act", nn.ReLU)


def train(net: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> list[float]:
    """Return the loss before each of a few steps on all of ``x``."""
    optimizer = AdamW().bind(net, lr=3e-3)
    losses: list[float] = []
    for _ in range(8):
        value = loss(net(x))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]  # torch declares nothing
        optimizer.step()
        losses.append(value.item())
    return losses


def loss_of(name: str, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what is to be small: images are drawn again, or digits are told."""
    if name == "encoder_decoder":
        return functools.partial(nn.functional.mse_loss, target=x)
    return functools.partial(nn.functional.cross_entropy, target=y)


def main() -> None:
    """Train, save and reopen each."""
    digits: Any = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:256, None] / 16
    y = torch.tensor(digits.target)[:256]
    for make in (mlp, encoder_decoder, resnet, vit):
        torch.manual_seed(0)
        blueprint: Blueprint[Any] = make()
        print(blueprint.diagram())
        net = blueprint.create()
        losses = train(net, x, loss_of(make.__name__, x, y))
        with tempfile.TemporaryDirectory() as folder:
            net.save_pretrained(folder)
            again = type(net).from_pretrained(folder)
        same = torch.equal(net.eval()(x), again.eval()(x))
        print(f"{make.__name__}: {losses[0]:.3f} -> {losses[-1]:.3f}, reopened: {same}")


if __name__ == "__main__":
    main()
