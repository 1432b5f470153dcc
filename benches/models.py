"""The models that the benches save and load."""

import torch
from torch import Tensor, nn


def gpt2(n_layer: int = 12) -> nn.Module:
    """Return GPT-2 small: 124 M parameters in 148 tensors, one of them tied."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model: nn.Module = GPT2LMHeadModel(GPT2Config(n_layer=n_layer))
    return model.eval()


def many_tensors(count: int = 5000, size: int = 64) -> dict[str, Tensor]:
    """Return ``count`` small float32 matrices by name."""
    draw = torch.Generator().manual_seed(0)
    return {
        f"layers.{i}.weight": torch.randn(size, size, generator=draw) * 0.02
        for i in range(count)
    }


class ManyLinear(nn.Module):
    """5,000 modules of one matrix of 64x64 each."""

    def __init__(self, count: int = 5000, size: int = 64) -> None:
        super().__init__()
        layers = (nn.Linear(size, size, bias=False) for _ in range(count))
        self.layers = nn.ModuleList(layers)


class Block(nn.Module):
    """A residual block with a buffer that state dicts leave out."""

    def __init__(self, size: int = 64) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)
        self.norm = nn.LayerNorm(size)
        self.act = nn.GELU()
        position = torch.arange(size) / size
        self.register_buffer("position", position, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.linear(self.norm(x)))
        return x + 0.01 * y


class ManyBlocks(nn.Module):
    """5,002 modules and 5,000 parameters, as networks nest them."""

    def __init__(self, count: int = 1250) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x
