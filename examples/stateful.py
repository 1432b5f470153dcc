"""A training run that is a program of one decorator: killed, it goes on by itself.

python examples/stateful.py --checkpoint-dir runs/waves net.n_layers=3
python examples/stateful.py --resume-from runs/waves --checkpoint-dir runs/b steps=200
torchrun --nproc-per-node 2 examples/stateful.py --checkpoint-dir runs/two
"""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, distributed, nn

import burnish
from burnish.train import HyperState, stateful_command


@dataclass
class NetConfig:
    """The network.

    Attributes:
        width: activations of a hidden layer
        n_layers: hidden layers

    """

    width: int = 16
    n_layers: int = 2


@dataclass
class OptimizerConfig:
    """How it learns.

    Attributes:
        lr: size of a step; a text like "step: 0.01@0 cos 0@100" is a schedule
        batch_size: samples of a step, on each process

    """

    lr: float = 0.01
    batch_size: int = 32


@dataclass
class Config:
    """What the run is told."""

    net: NetConfig = field(default_factory=NetConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    steps: int = 100


@burnish.module
class Net(nn.Module):
    """Maps two numbers to one."""

    def __init__(self, width: int, n_layers: int) -> None:
        super().__init__()
        sizes = [2, *[width] * n_layers]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(0.05)
        self.last = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = self.dropout(torch.tanh(layer(x)))
        result: Tensor = self.last(x)
        return result


@dataclass
class State:
    """What the run has become."""

    step: int
    net: Net
    optimizer: torch.optim.Optimizer


def begin(config: Config) -> State:
    torch.manual_seed(0)
    net = Net(config.net.width, config.net.n_layers)
    # From here on each process draws its own samples.
    torch.manual_seed(1 + process())
    optimizer = torch.optim.Adam(net.parameters(), lr=config.optimizer.lr)
    return State(0, net, optimizer)


@stateful_command(Config, State, begin)
def main(run: HyperState[Config, State]) -> float:
    """Learn waves; kill it and start it again as you like."""
    state = run.state
    run.bind_optimizer(state.optimizer, lr="optimizer.lr")
    model: nn.Module = state.net
    if distributed.is_initialized():
        model = nn.parallel.DistributedDataParallel(model)
    loss = torch.tensor(torch.nan)
    while state.step < run.config.steps:
        x = 4 * torch.rand(run.config.optimizer.batch_size, 2)
        state.optimizer.zero_grad()
        loss = (model(x) - torch.sin(x).sum(1, keepdim=True)).square().mean()
        loss.backward()
        state.optimizer.step()
        state.step += 1
        run.step()
    print(f"step {state.step}, loss {loss.item():.4f}, process {process()}")
    return loss.item()


def process() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


if __name__ == "__main__":
    main()
