"""What is different between two configs, and what of it may be."""

import math
from dataclasses import dataclass, field, make_dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import pytest

from burnish.config import ConfigError, Editable, Hparam, Hparams, load, loads
from burnish.config.live.changes import (
    apply_changes,
    changes_between,
    key_in,
    marked_values,
    unwritten_fields,
)


class Sgd(Hparams):
    lr: float = Hparam(default=0.1, editable=True, gt=0)
    momentum: float = 0.0


class Lion(Hparams):
    lr: float = Hparam(default=0.01, editable=True)
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass
class Config:
    optim: Sgd | Lion = field(default_factory=lambda: Sgd())
    heads: dict[str, Sgd] = field(default_factory=dict[str, Sgd])
    stages: Editable[list[int]] = field(default_factory=lambda: [1, 2])
    other: Editable[dict[str, Any]] = field(default_factory=dict[str, Any])
    name: Editable[str] = "a"
    steps: int = 10


def config(*overrides: str) -> Config:
    return load(Config, None, overrides)


def texts(before: Config, after: Config) -> list[str]:
    return [str(change) for change in changes_between(before, after)]


def test_each_field_is_told_by_its_path_and_both_values() -> None:
    heads = 'heads={"left": (lr: 0.1)}'
    before = config(heads)

    after = config(
        "optim.lr=0.5", heads, "heads.left.lr=0.2", "stages.1=3", 'name=it"s'
    )

    assert texts(before, after) == [
        "optim.lr: 0.1 -> 0.5",
        "heads.left.lr: 0.1 -> 0.2",
        "stages[1]: 2 -> 3",
        'name: "a" -> "it\\"s"',
    ]
    assert apply_changes(before, changes_between(before, after)) == after


def test_equal_configs_have_no_changes() -> None:
    nan = "optim=Lion(lr: NaN)"

    assert changes_between(config(nan), config(nan)) == []


def test_a_number_takes_the_place_of_a_schedule_and_says_so() -> None:
    before = config("optim.lr=step: 0.1@0 cos 0.01@10")
    number, again = config("optim.lr=0.1"), config("optim.lr=step: 0.1@0 lin 0.01@10")

    assert texts(before, before) == []
    assert texts(before, number) == [
        'optim.lr: "step: 0.1@0 cos 0.01@10" -> 0.1 (the number replaces the schedule)'
    ]
    assert "(the schedule replaces the schedule)" in texts(before, again)[0]
    assert "(a schedule from now on)" in texts(number, before)[0]
    assert apply_changes(number, changes_between(number, before)) == before


def test_what_is_not_marked_is_refused_with_every_path() -> None:
    after = config("optim.momentum=0.9", "steps=20", "optim.lr=0.5")

    with pytest.raises(ConfigError) as caught:
        changes_between(config(), after)

    assert [p.path for p in caught.value.problems] == ["optim.momentum", "steps"]
    assert "Editable fields: optim.lr, heads.*.lr, stages" in str(caught.value)
    assert "editable=True" in str(caught.value)
    assert "steps: cannot be edited" in str(caught.value)
    assert "The run uses 10: write that value back" in str(caught.value)


def test_another_class_in_an_unmarked_field_is_refused() -> None:
    with pytest.raises(ConfigError, match="optim: cannot be edited"):
        changes_between(config(), config("optim=Lion"))
    with pytest.raises(ConfigError, match="heads: cannot be edited"):
        changes_between(config(), config('heads={"a": (lr: 1.0)}'))


def test_a_marked_list_or_dict_may_be_another_as_a_whole() -> None:
    before = config('other={"a": 1, "b.c": [1]}')
    after = config("stages=[5]", 'other={"b.c": [2, (1, 2)]}')

    changes = changes_between(before, after)

    assert [c.path for c in changes] == ["stages", "other"]
    assert apply_changes(before, changes) == after


def test_keys_with_dots_and_of_other_types_are_found_again() -> None:
    @dataclass
    class Tables:
        table: Editable[dict[int, float]]
        names: Editable[dict[str, float]]

    before = Tables({3: 0.1}, {"a.b": 1.0, 'c"="': 2.0})
    after = Tables({3: 0.2}, {"a.b": 1.5, 'c"="': math.inf})

    assert apply_changes(before, changes_between(before, after)) == after


def test_items_of_tuples_may_be_edited() -> None:
    class Pair(NamedTuple):
        first: float
        second: float

    @dataclass
    class Tuples:
        betas: Editable[tuple[float, float]]
        pair: Editable[Pair]
        heads: tuple[Sgd, ...]

    before = Tuples((0.9, 0.99), Pair(1.0, 2.0), (Sgd(), Sgd()))
    after = Tuples((0.9, 0.5), Pair(1.5, 2.0), (Sgd(), Sgd(lr=0.5)))

    changes = changes_between(before, after)
    edited = apply_changes(before, changes)

    assert [c.path for c in changes] == ["betas[1]", "pair[0]", "heads[1].lr"]
    assert edited == after
    assert isinstance(edited.pair, Pair)
    assert before.betas == (0.9, 0.99)


