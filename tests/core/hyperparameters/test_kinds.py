"""Arguments come back as what they were, or are named as what no file holds."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from burnish import get_hparams, module, open_record


class Pair(NamedTuple):
    a: int
    b: int


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
    ) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.values = (anything, sequence, either, items, pair, table)


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
]


def typed(values: Any) -> Any:
    """Return ``values`` with the type of each."""
    if isinstance(values, list | tuple):
        return type(values), [typed(value) for value in values]
    if isinstance(values, dict):
        return type(values), [(key, typed(item)) for key, item in values.items()]
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
    "device in a list": [torch.device("cpu")],
    "ordered in a dict": {"a": collections.OrderedDict(b=1)},
    "set in a list": [{1}],
    "path in a dict": {"a": pathlib.Path("x")},
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
