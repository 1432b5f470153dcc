"""One file of each kind that holds every kind of value, as its text is today.

Those of `tests/data/spellings/` are never made again; `write` adds a missing one.
"""

import collections
import dataclasses
import enum
import functools
import json
import math
import pathlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

import burnish
from burnish import config
from burnish.core.blueprint import Blueprint
from burnish.records import FlatRecord, Record, Recorder
from burnish.train.plain_records import record_of

FOLDER = Path(__file__).parent / "data" / "spellings"


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Nested(Record):
    weight: torch.Tensor
    note: str


class EveryValue(Record):
    nothing: None
    flag: bool
    number: int
    huge: int
    real: float
    infinite: float
    undefined: float
    text: str
    raw: bytes
    tensor: torch.Tensor
    tied: torch.Tensor
    array: np.ndarray
    scalar: Any
    mode: Mode
    level: Level
    pair: tuple[int, str]
    items: list[Any]
    table: dict[str, Any]
    marked: dict[str, Any]
    nested: Nested
    anything: Any


def record_values() -> EveryValue:
    """Return a record of every kind of value that records hold."""
    shared = torch.arange(3.0)
    return EveryValue(
        nothing=None,
        flag=True,
        number=-3,
        huge=2**70,
        real=0.1,
        infinite=-float("inf"),
        undefined=float("nan"),
        text="é\n$",
        raw=b"\x00\xff",
        tensor=shared,
        tied=shared,
        array=np.arange(2, dtype=np.int16),
        scalar=np.float32(0.5),
        mode=Mode.SLOW,
        level=Level.HIGH,
        pair=(1, "a"),
        items=[1, [2.5, None], (True,)],
        table={"a": 1, "b.c": {"d": torch.tensor(7)}},
        marked={"$tensor": 1, "x": 2},
        nested=Nested(weight=torch.ones(1, dtype=torch.bfloat16), note=""),
        anything={"deep": [{"$": ()}]},
    )


def checkpoint_values() -> dict[Any, Any]:
    """Return every kind of plain data that a checkpoint holds."""
    return {
        "none": None,
        "huge": -(2**80),
        "bytes": b"ab",
        "floats": [0.5, float("inf"), float("nan")],
        "tensor": torch.arange(2),
        "array": np.ones(2),
        "size": torch.Size([2, 3]),
        "dtype": torch.bfloat16,
        "device": torch.device("cpu"),
        "path": pathlib.PurePosixPath("a/b"),
        "counter": collections.Counter("aab"),
        "ordered": collections.OrderedDict(b=1, a=2),
        "lists": collections.defaultdict(list, {"a": [1]}),
        "set": {3},
        "frozen": frozenset({"x"}),
        "deque": collections.deque([1, 2]),
        "tuple": (1, (2,)),
        "keys": {1: "a", (2, 3): "b", "$": None},
        "record": Nested(weight=torch.zeros(1), note="n"),
    }


@dataclasses.dataclass
class Part:
    size: int = 1
    mode: Mode = Mode.FAST


@burnish.module
class Cell(nn.Module):
    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


@burnish.module
class EveryArgument(nn.Module):
    def __init__(
        self,
        sizes: tuple[int, ...] = (),
        names: list[str] | None = None,
        table: dict[str, float] | None = None,
        counts: dict[int, str] | None = None,
        kinds: set[str] | None = None,
        shape: torch.Size | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        file: pathlib.PurePosixPath | None = None,
        mode: Mode = Mode.FAST,
        level: Level = Level.LOW,
        part: Part | None = None,
        act: type[nn.Module] = nn.ReLU,
        norm: Any = None,
        weights: torch.Tensor | None = None,
        child: nn.Module | None = None,
        children_: list[nn.Module] | None = None,
        way: Literal["a", "b"] = "a",
        anything: Any = None,
        **others: Any,
    ) -> None:
        super().__init__()
        self.act = act()
        self.norm = norm(2) if norm is not None else None
        self.child = child
        self.cells = nn.ModuleList(children_ or [])
        self.head = nn.ModuleDict({"a": Cell(2), "b": nn.Linear(2, 1)})


