"""Train a small network on handwritten digits, then save and load it every way.

Run `python examples/digits.py`: it ends with one table, and fails if a file lost
anything that its precision does not explain.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from measured import (
    Measured,
    Precision,
    allowed_difference,
    largest_difference,
    measure,
    show,
)
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import burnish

FORMATS = [
    ".mpk",
    ".mpk.zst",
    ".mpk.gz",
    ".json",
    ".json.gz",
    ".json.zst",
    ".safetensors",
    "bytes",
]
PRECISIONS: list[Precision] = [None, "full", "half", "bfloat16", "double"]
WAYS: list[tuple[str, Precision]] = [
    (format_, precision) for format_ in FORMATS for precision in PRECISIONS
]


@burnish.module
class Digits(nn.Module):
    """A convolutional network for images of 8x8 pixels."""

    def __init__(self, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(2 * width * 4, classes)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.features(images)
        logits: Tensor = self.head(features.flatten(1))
        return logits


class Data:
    """Scikit-learn's 1,797 handwritten digits; every fourth is kept for testing."""

    def __init__(self) -> None:
        digits: Any = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
        labels = torch.tensor(digits.target)
        is_test = torch.arange(len(labels)) % 4 == 0
        self.images, self.labels = images[~is_test], labels[~is_test]
        self.test_images, self.test_labels = images[is_test], labels[is_test]


def main() -> int:
    """Train, save, load, print the table; 1 if anything was lost."""
    # For images this small, more threads cost more than they help.
    torch.set_num_threads(1)
    data = Data()
    net = train(data, epochs=8)
    trained = accuracy(net, data)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(net, data, *way, Path(folder)) for way in WAYS]
    title = f"Handwritten digits, {trained:.2%} of the test images right"
    show(title, rows, score="accuracy", memory=False)
    problems = problems_of(rows, trained)
    print("\n".join(problems) or f"All {len(rows)} ways kept what they promise.")
    return int(bool(problems))


def train(data: Data, *, epochs: int) -> Digits:
    torch.manual_seed(0)
    net = Digits(width=16)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(data.labels)), 64):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(data.images[batch]), data.labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]  # torch's has no types
            optimizer.step()
    return net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, data: Data) -> float:
    found = net(data.test_images).argmax(1)
    return float((found == data.test_labels).float().mean())


def measured(
    net: Digits, data: Data, format_: str, precision: Precision, folder: Path
) -> Measured:
    """Save ``net`` and build it again, without running its initializers."""
    source: Path | bytes
    if format_ == "bytes":
        packed, saving = measure(lambda: burnish.save_record(net, precision=precision))
        source, size = packed, len(packed)
    else:
        source = file = folder / f"digits{format_}"
        _, saving = measure(lambda: burnish.save_record(net, file, precision=precision))
        size = file.stat().st_size
    loaded, loading = measure(lambda: burnish.from_record(Digits, source).eval())
    return Measured(
        format=format_,
        precision=precision,
        size=size,
        save=saving,
        load=loading,
        difference=largest_difference(net, loaded),
        allowed=allowed_difference(net, precision),
        score=accuracy(loaded, data),
    )


def problems_of(rows: list[Measured], trained: float) -> list[str]:
    """Return what went wrong: lost weights, lost accuracy, a net that did not learn."""
    problems: list[str] = []
    if not trained > 0.95:
        problems.append(f"training ended at {trained:.2%}, expected over 95 %")
    for row in rows:
        # Rounded weights may turn one image in two hundred; exact ones none.
        problems += row.problems(least=trained - 0.005 if row.allowed else trained)
    return problems


if __name__ == "__main__":
    sys.exit(main())
