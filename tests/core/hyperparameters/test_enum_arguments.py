"""Arguments that may be members of an enum, and other values too."""

import enum
from typing import Any, Literal

import pytest
from torch import nn

from burnish import module
from burnish.records import RecordError


class Mode(enum.Enum):
    FAST = 1
    SLOW = "slow"


class Other(enum.Enum):
    A = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    SLOW = "slow"


def net_of(hint: Any, value: Any) -> Any:
    def init(self: Any, value: Any = None) -> None:
        nn.Module.__init__(self)
        self.layer, self.value = nn.Linear(1, 1), value

    init.__annotations__ = {"value": hint}
    cls: Any = type("Net", (nn.Module,), {"__init__": init, "__module__": __name__})
    return module(name="tests/enum_arguments")(cls)(value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Mode | str, "slow"),
        (Mode | str, Mode.SLOW),
        (str | Word, "slow"),
        (Word | None, Word.SLOW),
        (Level | int, 1),
        (Mode | Literal["slow"], "slow"),
        (Mode | Other, Mode.FAST),
        (Literal[Mode.FAST, Mode.SLOW], Mode.FAST),
        (list[Literal[Mode.FAST] | str], [Mode.FAST, "x"]),
        (Literal[1] | Level, 1),
        (list[Mode | int], [Mode.SLOW, 1]),
        (dict[str, Mode | str], {"a": Mode.SLOW, "b": "fast"}),
    ],
)
def test_it_comes_back_as_what_it_was(hint: Any, value: Any) -> None:
    net = net_of(hint, value)

    restored = type(net).from_record(net.save_record())

    assert repr(restored.value) == repr(value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Mode | int, Mode.FAST),
        (Level | int, Level.LOW),
        (Literal[Mode.FAST, 1], Mode.FAST),
        (Mode | Other, Other.A),
        (list[Mode | int], [Mode.FAST]),
        (list[Mode | str], ["slow"]),
    ],
)
def test_what_would_come_back_as_another_value_is_asked_for(
    hint: Any, value: Any
) -> None:
    net = net_of(hint, value)
    data = net.save_record()

    with pytest.raises(
        RecordError, match="annotation does not distinguish from others"
    ):
        type(net).from_record(data)
    assert type(net).from_record(data, value=value).value == value
