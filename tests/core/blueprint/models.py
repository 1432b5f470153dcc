"""The modules of the tests: ordinary ones, as a user writes them."""

import functools
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from burnish.core.blueprint import (
    Blueprint,
    after_build,
    after_init,
    before_build,
    stateful,
)


class Child(nn.Module):
    def __init__(self, a: int = 1, b: int = 2) -> None:
        super().__init__()
        self.a, self.b = a, b


class Parent(nn.Module):
    def __init__(self, a: int = 10, b: int | None = None) -> None:
        super().__init__()
        self.child = Child(a=a, b=2 * a if b is None else b)


class Grand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parent = Parent(b=-1)


class Layer(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation(self.layer(x))
        return result


class Coder(nn.Module):
    """encoder[0..3] and decoder[0..3], each a layer and an activation."""

    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(Layer() for _ in range(depth))
        self.decoder = nn.ModuleList()
        for _ in range(depth):
            self.decoder.append(Layer())

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.encoder, *self.decoder):
            x = layer(x)
        return x


class Net(nn.Module):
    def __init__(self, depth: int = 2, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        blocks = [nn.Sequential(nn.Linear(4, 4), act()) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        first: Any = blocks[0][0]
        self.head = nn.Linear(first.out_features, 2)
        nn.init.constant_(self.head.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.blocks(x))
        return result


def is_module(value: Any) -> bool:
    return isinstance(value, nn.Module)


class Hooked(nn.Module):
    """Notes when its marked methods run, and on what."""

    seen: ClassVar[list[tuple[str, str, bool]]] = []

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width)])
        self.act = nn.ReLU()

    def _note(self, moment: str, word: str) -> None:
        self.seen.append((moment, word, is_module(self)))

    @stateful
    def widen(self, width: int) -> None:
        Hooked.seen.append(("stateful", str(width), is_module(self)))
        part: Any = self
        part.configure(width=width)

    @after_init
    def grow(self, word: str) -> None:
        self._note("after_init", word)
        self.extra = nn.Linear(2, 2)

    @before_build
    def prepare(self, word: str) -> None:
        Hooked.seen.append(("before_build", word, is_module(self)))
        part: Any = self
        part.configure("act", nn.Tanh)

    @after_build
    def freeze(self, word: str) -> None:
        self._note("after_build", word)
        for parameter in self.parameters():
            parameter.requires_grad_(False)


def weights(module: nn.Module, seed: int = 0) -> Tensor:
    """Return all parameters as one tensor."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def changed() -> Blueprint[Coder]:
    blueprint = Blueprint(Coder, depth=2)
    blueprint.configure("**.activation", nn.LeakyReLU, negative_slope=float("inf"))
    blueprint.configure("encoder.0.activation", functools.partial(nn.ELU, alpha=2.0))
    blueprint.encoder.append(Blueprint(Layer, width=4).configure("layer", bias=False))
    blueprint.encoder.pop(0)
    blueprint["encoder|decoder", 0].log_output("x")
    blueprint["decoder.0"].set_input_map("x").set_output_map("y", z=0)
    return blueprint


class Chain(nn.Module):
    """A list and a dict of layers that are told apart by their sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList(nn.Linear(i, i) for i in range(1, 6))
        self.byname = nn.ModuleDict({str(i): nn.Linear(i, i) for i in range(6, 8)})

    @stateful
    def lighten(self) -> None:
        blueprint: Any = self
        blueprint.configure("body.2", bias=False)

    @stateful
    def lose_first(self) -> None:
        blueprint: Any = self
        blueprint.body.pop(0)
        blueprint.configure("body.17", bias=False)
