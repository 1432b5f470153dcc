"""Every kind of value of the five languages, at their edges, in the same form.

`spellings` has the usual values of each; here stand those that are recognized by a rule
of their own: subclasses, empty containers, keys that look like tags, scalars of numpy.
"""

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import pathlib
import pprint
import re
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pydantic
import torch
from torch import nn

import burnish
from burnish import config
from burnish.config.encode import encode
from burnish.config.schedule.number import scheduled
from burnish.core.blueprint import Blueprint
from burnish.records import Record
from burnish.records.entries.encoder import Encoder
from burnish.train.plain_records import record_of

from .spellings import (
    Cell,
    Level,
    Mode,
    Nested,
    Part,
    hparams_text,
    json_text,
    record_text,
)


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Word(str):
    pass


class Whole(int):
    pass


class Real(float):
    pass


class Point(NamedTuple):
    x: float
    y: int


class Options(typing.TypedDict):
    size: int
    name: str


class EveryEdge(Record):
    nothing: bytes
    buffer: bytearray
    smallest: int
    beyond: int
    word: Any
    whole: Any
    real: Any
    numpy_scalars: list[Any]
    rights: Rights
    none_of_them: Rights
    modes: list[Mode]
    size: torch.Size
    point: Point
    options: Options
    counter: collections.Counter[str]
    ordered: collections.OrderedDict[str, int]
    lists: collections.defaultdict[str, list[int]]
    sequence: Sequence[int]
    mapping: Mapping[str, int]
    union: int | str | None
    parameter: nn.Parameter
    arrays: dict[str, Any]
    paths: dict[str, Any]
    pairs: tuple[tuple[()], dict[str, Any], list[Any]]
    records: list[Nested]
    by_name: dict[str, Nested]
    module: Any
    undefined: tuple[float, float, float]
    proxy: Any


def record_edges() -> EveryEdge:
    """Return a record of values that are known by a rule of their own."""
    weight = torch.ones(2, dtype=torch.float16)
    nested = Nested(weight=weight, note="a")
    counter = collections.Counter("aab")
    state_dict = {"layer.weight": torch.zeros(1), "layer._extra_state": {"$a": (1,)}}
    return EveryEdge(
        nothing=b"",
        buffer=bytearray(b"a"),
        smallest=-(2**63),
        beyond=-(2**63) - 1,
        word=Word("w"),
        whole=Whole(3),
        real=Real(0.5),
        numpy_scalars=[np.int8(1), np.bool_(True), np.float64("nan"), np.str_("s")],
        rights=Rights.READ | Rights.WRITE,
        none_of_them=Rights(0),
        modes=[Mode.FAST, Mode.SLOW],
        size=torch.Size([2]),
        point=Point(0.5, 2),
        options={"size": 1, "name": "n"},
        counter=counter,
        ordered=collections.OrderedDict(b=1, a=2),
        lists=collections.defaultdict(None, {"a": [1]}),
        sequence=(1, 2),
        mapping={"a": 1},
        union=None,
        parameter=nn.Parameter(torch.zeros(1)),
        arrays={
            "zero": np.float32(2),
            "empty": np.empty((0, 2)),
            "big": np.ones(1, ">i4"),
        },
        paths={k: torch.tensor(i) for i, k in enumerate(("", "a.b", "\\", "\0", "$x"))},
        pairs=((), {}, []),
        records=[nested, Nested(weight=weight, note="b")],
        by_name={"x.y": nested},
        module=Record.from_state_dict(state_dict),
        undefined=(float("nan"), float("inf"), -float("inf")),
        proxy=types.MappingProxyType({"a": [b"x", memoryview(b"y")]}),
    )


