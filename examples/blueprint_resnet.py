"""ResNet-18 (He et al., 2015): an ordinary module."""

from torch import Tensor, nn

import burnish


@burnish.module
class ResNet18(nn.Module):
    """Four stages of two residual blocks; each but the first halves the image."""

    def __init__(
        self, n_channels: int = 3, n_classes: int = 1000, width: int = 64
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(n_channels, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.Sequential()
        below = width
        for i in range(4):
            wide = width * 2**i
            first = Residual(below, wide, stride=1 if i == 0 else 2)
            self.stages.append(nn.Sequential(first, Residual(wide, wide)))
            below = wide
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(below, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stages(self.stem(x)))
        result: Tensor = self.head(x.flatten(1))
        return result


@burnish.module
class Residual(nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_inputs, n_outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_outputs)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(n_outputs, n_outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_outputs)
        self.act2 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_inputs != n_outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False),
                nn.BatchNorm2d(n_outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        result: Tensor = self.act2(y + self.shortcut(x))
        return result
