"""A vision transformer (Dosovitskiy et al., 2020): an ordinary module."""

import torch
from torch import Tensor, nn

import burnish


@burnish.module
class ViT(nn.Module):
    """Patches as words, a class token, and pre-norm transformer blocks."""

    def __init__(
        self,
        size: int = 8,
        patch: int = 2,
        n_channels: int = 1,
        n_classes: int = 10,
        width: int = 32,
        depth: int = 2,
        n_heads: int = 4,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(n_channels, width, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) / 50)
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        words = self.patches(x).flatten(2).transpose(1, 2)
        token = self.token.expand(len(words), -1, -1)
        words = torch.cat([token, words], dim=1) + self.places
        for block in self.blocks:
            words = block(words)
        result: Tensor = self.head(self.norm(words[:, 0]))
        return result


@burnish.module
class Block(nn.Module):
    def __init__(self, width: int, n_heads: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, n_heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.grow = nn.Linear(width, ratio * width)
        self.act = nn.GELU()
        self.shrink = nn.Linear(self.grow.out_features, width)
        self.dropout = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        y = self.shrink(self.act(self.grow(self.norm2(x))))
        result: Tensor = x + self.dropout(y)
        return result