def checkpoint_edges() -> dict[Any, Any]:
    """Return plain data of a checkpoint that is known by a rule of its own."""
    return {
        "$set": [1],
        "marked": [{"$set": 1}, {"$other": 2}, {"$dict": []}, {"$": 1, "b": 2}],
        "numpy": [np.int64(3), np.float32(0.5), np.array(1), np.bool_(False)],
        "parameter": nn.Parameter(torch.zeros(1)),
        "subclasses": [Word("w"), Whole(3), Real(0.5)],
        "empty": [(), [], {}, set(), frozenset(), collections.deque(), torch.Size([])],
        "dtypes": {
            torch.float8_e5m2: torch.complex64,
            torch.device("meta"): torch.bool,
        },
        "keys": {None: 1, True: 2, 0.5: 3, ("a", (1,)): {2**70: ()}},
        "numbers": collections.OrderedDict({1: {2: 3}}),
        "counter": collections.Counter({("a", 1): 2}),
        "factories": [
            collections.defaultdict(int, {1: 2}),
            collections.defaultdict(float, a=0.5),
            collections.defaultdict(dict, a={}),
            collections.defaultdict(None, a=1),
            collections.defaultdict(set, a=1),
        ],
        "proxy": types.MappingProxyType({"a": 1}),
        "sets": [{(1, 2)}, frozenset({torch.int8}), {-1}],
        "deque": collections.deque([{1}, [2]], maxlen=3),
        "path": pathlib.PureWindowsPath("a/b"),
        "records": [Nested(weight=torch.zeros(1), note="n")],
        "views": {"a.b": torch.arange(3)[1:], "": b""},
        "infinite": [-float("inf")],
    }


class Bounds(pydantic.BaseModel):
    low: float = 0.0
    high: float | None = None


@dataclasses.dataclass
class Group:
    parts: list[Part]
    shape: Any = ()
    norm: type[nn.Module] = nn.ReLU


