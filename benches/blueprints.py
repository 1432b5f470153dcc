"""What do configuring and building through a blueprint cost, next to doing it by hand?

Peer: the constructors of the same 301 modules, called by hand.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from harness import Row, Samples, race
from torch import nn

from burnish.core.blueprint import Blueprint

N_BLOCKS, N_CALLS = 100, 200


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.act = nn.ReLU()


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(N_BLOCKS))


def run() -> list[Row]:
    torch.set_num_threads(1)
    return [row for width in (64, 256) for row in rows(width)]


def rows(width: int) -> list[Row]:
    by_hand = partial(Net, width)
    plain = Blueprint(Net, width)
    tuned = plain.new()
    layers(tuned)
    case = f"301 modules, width {width}"
    found = [
        timed("declare", case, by_hand, partial(Blueprint, Net, width)),
        timed("build", case, by_hand, plain.create, at_most=2.0),
        timed("build, 200 settings", case, by_hand, tuned.create, at_most=2.0),
    ]
    for change, question in CHANGES.items():
        # Copied ahead of each run, so that only the calls are timed.
        copies = iter([plain.new() for _ in range(16)])
        calls = partial(configure, change, copies)
        found.append(timed(question, case, by_hand, calls, at_most=3.0))
    return found


def timed(
    question: str,
    case: str,
    by_hand: Callable[[], object],
    ours: Callable[[], object],
    *,
    at_most: float | None = None,
) -> Row:
    samples: dict[str, Samples] = race({"ours": ours, "peer": by_hand})
    return Row.timed(question, case, samples["ours"], samples["peer"], at_most=at_most)


def configure(
    change: Callable[[Blueprint[Net]], None], copies: Iterator[Blueprint[Net]]
) -> Blueprint[Net]:
    blueprint = next(copies)
    change(blueprint)
    return blueprint


def layers(blueprint: Blueprint[Net]) -> None:
    for i in range(N_BLOCKS):
        blueprint.configure(f"blocks.{i}.layer", bias=False)
        blueprint.configure(f"blocks.{i}.act", inplace=True)


def classes(blueprint: Blueprint[Net]) -> None:
    for i in range(N_CALLS):
        act = nn.GELU if i < N_BLOCKS else nn.Tanh
        blueprint.configure(f"blocks.{i % N_BLOCKS}.act", act)


def patterns(blueprint: Blueprint[Net]) -> None:
    for i in range(N_CALLS):
        blueprint.configure("**.act", nn.GELU if i % 2 else nn.Tanh)


def blocks(blueprint: Blueprint[Net]) -> None:
    for i in range(N_CALLS):
        blueprint.configure(f"blocks.{i % N_BLOCKS}", width=8)


CHANGES = {
    layers: "200 calls: arguments of a layer",
    classes: "200 calls: class of a layer",
    patterns: "200 calls: a pattern of 100 layers",
    blocks: "200 calls: arguments of a block",
}
