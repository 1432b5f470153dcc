"""Structs that files hold by name in typed dicts, named tuples and other containers.

Each is a place in which a versioned class stands: what is older is upgraded there, and
what the class lacks is refused, as anywhere else.
"""

import dataclasses
from collections import deque
from collections.abc import Iterable, Sequence, Set
from typing import Any, Generic, List, NamedTuple, NotRequired, TypeVar, Union  # noqa: UP035

import pytest
from typing_extensions import TypeAliasType, TypedDict

from burnish.config import (
    ConfigError,
    ConfigVersionError,
    Editable,
    RenameField,
    Versioned,
    describe,
    dumps,
    load,
    loads,
)
from burnish.config.classes.declared_types import item_type, type_parts
from burnish.config.classes.editable import editable_paths
from burnish.config.classes.keyed_types import (
    is_closed,
    item_types,
    optional_keys,
    typed_keys,
)
from burnish.config.hparams import Hparams
from burnish.config.schedule import at
from burnish.config.schema import schema_of
from burnish.core.hyperparameters.declared import needs_class

T = TypeVar("T")
U = TypeVar("U")


@dataclasses.dataclass(frozen=True)
class Part(Versioned):
    width: int = 0

    @classmethod
    def version(cls) -> int:
        return 1

    @classmethod
    def upgrade_rules(cls) -> Any:
        return {0: [RenameField("dim", "width")]}


class Keys(TypedDict):
    part: Part
    scale: NotRequired[float]


class Pair(NamedTuple):
    part: Part
    scale: float = 1.0


class PairOf(NamedTuple, Generic[T]):
    scale: float
    part: T


class KeysOf(TypedDict, Generic[T]):
    part: T


# Made as nobody writes it, for type checkers would want the newest Python's syntax.
alias_of: Any = TypeAliasType
parameter: Any = T
key: Any = U
Parts: Any = alias_of("Parts", list[parameter], type_params=(T,))
Table = alias_of("Table", dict[key, parameter], type_params=(T, U))
union_of: Any = Union
list_of: Any = List  # noqa: UP006
Tree = alias_of("Tree", union_of[list_of["Tree"], Part])

PART = {"dim": 3}
PLACES: dict[str, tuple[Any, Any]] = {
    "a typed dict": (Keys, {"part": PART}),
    "an optional typed dict": (Keys | None, {"part": PART}),
    "typed dicts in a list": (list[Keys], [{"part": PART}]),
    "a typed dict with a parameter": (KeysOf[Part], {"part": PART}),
    "a named tuple by position": (Pair, [PART]),
    "a named tuple by name": (Pair, {"part": PART}),
    "a named tuple with a parameter": (PairOf[Part], [1.5, PART]),
    "an alias with a parameter": (Parts[Part], [PART]),
    "an alias of two parameters": (Table[Part, str], {"a": PART}),
    "an alias in a list": (list[Parts[Part]], [[PART]]),
    "an alias of itself": (Tree, [[PART]]),
    "the second of two lists": (list[int] | list[Part], [PART]),
    "the second of two dicts": (dict[str, int] | dict[str, Part], {"a": PART}),
    "the second of two tuples": (tuple[int] | tuple[int, Part], [1, PART]),
    "a deque": (deque[Part], [PART]),
    "a sequence": (Sequence[Part], [PART]),
}


def holder(annotation: Any, *bases: type) -> Any:
    if bases:
        body = {"__annotations__": {"place": annotation}, "__module__": __name__}
        return type("Holder", bases, body)
    return dataclasses.make_dataclass(
        "Holder", [("place", annotation)], namespace={"__module__": __name__}
    )


def part_in(value: Any) -> Part:
    if isinstance(value, Part):
        return value
    items = value.values() if isinstance(value, dict) else value
    return part_in(next(i for i in items if not isinstance(i, int | float)))


@pytest.mark.parametrize("bases", [(), (Hparams,)])
@pytest.mark.parametrize("place", PLACES)
def test_a_struct_is_upgraded_wherever_it_stands(place: str, bases: Any) -> None:
    annotation, data = PLACES[place]

    config = load(holder(annotation, *bases), {"place": data})

    assert part_in(config.place) == Part(width=3)


@pytest.mark.parametrize("bases", [(), (Hparams,)])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", ["ron", "json", "yaml"])
def test_a_config_comes_back_from_each_place(place: str, bases: Any, form: str) -> None:
    annotation, data = PLACES[place]
    cls = holder(annotation, *bases)
    config = load(cls, {"place": data})

    again = loads(cls, dumps(config, form), form)

    assert again == config
    assert part_in(again.place) == Part(width=3)


@pytest.mark.parametrize("bases", [(), (Hparams,)])
@pytest.mark.parametrize("place", PLACES)
def test_unknown_fields_and_newer_versions_are_refused_wherever_they_stand(
    place: str, bases: Any
) -> None:
    annotation, data = PLACES[place]
    cls = holder(annotation, *bases)

    for part, error in (
        ({"widht": 3}, ConfigError),
        ({"version": 2, "width": 3}, ConfigVersionError),
    ):
        with pytest.raises(error, match=r"widht|version 2"):
            load(cls, {"place": replaced(data, part)})


