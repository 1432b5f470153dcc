"""Networks before and after a rule for tensors, for the tests of their optimizers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from burnish.core.evolution.tensor_rules import (
    MergeTensors,
    SplitTensor,
    StackTensors,
    TransposeTensor,
    UnstackTensor,
)
from burnish.optim import SimpleOptimizer

from ...core.evolution.versions import define, nest

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Change:
    """The shapes of two versions of a network, and the rules between them."""

    rules: list[Any]
    old: Shapes
    new: Shapes

    def old_net(self) -> Any:
        """Return a network of the older version."""
        return define(nest(self.old))()

    def new_class(self) -> Any:
        """Return the class of the newer version."""
        return define(nest(self.new), 1, {0: self.rules})

    def as_new(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors of the older shapes in the newer ones, by path."""
        net = self.old_net()
        net.load_state_dict(tensors, assign=True)
        state: dict[str, Tensor] = (
            self.new_class().from_record(net.save_record()).state_dict()
        )
        return state


CHANGES = {
    "split": Change(
        [SplitTensor("qkv", ["q", "k", "v"], sizes=[2, 3, 4])],
        {"qkv": (9, 4), "b": (3,)},
        {"q": (2, 4), "k": (3, 4), "v": (4, 4), "b": (3,)},
    ),
    "merge": Change(
        [MergeTensors(["q", "k"], "qk", dim=1)],
        {"q": (3, 4), "k": (3, 2), "b": (3,)},
        {"qk": (3, 6), "b": (3,)},
    ),
    "stack": Change(
        [StackTensors("h.*.w", "w")],
        {f"h.{i}.w": (3, 2) for i in range(3)},
        {"w": (3, 3, 2)},
    ),
    "unstack": Change(
        [UnstackTensor("w", "h.*.w")],
        {"w": (2, 3, 4)},
        {f"h.{i}.w": (3, 4) for i in range(2)},
    ),
    "transpose": Change(
        [TransposeTensor("c.w")],
        {"c.w": (4, 4), "b": (3,)},
        {"c.w": (4, 4), "b": (3,)},
    ),
    "all": Change(
        [
            MergeTensors(["h.*.q", "h.*.k"], "h.*.qk"),
            TransposeTensor("h.*.qk"),
            StackTensors("h.*.qk", "qk"),
        ],
        {f"h.{i}.{n}": (2, 3) for i in range(2) for n in "qk"},
        {"qk": (2, 3, 4)},
    ),
}


def grads_of(net: nn.Module, seed: int) -> dict[str, Tensor]:
    """Return the gradients that belong to ``seed``, by path."""
    generator = torch.Generator().manual_seed(seed)
    return {
        path: torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for path, p in net.named_parameters()
    }


def step(net: nn.Module, optimizer: Any, grads: dict[str, Tensor]) -> None:
    """Step with gradients, by path."""
    for path, parameter in net.named_parameters():
        parameter.grad = grads[path].clone() if path in grads else None
    optimizer.step()


def convert(net: Any, dtype: torch.dtype) -> Any:
    """Give parameters a dtype; complex ones too, of which ``to`` warns."""
    for parameter in net.parameters():
        parameter.data = parameter.data.to(dtype)
    return net


def trained(
    change: Change, simple: SimpleOptimizer[Any], n_steps: int = 3, **options: Any
) -> tuple[Any, Any]:
    """Return a network of the older version and its optimizer after some steps."""
    torch.manual_seed(0)
    net = change.old_net()
    convert(net, options.pop("dtype", torch.float32))
    optimizer = simple.bind(net, lr=0.1, **options)
    for seed in range(n_steps):
        step(net, optimizer, grads_of(net, seed))
    return net, optimizer


def from_the_start(
    change: Change,
    simple: SimpleOptimizer[Any],
    n_steps: int,
    after_step: Callable[[Any, Any], None] = lambda old, new: None,
) -> tuple[Any, Any]:
    """Return a network that had the newer shapes from the start, and its optimizer."""
    torch.manual_seed(0)
    old = change.old_net()
    net = change.new_class()()
    net.load_state_dict(change.as_new(old.state_dict()))
    old_optimizer, optimizer = simple.bind(old, lr=0.1), simple.bind(net, lr=0.1)
    for seed in range(n_steps):
        grads = grads_of(old, seed)
        step(old, old_optimizer, grads)
        step(net, optimizer, change.as_new(grads))
        after_step(old, net)
    return net, optimizer
