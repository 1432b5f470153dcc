"""Arguments come back as what they were, or are named as what no file holds."""

import collections
import dataclasses
import enum
import functools
import json
import pathlib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import burnish
from burnish import from_hyperparameters, get_hparams, module, open_record
from burnish.core.errors import HyperparameterError
from burnish.records import RecordError


class Pair(NamedTuple):
    a: int
    b: int


@dataclasses.dataclass
class Part:
    """A struct whose fields say little."""

    anything: Any
    pairs: list[Any]


@module
class Holder(nn.Module):
    def __init__(
        self,
        anything: Any = None,
        sequence: Sequence[int] = (),
        either: tuple[int, ...] | list[int] | None = None,
        items: list[int] | None = None,
        pair: tuple[int, int] | None = None,
        table: Mapping[str, Any] | None = None,
        size: torch.Size | None = None,
        pairs: list[tuple[int, int]] | None = None,
        part: Part | None = None,
        **others: Any,
    ) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.values: Any = (anything, sequence, either, items, pair, table)
        self.values += (size, pairs, part, others)


KEPT: list[dict[str, Any]] = [
    {"sequence": (0, 1)},
    {"sequence": [0, 1]},
    {"sequence": range(3)},
    {"either": (1,)},
    {"either": [1]},
    {"items": (1, 2)},
    {"pair": [1, 2]},
    {"table": {"a": 1}},
    {"table": collections.OrderedDict(b=1, a=2)},
    {"anything": torch.device("cpu")},
    {"anything": collections.OrderedDict(a=1)},
    {"anything": pathlib.Path("x")},
    {"anything": {1, 2}},
    {"anything": (1, {"a": [1]})},
    {"anything": torch.float16},
    {"anything": [(1, 2), (3, 4)]},
    {"anything": [[1], (2,), 3, None]},
    {"anything": ((1, 2), [3, (4, ())])},
    {"anything": {"a": (1, 2), "b": [1], "": {"c.d": ((),)}}},
    {"anything": torch.Size([1, 2])},
    {"anything": [torch.Size([1]), (1,)]},
    {"anything": [torch.device("cpu"), {1}, pathlib.Path("x"), range(2)]},
    {"anything": {"a": collections.OrderedDict(b=(1,), a=[1])}},
    {"anything": collections.OrderedDict(b=(1,))},
    {"sequence": torch.Size([1])},
    {"either": torch.Size([1])},
    {"pair": torch.Size([1, 2])},
    {"table": {"a": (1, (2,)), "b": {"c": [(1,)]}}},
    {"size": (1, 2)},
    {"size": torch.Size([1, 2])},
    {"size": [1, 2]},
    {"pairs": [[1, 2], (1, 2)]},
    {"part": Part((1,), [(1, 2)])},
    {"more": (1, [2, (3,)])},
]


def typed(values: Any) -> Any:
    """Return ``values`` with the type of each."""
    if isinstance(values, list | tuple):
        return type(values), [typed(value) for value in values]
    if isinstance(values, dict):
        return type(values), [(key, typed(item)) for key, item in values.items()]
    if isinstance(values, Part):
        return Part, typed(vars(values))
    return type(values), values


@pytest.mark.parametrize("arguments", KEPT, ids=str)
def test_an_argument_comes_back_as_the_type_that_was_passed(
    arguments: dict[str, Any],
) -> None:
    holder: Any = Holder(**arguments)

    again: Any = Holder.from_record(holder.save_record())  # type: ignore[attr-defined]  # of a decorated class

    assert typed(again.values) == typed(holder.values)


LOST: dict[str, Any] = {
    "defaultdict": collections.defaultdict(int, a=1),
    "counter": collections.Counter("aa"),
    "named tuple": Pair(1, 2),
    "named tuple in a list": [Pair(1, 2)],
    "defaultdict in a dict": {"a": collections.defaultdict(int, a=1)},
    "mapping": types.MappingProxyType({"a": 1}),
}


@pytest.mark.parametrize("value", LOST.values(), ids=LOST)
def test_an_argument_that_would_come_back_as_another_type_is_named(
    value: Any,
) -> None:
    holder: Any = Holder(value)

    with pytest.raises(TypeError, match=r"anything.*would be read back as a"):
        get_hparams(holder)
    hparams = open_record(holder.save_record()).metadata["burnish"]["hparams"]
    assert list(hparams["__unstored__"]) == ["anything"]


