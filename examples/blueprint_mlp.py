"""A perceptron of any depth: an ordinary module."""

from torch import Tensor, nn

import burnish


@burnish.module
class MLP(nn.Module):
    """Layers of one width, with an activation and a dropout after each."""

    def __init__(
        self,
        n_inputs: int = 64,
        n_classes: int = 10,
        width: int = 32,
        depth: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        for i in range(depth):
            self.blocks.append(Block(n_inputs if i == 0 else width, width, dropout))
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.blocks(x.flatten(1)))
        return result


@burnish.module
class Block(nn.Module):
    def __init__(self, n_inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.Linear(n_inputs, width)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.dropout(self.act(self.layer(x)))
        return result
