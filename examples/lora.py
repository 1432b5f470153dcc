"""LoRA (Hu et al., 2021) by hand: adapters trained, saved, loaded and merged.

python examples/lora.py
"""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import burnish
from burnish.config.patterns import Patterns, matches
from burnish.optim import AdamW

ADAPTERS = ["**.down", "**.up"]


class LoRA(nn.Module):
    """A linear layer and a product of two thin matrices beside it."""

    def __init__(self, base: nn.Linear, rank: int = 4, alpha: float = 8.0) -> None:
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(x) + (x @ self.down.T @ self.up.T) * self.scale
        return result

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """Return the base with the product added to its weight, in place."""
        self.base.weight += self.up @ self.down * self.scale
        return self.base


def adapt(net: nn.Module, layers: Patterns, rank: int = 4) -> None:
    """Give the linear layers that match an adapter, and freeze all but adapters."""
    linear = [(p, m) for p, m in net.named_modules() if isinstance(m, nn.Linear)]
    for path, layer in linear:
        if matches(layers, path, layer):
            net.set_submodule(path, LoRA(layer, rank))
    burnish.freeze(net, "**")
    burnish.thaw(net, ADAPTERS)


def merge(net: nn.Module) -> None:
    """Put each adapter into its layer: the network is as it was built, and retrained.

    Layers keep the IDs of their parameters.
    """
    for path, layer in [*net.named_modules()]:
        if isinstance(layer, LoRA):
            net.set_submodule(path, layer.merged())


def network() -> nn.Module:
    """Return what stands for a pretrained model."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 4))


def data() -> tuple[Tensor, Tensor]:
    """Return the task that the network is adapted to."""
    x = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
    return x, x[:, :4].sin()


def train(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Train what is not frozen; return the last loss."""
    optimizer = AdamW().bind(net, lr=1e-2)
    loss = y.square().mean()
    for _ in range(200):
        optimizer.zero_grad()
        loss = (net(x) - y).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()


def is_frozen(entry: burnish.records.Entry) -> bool:
    """Return whether a file of adapters may lack the entry."""
    return not entry.requires_grad


def main() -> None:
    """Train adapters, and bring them into two other copies of the network."""
    x, y = data()
    net = network()
    adapt(net, "{0,2}")
    loss = train(net, x, y)
    n_trained = burnish.num_params(net, burnish.trainable)
    print(f"loss {loss:.4f} with {n_trained} of {burnish.num_params(net)}")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "adapters.mpk"
        burnish.save_record(net, file, only=burnish.trainable)

        again = network()
        adapt(again, "{0,2}")
        report = burnish.load_record(again, file, allow_missing=is_frozen)
        print(f"{len(report.loaded)} adapters loaded; {report.missing} are the base's")
        assert torch.equal(again(x), net(x))

        merge(again)
        whole = Path(folder) / "merged.mpk"
        burnish.save_record(again, whole)
        plain = burnish.from_record(network, whole)
        assert torch.allclose(plain(x), net(x), atol=1e-5)


if __name__ == "__main__":
    main()