@module
class Variadic(nn.Module):
    def __init__(self, *parts: Any, act: Any = None, **others: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.values = (parts, act, others)


def test_variadic_arguments_and_those_of_partials_come_back_as_they_were() -> None:
    act = functools.partial(Variadic, act=[(1,)])
    holder: Any = Variadic((1, 2), [(3,)], act=act, a=(1, (2,)), b=[1])

    again: Any = Variadic.from_record(holder.save_record())  # type: ignore[attr-defined]  # of a decorated class

    parts, same, others = again.values
    assert typed(parts) == typed(((1, 2), [(3,)]))
    assert typed(others) == typed({"a": (1, (2,)), "b": [1]})
    assert typed(same().values) == typed(((), [(1,)], {}))


def test_what_no_file_holds_among_named_ones_costs_the_others_nothing() -> None:
    holder: Any = Variadic(a=(1, (2,)), b=open, c=Pair(1, 2))

    data = holder.save_record()

    hparams: Any = open_record(data).metadata["burnish"]["hparams"]
    assert set(hparams["__unstored__"]) == {"b", "c"}
    assert hparams["others"] == {"a": [1, [2]]}
    assert hparams["__kinds__"] == {"others": [None, {"a": ["tuple", {"1": "tuple"}]}]}


def test_many_items_alike_are_told_once() -> None:
    hparams = get_hparams(Holder([(i, i) for i in range(100)]))

    assert hparams["__kinds__"]["anything"] == [None, "tuple"]


@pytest.mark.parametrize(
    "kinds", [3, {"anything": "bytes"}, {"anything": [3]}, {"anything": [None, 3, 4]}]
)
def test_kinds_that_are_none_are_refused(kinds: Any) -> None:
    hparams = {**get_hparams(Holder([1])), "__kinds__": kinds}

    with pytest.raises(HyperparameterError, match="__kinds__: expected"):
        from_hyperparameters(hparams)


class Mode(enum.StrEnum):
    FAST = "fast"
    EXACT = "exact"


class Size(enum.IntEnum):
    SMALL = 3


class Switched(burnish.Module):
    """Tells members of an enum from their values, as ``is`` does."""

    def __init__(self, mode: Any = "fast", width: int = 2) -> None:
        super().__init__()
        self.act = nn.ReLU() if mode is Mode.FAST else nn.Tanh()
        self.lin = nn.Linear(2, width)


@pytest.mark.parametrize("mode", [Mode.FAST, Size.SMALL, [Mode.FAST], {"a": Mode.FAST}])
def test_members_of_enums_do_not_come_back_as_their_values(mode: Any) -> None:
    data = burnish.save_record(Switched(mode))

    with pytest.raises(
        RecordError, match=r"mode: .*the argument of this Switched could not be stored"
    ):
        Switched.from_record(data)
    with pytest.raises(TypeError, match="unless the argument is annotated with"):
        _ = Switched(mode).hparams

    assert isinstance(Switched.from_record(data, Mode.FAST).act, nn.ReLU)


def test_a_member_of_an_enum_is_a_number_where_the_constructor_asks_for_one() -> None:
    module = Switched(width=Size.SMALL)

    again = Switched.from_record(burnish.save_record(module))

    assert again.lin.out_features == 3


@burnish.module
class Loose(nn.Module):
    def __init__(self, color: Any = None) -> None:
        super().__init__()
        self.color = color


VALUES = [
    (3, 4),
    {1, 2},
    frozenset({1}),
    range(5, 0, -2),
    range(0),
    Path("data/x"),
    [1, 2],
    "text",
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_an_argument_without_annotation_comes_back_as_what_it_was(
    value: Any, tmp_path: Path
) -> None:
    file = tmp_path / "net.mpk"
    burnish.save_record(Loose(value), file)
    told = json.loads(json.dumps(burnish.get_hparams(Loose(value))))
    factory: Any = Loose

    for again in (burnish.from_hyperparameters(told), factory.from_record(file)):
        assert again.color == value
        assert type(again.color) is type(value)


@pytest.mark.parametrize("kinds", [3, {"color": "module"}, {"color": []}])
def test_kinds_of_arguments_that_a_file_made_up_are_refused(kinds: Any) -> None:
    told = {**burnish.get_hparams(Loose((1, 2))), "__kinds__": kinds}

    with pytest.raises(Exception, match="__kinds__: expected"):
        burnish.from_hyperparameters(told)
