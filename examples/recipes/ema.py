"""An exponential moving average of the weights, kept in the run's checkpoints.

python ema.py      # run it again, and it goes on to the same bits
"""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import burnish
from burnish.optim import AdamW
from burnish.train import Checkpoints


class Net(burnish.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def main(n_steps: int = 60, folder: str = "runs/ema") -> tuple[float, float]:
    """Return the accuracy of the weights and of their average."""
    data, target = load_digits(return_X_y=True)
    x, y = torch.tensor(data).float() / 16, torch.tensor(target)
    torch.manual_seed(0)
    net = Net()
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    optimizer = AdamW().bind(net, lr=1e-2)

    checkpoints = Checkpoints(folder, keep_last=2)
    # The average is a module like any other: a part with a name of its own.
    parts: dict[str, Any] = {"model": net, "average": average, "optimizer": optimizer}
    step = checkpoints.restore(**parts, rng=True)
    while step < n_steps:
        rows = torch.randint(len(x), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
        average.update_parameters(net)
        step += 1
        if step % 20 == 0:
            checkpoints.save(step, **parts, rng=True)

    # What is deployed: the average alone, as a record of Net.
    burnish.save_record(average.module, "average.mpk")
    best = Net.from_record("average.mpk")
    with torch.no_grad():
        hits = [
            (module(x).argmax(1) == y).float().mean().item() for module in (net, best)
        ]
    print(f"accuracy {hits[0]:.3f}, of the average {hits[1]:.3f}")
    return hits[0], hits[1]


if __name__ == "__main__":
    main()