def arguments() -> dict[str, Any]:
    """Return a value of every kind for a module's arguments."""
    cell = Cell(3)
    return {
        "sizes": (3, 4),
        "names": ["a", "b"],
        "table": {"x": 0.5, "y": 1.0},
        "counts": {1: "one", -2: "two"},
        "kinds": {"b", "a"},
        "shape": torch.Size([2, 3]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "file": pathlib.PurePosixPath("a/b"),
        "mode": Mode.SLOW,
        "level": Level.HIGH,
        "part": Part(size=2, mode=Mode.SLOW),
        "act": nn.GELU,
        "norm": functools.partial(nn.LayerNorm, eps=1e-3),
        "weights": torch.tensor([1.0, 2.0]),
        "child": cell,
        "children_": [cell, Cell(1)],
        "way": "b",
        "anything": [1, {"a": (2.5, None, True)}, "text"],
        "bonus": 7,
    }


class Wide(nn.Module):
    """A class that declares nothing, so that files must say what values are."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__()
        del named  # a blueprint refuses names that are never read
        self.layer = nn.Linear(2, 2)
        self.cells = nn.ModuleList([Cell(1), Cell(2), Cell(3)])


def blueprint() -> Blueprint[Any]:
    """Return a blueprint with every kind of value and every kind of edit."""
    plan = Blueprint(
        Wide,
        (1, 2),
        {"a": 1, "__b__": 2},
        {"__tuple__": 1},
        {1: "x", (2,): "y"},
        {3, 1},
        [float("inf"), float("nan"), 0.5, None, True],
        nn.GELU,
        functools.partial(nn.Linear, 1, bias=False),
        torch.float16,
        torch.device("cpu"),
        pathlib.PurePosixPath("a/b"),
        inner=Blueprint(Cell, 4),
    )
    plan.configure("layer", bias=False)
    plan.configure("cells.0.layer", nn.Bilinear, in1_features=1, in2_features=1)
    plan.cells.append(Blueprint(Cell, 5))
    plan.cells.pop(1)
    plan.replace("layer", nn.Identity)
    return plan


@dataclasses.dataclass
class Small:
    n: int = 1


@dataclasses.dataclass
class Large:
    width: int = 2
    name: str = "large"


class EveryField(config.Hparams):
    numbers: list[int]
    nested: list[list[str]]
    table: dict[str, int]
    counts: dict[int, str]
    names: set[str]
    choices: list[Small | Large]
    flag: bool = True
    number: int = 3
    huge: int = 2**70
    rate: float = 0.1
    limits: tuple[float, float] = (-math.inf, math.inf)
    text: str = 'é"\n'
    nothing: int | None = None
    mode: Mode = Mode.SLOW
    level: Level = Level.HIGH
    choice: Small | Large = Large(width=5)
    file: pathlib.Path = pathlib.Path("a/b")
    way: Literal["a", 1] = "a"


def fields() -> EveryField:
    """Return a value of every kind for a config's fields."""
    return EveryField(
        numbers=[1, 2],
        nested=[["a"], []],
        table={"a b": 1},
        counts={1: "x"},
        names={"b", "a"},
        choices=[Large(3), Small()],
        number=4,
        mode=Mode.FAST,
    )


def texts() -> dict[str, str]:
    """Return the text of each kind of file by its name."""
    checkpoint = record_of(checkpoint_values())
    written = {
        "record.json": record_text(record_values()),
        "checkpoint.json": record_text(checkpoint),
        "hparams.json": hparams_text(EveryArgument(**arguments())),
        "blueprint.json": json_text(blueprint().to_dict()),
    }
    for form in ("ron", "yaml", "json"):
        for name, is_elided in (("config", False), ("elided", True)):
            text = config.dumps(fields(), form, elide_defaults=is_elided)
            written[f"{name}.{form}"] = text + "\n"
    return written


def record_text(record: Record | FlatRecord) -> str:
    """Return a record's document but its metadata, which names our version."""
    document = json.loads(record.save(recorder=Recorder(format="json")))
    return json_text({key: document[key] for key in ("tree", "tensors")})


def hparams_text(net: nn.Module) -> str:
    """Return what a module's file says of its arguments."""
    metadata = burnish.open_record(burnish.save_record(net)).metadata
    return json_text(metadata["burnish"]["hparams"])


def json_text(data: object) -> str:
    """Return ``data`` as the files of this folder have it."""
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def write(texts: dict[str, str]) -> None:
    """Write each file that is missing in `tests/data/spellings/`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_text(text)
