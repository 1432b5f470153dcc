"""Blueprints that are edited at random: what they build does not depend on the way.

python -m tests.campaigns.drawn_edits [--n N] [--seed S] [--number NUMBER]
"""

import argparse
import copy
import json
import random
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import burnish
from burnish.core.blueprint import Blueprint, Computed
from burnish.core.blueprint.errors import BlueprintError, ConstructionError
from burnish.core.hyperparameters.reader import from_hyperparameters

from .forks import Outcomes, run_cases

GOOD = {"e": "equal each way"}

N_EDITS = 8


class Block(nn.Module):
    def __init__(
        self,
        width: int = 4,
        bias: bool = True,
        act: type[nn.Module] | None = None,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layer = nn.Linear(width, width, bias=bias)
        self.act = nn.ReLU() if act is None else act()
        self.drop = nn.Dropout(drop)


class Stack(nn.Module):
    def __init__(self, width: int = 4, depth: int = 2, last: int | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.last = nn.Linear(width, last or width)


class Net(nn.Module):
    """Its heads follow a layer far inside."""

    def __init__(self, width: int = 4, depth: int = 2, heads: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(2, width)
        self.body = nn.Sequential(Stack(width, depth), nn.Tanh(), Block(width))
        inner: Any = self.body[2]
        size = inner.layer.out_features
        self.heads = nn.ModuleDict({f"h{i}": nn.Linear(size, i) for i in range(heads)})
        self.scale = nn.Parameter(torch.ones(width))


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.inner(x)
        return y


class Shared(nn.Module):
    """One part at several paths."""

    def __init__(self, width: int = 4, tied: bool = True) -> None:
        super().__init__()
        self.a = Block(width)
        self.b = self.a if tied else Block(width)
        self.layers = nn.ModuleList([self.a.layer, nn.Linear(width, width)])
        self.chain = nn.Sequential(nn.Linear(width, width), nn.ReLU(), self.layers[1])


class Inner(nn.Module):
    """Children that are blueprints."""

    def __init__(self, width: int = 4, n: int = 2) -> None:
        super().__init__()
        self.first: Any = Blueprint(Block, width).configure("act", nn.Tanh)
        layers = [Blueprint(nn.Linear, width, width) for _ in range(n)]
        self.more = Blueprint(nn.Sequential, *layers)
        self.head = nn.Linear(self.first.layer.out_features, 2)


def four_times(size: int) -> int:
    return 4 * size


for _cls in (Block, Stack, Net, Residual, Shared, Inner):
    burnish.register_class(_cls)
burnish.register_function(four_times)

WHOLES: tuple[Callable[[], Any], ...] = (
    lambda: Blueprint(Net),
    lambda: Blueprint(Net, width=3, depth=3),
    lambda: Blueprint(Stack, 5),
    lambda: Blueprint(Shared),
    lambda: Blueprint(Shared, tied=False),
    lambda: Blueprint(Inner, 3),
    lambda: Blueprint(Residual, Blueprint(Stack, 4)),
    lambda: Blueprint(nn.Sequential, Blueprint(Inner), Blueprint(Shared)),
    lambda: Blueprint(
        nn.Sequential,
        Blueprint(Net).configure("**.act", nn.Tanh),
        Blueprint(Stack, 4).configure("blocks.0.layer", bias=False),
    ),
    lambda: Blueprint(
        nn.ModuleDict, {"a": Blueprint(Block, 4), "b": Blueprint(Stack, 4)}
    ),
    lambda: Blueprint(nn.TransformerEncoderLayer, 8, 2, 16, batch_first=True),
    lambda: Blueprint(
        nn.Sequential,
        Blueprint(nn.TransformerDecoderLayer, 8, 2, 16),
        Blueprint(nn.LSTM, 4, 3, num_layers=2),
    ),
    lambda: Blueprint(
        nn.TransformerEncoder,
        Blueprint(nn.TransformerEncoderLayer, 8, 2, 16, batch_first=True),
        2,
    ),
    lambda: Blueprint(
        nn.Sequential,
        Blueprint(nn.Linear, 8, Computed(four_times, "in_features")),
        Blueprint(nn.Linear, Computed(four_times, "0.in_features"), 8),
    ),
)

CLASSES = (nn.GELU, nn.Tanh, nn.ELU, nn.Identity)

PATTERNS = ("**.act", "**.norm", "**.layer", "body.*", "*", "**.drop", "**.blocks.*")

ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"bias": False},
    {"out_features": 3},
    {"in_features": 5},
    {"p": 0.25},
    {"drop": 0.5},
    {"act": nn.ELU},
    {"width": 2},
    {"width": 5},
    {"depth": 0},
    {"depth": 3},
    {"heads": 1},
    {"last": 3},
    {"tied": False},
    {"n": 1},
    {"num_layers": 3},
)

Edit = Callable[[Any], object]


def drawn_edit(rng: random.Random, blueprint: Any) -> Edit:
    """Return an edit of what there is, which may not fit."""
    modules = dict(blueprint.create().named_modules())
    path = rng.choice([*modules])
    at = tuple(int(n) if n.isdecimal() else n for n in path.split(".")) if path else ""
    module, cls = modules[path], rng.choice(CLASSES)
    arguments, pattern = rng.choice(ARGUMENTS), rng.choice(PATTERNS)
    items = (nn.ReLU, Blueprint(Block, 4), Blueprint(nn.Linear, 4, 4))
    item, key = rng.choice(items), rng.randint(-4, 4)
    edits: list[Edit] = [
        lambda b: b.configure(path, cls),
        lambda b: b.configure(path, **arguments),
        lambda b: b.configure(pattern, cls),
        lambda b: b.configure(pattern, **arguments),
        lambda b: b.configure(**arguments),
        lambda b: b.replace(path, item),
        lambda b: b.wrap(path, Residual),
        lambda b: b.wrap(
            path,
            lambda part: Blueprint(nn.Sequential, part, Blueprint(nn.Dropout, 0.1)),
        ),
        lambda b: b.initialize(nn.init.ones_, tensors=rng.choice(["bias", "weight"])),
    ]
    if isinstance(module, nn.ModuleList | nn.Sequential):
        edits = [
            lambda b: b[at].append(item),
            lambda b: b[at].insert(key, item),
            lambda b: b[at].pop(key),
            lambda b: b[at].extend([item, item]),
            *edits[:2],
        ]
    elif isinstance(module, nn.ModuleDict):
        name = rng.choice([*module, "new"])
        edits = [
            lambda b: b[at].insert(name, item),
            lambda b: b[at].pop(name),
            lambda b: b[at].remove(name),
        ]
    return rng.choice(edits)


def difference(module: nn.Module, other: nn.Module) -> str:
    """Return in what two modules differ, "" if in nothing."""
    if repr(module) != repr(other):
        return "structure"
    values, other_values = module.state_dict(), other.state_dict()
    if [*values] != [*other_values]:
        return "names"
    names = (n for n, v in values.items() if not torch.equal(v, other_values[n]))
    return next(names, "")


def created(blueprint: Any) -> nn.Module:
    """Return what ``blueprint`` makes after one seed."""
    torch.manual_seed(3)
    module: nn.Module = blueprint.create()
    return module


def text(blueprint: Any) -> str:
    return json.dumps(blueprint.to_dict())


def problem(seed: int, number: int) -> str:
    """Return what is wrong after some edits of a blueprint, "" if nothing is."""
    rng = random.Random(f"{seed} {number}")
    blueprint: Any = rng.choice(WHOLES)()
    for _ in range(N_EDITS):
        before, shown, stored = blueprint.new(), str(blueprint), text(blueprint)
        edit = drawn_edit(rng, blueprint)
        try:
            edit(blueprint)
        except BlueprintError:
            if (str(blueprint), text(blueprint)) != (shown, stored):
                return "an edit that failed changed the blueprint"
            continue
        if (str(before), text(before)) != (shown, stored):
            return "an edit changed a copy that was made before"
        try:
            module = created(blueprint)
        except BlueprintError as error:
            # Constructors around a part run when the whole does; the call is named.
            is_told = not isinstance(error, ConstructionError) or "since" in str(error)
            if not is_told:
                return f"which call is at fault is not told: {error}"
            blueprint = before
            continue
        found = wrong_ways(blueprint, module)
        if found:
            return found
    return unlike_stored(blueprint.new().build())


def wrong_ways(blueprint: Any, module: nn.Module) -> str:
    """Return which copies of ``blueprint`` do not make ``module``, "" if all do."""
    stored: Any = Blueprint.from_dict(json.loads(text(blueprint)))
    ways = {
        "itself once more": blueprint,
        "new()": blueprint.new(),
        "a deep copy": copy.deepcopy(blueprint),
        "from_dict": stored,
    }
    for name, way in ways.items():
        if other := difference(created(way), module):
            return f"{name} makes another {other}"
    if str(stored) != str(blueprint) or text(stored) != text(blueprint):
        return "from_dict is shown or stored otherwise"
    return ""


def unlike_stored(module: Any) -> str:
    """Return in what ``module`` comes back otherwise from a record, "" if nothing."""
    hparams = json.loads(json.dumps(burnish.get_hparams(module)))
    record = burnish.save_record(module)
    assert record is not None
    again = burnish.from_record(lambda: from_hyperparameters(hparams), record)
    other = difference(again, module)
    return f"a record gives another {other}" if other else ""


def edited(seed: int, number: int) -> str:
    """Return how a drawn blueprint ended, as a letter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of heads without outputs
        return "x" if problem(seed, number) else "e"


def drawn_edits(n: int, seed: int) -> tuple[dict[str, int | float], Outcomes]:
    """Return how ``n`` drawn blueprints ended."""
    outcomes = run_cases(partial(edited, seed), range(n), GOOD, seconds=60)
    return {"blueprints": n, **outcomes.counts}, outcomes


def main() -> int:
    """Run, print the figures, and return 1 if there was a defect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, help="tell what is wrong with this one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.number is not None:
        print(problem(options.seed, options.number) or "equal each way")
        return 0
    figures, outcomes = drawn_edits(options.n, options.seed)
    print(figures, outcomes.defects)
    return int(bool(outcomes.defects))


if __name__ == "__main__":
    raise SystemExit(main())