def replaced(data: Any, part: Any) -> Any:
    if data is PART:
        return part
    if isinstance(data, dict):
        return {key: replaced(item, part) for key, item in data.items()}
    return [replaced(i, part) for i in data] if isinstance(data, list) else data


@pytest.mark.parametrize("form", ["ron", "json", "yaml"])
def test_keys_that_a_typed_dict_lacks_are_unknown_fields(form: str) -> None:
    texts = {
        "ron": '(place: {"part": (), "scael": 2.0})',
        "json": '{"place": {"part": {}, "scael": 2.0}}',
        "yaml": "place: {part: {}, scael: 2.0}",
    }

    for bases in ((), (Hparams,)):
        cls = holder(Keys, *bases)
        with pytest.raises(ConfigError, match=r"place\.scael.*Did you mean 'scale'"):
            loads(cls, texts[form], form)
        config = loads(cls, texts[form], form, ignore_extra=True)
        assert config.place == {"part": Part()}


def test_a_typed_dict_that_takes_other_keys_gets_them() -> None:
    class Open(TypedDict):
        width: int

    Open.__pydantic_config__ = {"extra": "allow"}  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    config = load(holder(Open), {"place": {"width": 1, "depth": 2}})

    assert config.place == {"width": 1, "depth": 2}
    assert not is_closed(Open)
    assert is_closed(Keys)


@pytest.mark.parametrize("bases", [(), (Hparams,)])
def test_a_schedule_stays_with_its_key_whatever_comes_first_in_the_file(
    bases: Any,
) -> None:
    class Rates(TypedDict):
        decay: float
        lr: float

    class Steps(NamedTuple):
        decay: float
        lr: float = 0.5

    rates = {"lr": "step: 1.0@0 lin 0.0@10", "decay": 0.1}

    for annotation in (Rates, Steps, dict[str, float]):
        config = load(holder(annotation, *bases), {"place": rates})
        later = at(config, {"step": 5}).place
        values = later._asdict() if isinstance(later, Steps) else later
        assert values == {"lr": 0.5, "decay": 0.1}


def test_overrides_enter_typed_dicts_and_aliases() -> None:
    config = load(holder(Keys), {"place": {"part": PART}}, ["place.part.width=5"])
    parts = load(holder(Parts[Part]), None, ["place=[(width: 1)]", "place.0.width=2"])

    assert config.place["part"] == Part(width=5)
    assert parts.place == [Part(width=2)]


def test_a_class_that_a_file_names_is_not_a_dict_with_the_same_keys() -> None:
    cls = holder(Part | dict[str, int])

    named = loads(cls, "(place: Part(width: 3))")
    versioned = load(cls, {"place": {"version": 0, "dim": 3}})
    plain = load(cls, {"place": {"width": 3}})

    assert named.place == versioned.place == Part(width=3)
    assert plain.place == {"width": 3}


def test_items_of_iterables_and_sets_are_looked_at_too() -> None:
    for annotation in (Iterable[Part], Set[Part]):
        with pytest.raises(ConfigError, match=r"place\[0\]\.widht: unknown field"):
            load(holder(annotation), {"place": [{"widht": 3}]})


def test_a_collection_of_which_nothing_makes_values_is_no_type_of_a_field() -> None:
    from collections.abc import Collection

    with pytest.raises(TypeError, match="Collection"):
        load(holder(Collection[Part]), {"place": [PART]})


def test_types_by_name_are_those_of_the_parameters() -> None:
    assert dict(typed_keys(KeysOf[int]) or {}) == {"part": int}
    assert item_types(PairOf[int]) == (float, int)
    assert item_types(Keys) is None
    assert typed_keys(dict[str, int]) is None
    assert type_parts(Keys) == (Part, float)
    assert item_type(Pair, "scale") is float
    assert item_type(Pair, 1) is float


def test_an_alias_of_itself_is_walked_through_once() -> None:
    cls = holder(Tree, Hparams)

    assert (
        schema_of(cls).fields["place"].type
        == schema_of(holder(Tree)).fields["place"].type
    )
    assert describe(cls)
    assert needs_class(Tree)
    assert editable_paths(cls) == {}


def test_marks_count_under_an_alias_and_in_typed_dicts() -> None:
    rate = alias_of("Rate", Editable[float])

    class Rates(TypedDict):
        lr: Editable[float]
        decay: float

    cls: Any = dataclasses.make_dataclass("Config", [("lr", rate), ("rates", Rates)])

    assert list(editable_paths(cls)) == ["lr", "rates.lr"]


def test_a_mark_in_an_annotation_that_is_a_text_says_that_a_key_is_optional() -> None:
    typed_dict: Any = TypedDict
    keys = {"a": "NotRequired[int]", "b": "int"}

    assert optional_keys(typed_dict("Marked", keys)) == {"a"}