@burnish.module
class Loose(nn.Module):
    """Declares little, so that files say of what kind each argument was."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__()
        del named  # a blueprint refuses names that are never read


@burnish.module
class Strict(nn.Module):
    """Declares kinds whose values are known by a rule of their own."""

    def __init__(
        self,
        *sizes: tuple[int, ...],
        rights: Rights = Rights.READ,
        bounds: Bounds | None = None,
        group: Group | None = None,
        frozen: frozenset[str] = frozenset(),
        modes: list[Mode] | None = None,
        by_name: dict[str, torch.dtype] | None = None,
        ordered: collections.OrderedDict[str, int] | None = None,
        pair: tuple[int, Part] | None = None,
        cells: nn.ModuleDict | None = None,
        activation: Any = torch.relu,
        union: tuple[int, int] | int = 1,
        **parts: Part,
    ) -> None:
        super().__init__()
        self.cells = cells


def hyperparameters() -> nn.Module:
    """Return a module whose arguments are of every kind, at any depth."""
    loose = Loose(
        (1, [2, (3,)]),
        {2, 1},
        frozenset({"b", "a"}),
        range(2, 9, 3),
        torch.Size([1, 2]),
        pathlib.Path("a/b"),
        torch.device("cpu"),
        torch.bfloat16,
        collections.OrderedDict(b=(1,), a=2),
        [np.int64(3), np.float32(0.5), np.bool_(True), Whole(2), Word("w"), Real(1.5)],
        [float("nan"), float("inf"), 2**70, True, None],
        [(1, 2)] * 3,
        nn.Tanh,
        functools.partial(Cell, width=2),
        [Cell(1), {"a": Cell(2)}],
        {"a.b": {"$c": ()}},
        anything=[(), {}, []],
        shape={"a": torch.Size([3]), "b": [torch.device("cpu")]},
    )
    cell = Cell(1)
    strict = Strict(
        (1,),
        (2, 3),
        rights=Rights.WRITE,
        bounds=Bounds(high=2.0),
        group=Group([Part(1), Part(2, Mode.SLOW)], shape=(1, (2,)), norm=nn.GELU),
        frozen=frozenset({"b", "a"}),
        modes=[Mode.SLOW],
        by_name={"x": torch.int8},
        ordered=collections.OrderedDict(b=1, a=2),
        pair=(1, Part(3)),
        cells=nn.ModuleDict({"one": cell, "two": Cell(2)}),
        union=(1, 2),
        extra=Part(4),
    )
    return Loose(loose, strict, cell, nn.Sequential(nn.Conv2d(1, 2, (3, 1)), nn.ReLU()))


class Typed(nn.Module):
    """Declares the classes of objects that blueprints keep by their fields."""

    def __init__(
        self,
        part: Part | None = None,
        mode: Mode = Mode.FAST,
        level: Level = Level.LOW,
        bounds: Bounds | None = None,
        *values: Any,
        **named: Any,
    ) -> None:
        super().__init__()
        del named


def blueprint_edges() -> Blueprint[Any]:
    """Return a blueprint of values that are known by a rule of their own."""
    return Blueprint(
        Typed,
        Part(2, Mode.SLOW),
        Mode.SLOW,
        Level.HIGH,
        Bounds(low=1.0),
        [(), [], {}, set(), frozenset()],
        frozenset({2, 1}),
        {"b", "a"},
        [-float("inf"), 2**70, -0.0],
        [Whole(3), Word("w"), Real(0.5), np.int16(2), np.float32(0.5)],
        {"__a": 1},
        {"__a": 1, "b": (2,)},
        {(1, None): {2: [torch.int8]}},
        {"$set": [1], "a.b": {}},
        Cell(2),
        functools.partial(Typed, named=(1, {2})),
        Blueprint(Cell, 1),
        [Blueprint(Cell, 2), {"a": nn.Conv1d}],
        pathlib.PureWindowsPath("a/b"),
        device=torch.device("meta"),
        dtype=[torch.float8_e5m2],
    )


@dataclasses.dataclass
class Small:
    n: int = 1


class EveryType(config.Hparams):
    raw: bytes
    day: datetime.date
    span: datetime.timedelta
    exact: decimal.Decimal
    key: uuid.UUID
    rights: Rights
    word: Any
    pairs: dict[tuple[int, str], int]
    queue: collections.deque[int]
    frozen: frozenset[Level]
    by_mode: dict[Mode, list[Small | None]]
    sequence: Sequence[tuple[int, ...]]
    point: Point
    counter: collections.Counter[str]
    ordered: collections.OrderedDict[str, int]
    undefined: list[float]
    limits: set[float]
    bounds: Bounds
    rate: float = 1.0
    steps: int = 1


def config_edges() -> EveryType:
    """Return a config of values that are known by a rule of their own."""
    schedule = config.Schedule.parse("step: 1.0@0 lin 0.1@1000")
    return EveryType(
        raw=b"ab",
        day=datetime.date(2020, 1, 2),
        span=datetime.timedelta(hours=1),
        exact=decimal.Decimal("0.10"),
        key=uuid.UUID(int=1),
        rights=Rights.WRITE,
        word=[Word("w"), Whole(2), Real(0.5), None, (1, [2]), {"$a": {"__b__": 1}}],
        pairs={(1, "a"): 2},
        queue=collections.deque([2, 1]),
        frozen=frozenset({Level.HIGH, Level.LOW}),
        by_mode={Mode.SLOW: [Small(2), None]},
        sequence=[(1, 2), ()],
        point=Point(0.5, 1),
        counter=collections.Counter("ab"),
        ordered=collections.OrderedDict(b=1, a=2),
        undefined=[float("nan"), -float("inf"), -0.0],
        limits={2.0, float("inf"), -1.0},
        bounds=Bounds(high=3.0),
        rate=scheduled(schedule, float, 1.0),
        steps=scheduled(schedule, int, 1),
    )


def state_dict_values() -> dict[str, Any]:
    """Return a state dict whose extra state is of every kind that it may hold."""
    return {
        "weight": torch.zeros(1),
        "_extra_state": {
            "numbers": [1, 0.5, 2**70, float("inf"), True, None],
            "bytes": [b"a", b""],
            "tuple": ((), (1, "b")),
            "marked": {"$set": [torch.ones(1)], "a.b": {}},
            "array": np.arange(2),
        },
    }


_ADDRESS = re.compile(r" at 0x\w+|object at 0x\.\.\.|\.\.\.object at 0x\w+")


_relu: Any = torch.relu


class Opaque:
    """An object that no file holds."""

    def __repr__(self) -> str:
        return "Opaque()"


def refused_values() -> dict[str, Any]:
    """Return values that some of the languages refuse, by what they are."""
    return {
        "object": Opaque(),
        "object below": {"a": [(Opaque(),)]},
        "enum": {"a": Mode.FAST},
        "named tuple": Point(0.5, 1),
        "function": [torch.relu],
        "partial of a function": functools.partial(_relu, 1),
        "positional partial": [functools.partial(nn.Linear, 1)],
        "class": {"a": Opaque},
        "long number": [10**4000],
        "objects in an array": np.array([Opaque()]),
        "number as key": {1: 2},
        "tuple as key": {"a": {(1, 2): 3}},
        "mark as key": {"__class__": 1},
        "set of tuples": {(1, 2)},
        "iterator": {"a": iter([])},
        "struct": Part(2),
        "model": [Bounds()],
        "module": [nn.ReLU()],
        "record": [Nested(weight=torch.zeros(1), note="")],
        "tensor": {"a": torch.zeros(2)},
        "deque": [collections.deque([1])],
        "bytes": [b"a"],
        "complex": 1j,
        "dtype": [torch.int8],
        "name of a dtype": ["torch.int8"],
        "path": pathlib.PurePosixPath("a"),
    }


def refusals() -> dict[str, dict[str, str]]:
    """Return what each language says of each value, or nothing if it takes it."""
    languages: dict[str, Any] = {
        "record": lambda value: Encoder().encode(value, "a"),
        "undeclared": lambda value: Encoder(is_declared=False).encode(value, "a"),
        "checkpoint": lambda value: record_of(value, "a").flat(),
        "hparams": lambda value: burnish.get_hparams(Loose(value)),
        "blueprint": lambda value: Blueprint(Typed, None, named=value).to_dict(),
        "config": encode,
    }
    messages: dict[str, dict[str, str]] = {name: {} for name in languages}
    for name, write_value in languages.items():
        for kind, value in refused_values().items():
            try:
                write_value(value)
            except Exception as error:  # the words of every error are compared
                messages[name][kind] = _ADDRESS.sub(
                    "", f"{type(error).__name__}: {error}"
                )
    return messages


def texts() -> dict[str, str]:
    """Return the text of each kind of file by its name."""
    written = {
        "kinds.record.json": record_text(record_edges()),
        "kinds.state_dict.json": record_text(
            Record.from_state_dict(state_dict_values())
        ),
        "kinds.checkpoint.json": record_text(record_of(checkpoint_edges())),
        "kinds.hparams.json": hparams_text(hyperparameters()),
        "kinds.get_hparams.json": json_text(burnish.get_hparams(hyperparameters())),
        "kinds.refusals.json": json_text(refusals()),
        "kinds.blueprint.json": json_text(blueprint_edges().to_dict()),
    }
    tree = pprint.pformat(encode(config_edges()), width=88, sort_dicts=False)
    written["kinds.config.tree"] = tree + "\n"
    # What a text cannot tell is refused by the formats, and stands in the tree alone.
    readable = config_edges().model_copy(update={"word": [None, {"$a": {"__b__": 1}}]})
    without_pairs = readable.model_copy(update={"pairs": {}})
    for form in ("ron", "yaml", "json"):
        value = readable if form == "ron" else without_pairs
        written[f"kinds.config.{form}"] = config.dumps(value, form) + "\n"
    return written
