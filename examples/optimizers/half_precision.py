"""A small language model in bfloat16, and what its weights need in order to learn.

python examples/optimizers/half_precision.py [--steps 2000] [--seeds 3]

Prints the validation loss of a model of characters: in float32; in bfloat16 as it is;
with its state in float32; with master weights; and rounded stochastically.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.optim import AdamW
from burnish.optim.schedulers import Cosine, Warmup

CONTEXT, BATCH, WIDTH = 32, 16, 64
WIDE = torch.float32
WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {},
    "state in float32": {"state_dtype": WIDE},
    "master weights": {"master_dtype": WIDE},
    "stochastic": {"rounding": "stochastic", "state_dtype": WIDE},
    "stochastic, all in bfloat16": {"rounding": "stochastic"},
}


class Block(nn.Module):
    """Causal attention and a perceptron, each beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(self.before(x)).chunk(3, -1)
        attended = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(attended)
        y: Tensor = x + self.perceptron(self.after(x))
        return y


def language_model(n_characters: int) -> nn.Sequential:
    """Return a model that gives the logits of each next character."""
    return nn.Sequential(
        nn.Embedding(n_characters, WIDTH),
        Block(WIDTH),
        Block(WIDTH),
        nn.LayerNorm(WIDTH),
        nn.Linear(WIDTH, n_characters),
    )


def corpus() -> tuple[Tensor, Tensor, int]:
    """Return the pages of docs/ as numbers of characters, a tenth for validation."""
    folder = Path(__file__).parents[2] / "docs"
    text = "".join(file.read_text("utf-8") for file in sorted(folder.glob("*.md")))
    number_of = {character: i for i, character in enumerate(sorted(set(text)))}
    numbers = torch.tensor([number_of[character] for character in text])
    held_out = len(numbers) // 10
    return numbers[:-held_out], numbers[-held_out:], len(number_of)


def loss_of(net: nn.Module, data: Tensor, starts: Tensor) -> Tensor:
    """Return the mean loss over the windows that begin at ``starts``."""
    windows = data[starts[:, None] + torch.arange(CONTEXT + 1)]
    logits = net(windows[:, :-1]).float()
    return nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def trained(way: str, seed: int, n_steps: int, lr: float = 3e-4) -> float:
    """Return the validation loss of a model that was trained in one of `WAYS`."""
    training, validation, n_characters = corpus()
    torch.manual_seed(seed)
    net = language_model(n_characters)
    if way != "float32":
        net = net.to(torch.bfloat16)
    rate = Warmup([Cosine(lr, n_steps)], n_warmup=max(1, n_steps // 20))
    optimizer = AdamW().bind(net, lr=rate, seed=seed, **WAYS[way])
    batches = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        starts = torch.randint(len(training) - CONTEXT, (BATCH,), generator=batches)
        optimizer.zero_grad()
        loss_of(net, training, starts).backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
        optimizer.step()
    with torch.no_grad():
        starts = torch.arange(0, len(validation) - CONTEXT - 1, CONTEXT)
        return loss_of(net, validation, starts).item()


def main() -> None:
    """Train in every way with every seed, and print means beside float32's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-4)
    options = parser.parse_args()
    losses: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(options.seeds):
        for way, results in losses.items():
            results.append(trained(way, seed, options.steps, options.lr))
            print(f"seed {seed}: {way:30} {results[-1]:.4f}", flush=True)
    best = statistics.mean(losses["float32"])
    for way, results in losses.items():
        mean = statistics.mean(results)
        print(f"{way:30} {mean:.4f}  {100 * (mean / best - 1):+.2f} %")


if __name__ == "__main__":
    main()