def test_keys_are_called_as_files_call_them() -> None:
    class Part(Enum):
        BODY = "body"
        HEAD = (1, 2)

    class Level(IntEnum):
        LOW = 1

    @dataclass
    class Rates:
        parts: Editable[dict[Part, float]]
        levels: Editable[dict[Level, float]]
        heads: dict[Part, Sgd]
        times: Editable[dict[datetime, float]]

    noon = datetime(2026, 1, 2, 12)
    before = Rates(
        {Part.BODY: 1.0, Part.HEAD: 1.0},
        {Level.LOW: 1.0},
        {Part.BODY: Sgd()},
        {noon: 1},
    )
    after = Rates(
        {Part.BODY: 2.0, Part.HEAD: 3.0},
        {Level.LOW: 2.0},
        {Part.BODY: Sgd(lr=0.5)},
        {noon: 2},
    )

    changes = changes_between(before, after)

    assert [c.path for c in changes] == [
        "parts.body",
        "parts.HEAD",
        "levels[1]",
        "heads.body.lr",
        "times.2026-01-02T12:00:00",
    ]
    assert apply_changes(before, changes) == after
    assert [*marked_values(before)] == [c.path for c in changes]
    tree = {"parts": {}, "levels": {}, "heads": {"body": {"lr": 0.5}}, "times": {}}
    assert [*unwritten_fields(before, tree)] == ["heads.body.momentum"]


def test_changes_that_do_not_fit_are_told_with_their_path() -> None:
    change = changes_between(config(), config("optim.lr=0.5"))[0]
    wrong = type(change)(path="optim.lr", before="0.1", after="-1.0")
    lost = type(change)(path="stages[7]", before="0", after="1")
    gone = type(change)(path="heads.gone.lr", before="0", after="1")
    before = config()

    with pytest.raises(ConfigError, match=r"optim\.lr.*greater than 0"):
        apply_changes(before, [wrong])
    with pytest.raises(ConfigError, match=r"stages\[7\]: no such place"):
        apply_changes(before, [lost])
    with pytest.raises(ConfigError, match=r"heads\.gone\.lr: no such place"):
        apply_changes(before, [gone])
    assert before == config()


def test_fields_that_a_file_leaves_out_are_listed() -> None:
    whole = config('heads={"a": (lr: 1.0)}')
    text = {"optim": {"lr": 0.1}, "heads": {"a": {"lr": 1.0}}, "stages": [1, 2]}

    assert [*unwritten_fields(whole, text)] == [
        "other",
        "name",
        "steps",
        "optim.momentum",
        "heads.a.momentum",
    ]
    by_number: Any = {1: Sgd()}
    as_json: Any = {"1": {"lr": 0.1}}
    assert [*unwritten_fields(by_number, as_json)] == ["[1].momentum"]
    assert [*unwritten_fields(loads(Sgd, "()"), ())] == ["lr", "momentum"]


@pytest.mark.parametrize(
    ("container", "name", "key"),
    [({"a": 1}, "a", "a"), ({3: 1}, "3", 3), ([1, 2], "1", 1), ([1, 2], "-1", -1)],
)
def test_a_name_of_a_path_is_a_key_or_the_number_of_an_item(
    container: Any, name: str, key: object
) -> None:
    assert key_in(container, name) == key


@pytest.mark.parametrize(
    ("container", "name"), [({"a": 1}, "b"), ([1], "1"), ([1], "²"), (3, "0")]
)
def test_a_name_that_leads_nowhere_is_no_key(container: Any, name: str) -> None:
    with pytest.raises(LookupError):
        key_in(container, name)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (dict[str | int, int], {1: 1, "1": 2}, {1: 1, "1": 7}),
        (dict[str | None, int], {None: 1, "None": 2}, {None: 5, "None": 2}),
        (Any, {1: 2}, {True: 2}),
        (Any, {True: 2}, {1: 3}),
    ],
)
def test_keys_that_have_one_path_are_not_taken_for_each_other(
    kind: Any, before: Any, after: Any
) -> None:
    marked: Any = Editable
    whole: Any = make_dataclass("Config", [("table", marked[kind])])
    items: Any = make_dataclass("Config", [("table", kind)])

    changes = changes_between(whole(before), whole(after))
    edited = apply_changes(whole(before), changes)

    assert [*map(repr, edited.table.items())] == [*map(repr, after.items())]
    assert [change.path for change in changes] == ["table"]
    assert [*marked_values(whole({1: 1, "1": 2}))] == ["table"]
    with pytest.raises(ConfigError, match="table: cannot be edited"):
        changes_between(items(before), items(after))
