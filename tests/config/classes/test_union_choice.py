"""Which class a struct is read as: by its name, by its fields, by its values."""

from collections.abc import Callable, Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import pytest

from burnish.config import ConfigError, Hparam, Hparams, dumps, load, loads

T = TypeVar("T")
FORMATS = ("ron", "json", "yaml")


class Box(Hparams, Generic[T]):
    x: T


@dataclass
class Case(Generic[T]):
    x: T


class Small(Hparams):
    width: int = 3


class Big(Hparams):
    width: int = 9
    depth: int = 2


class Boxes(Hparams):
    one: Box[str] | Box[int]
    many: list[Box[str] | Box[int]] = Hparam(default_factory=list)
    named: dict[str, Box[int] | Box[str]] = Hparam(default_factory=dict)
    default: Box[int] | Box[str] = Box[str](x="e")


class Cases(Hparams):
    one: Case[str] | Case[int]
    many: list[Case[str] | Case[int]]
    inner: Case[list[Case[str] | Case[int]]]


class Nets(Hparams):
    net: Small | Big = Small()
    nets: list[Small | Big] = Hparam(default_factory=list)
    one: Small = Small()
    perhaps: Small | None = None
    many: list[Small] = Hparam(default_factory=list)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("elide", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        Boxes(one=Box[int](x=1), many=[Box[str](x="1"), Box[int](x=1)]),
        Boxes(one=Box[str](x="a"), named={"a": Box[int](x=2), "b": Box[str](x="2")}),
        Cases(one=Case(1), many=[Case("1"), Case(1)], inner=Case([Case(1), Case("a")])),
    ],
)
def test_values_tell_one_class_with_parameters_from_another(
    config: Any, format: str, elide: Any
) -> None:
    text = dumps(config, format, elide_defaults=elide)

    assert repr(loads(type(config), text, format)) == repr(config)


def test_a_schedule_stands_in_the_class_that_takes_it() -> None:
    class Rates(Hparams):
        rate: Box[bool] | Box[float]

    rates = loads(Rates, '{"rate": {"x": "step: 1@0 lin 2@9"}}', "json")

    assert type(rates.rate) is Box[float]
    assert "lin" in dumps(rates)


@pytest.mark.parametrize("text", ["net=Smal(width: 7)", "nets=[Smal(width: 7)]"])
def test_a_misspelt_class_among_several_is_an_error_in_files_and_overrides(
    text: str,
) -> None:
    reads: list[Callable[[], Nets]] = [
        lambda: loads(Nets, f"({text.replace('=', ': ')})"),
        lambda: load(Nets, None, [text]),
    ]
    for read in reads:
        with pytest.raises(ConfigError, match=r"found a 'Smal'.*mean 'Small'") as error:
            read()

        assert error.value.problems[0].path in ("net", "nets[0]")


@pytest.mark.parametrize(
    ("path", "override"),
    [
        ("one", "one=Big(width: 7)"),
        ("perhaps", "perhaps=Big(width: 7)"),
        ("many[0]", "many=[Big(width: 7)]"),
        ("many[0]", "many.0=Big(width: 7)"),
    ],
)
def test_an_override_names_the_class_that_stands_in_its_place(
    path: str, override: str
) -> None:
    with pytest.raises(ConfigError, match="found a 'Big', expected Small") as error:
        load(Nets, None, [override])

    assert error.value.problems[0].path == path


def test_a_file_may_be_older_than_the_name_of_its_only_class() -> None:
    assert loads(Nets, "(one: Older(width: 7))").one == Small(width=7)


@pytest.mark.parametrize("format", ["json", "yaml"])
@pytest.mark.parametrize("kind", [Sequence[int], MutableSequence[int], Sequence])
def test_a_sequence_is_written_where_any_sequence_will_do(
    format: str, kind: Any
) -> None:
    class Config(Hparams):
        some: kind = ()  # pyright: ignore[reportInvalidTypeForm]  # chosen at run time
        perhaps: kind | None = None  # pyright: ignore[reportInvalidTypeForm]  # as above

    config = Config(perhaps=[1, 2])

    again = loads(Config, dumps(config, format), format)

    assert (list(again.some), again.perhaps) == ([], [1, 2])


def test_an_iterator_is_refused_and_not_emptied() -> None:
    class Config(Hparams):
        some: Iterable[int]

    config = Config(some=[1, 2])

    with pytest.raises(ConfigError, match=r"some: an iterator.*declare a Sequence"):
        dumps(config)
    assert list(config.some) == [1, 2]


@pytest.mark.parametrize("word", ["None", "null"])
def test_none_is_a_value_of_a_literal_in_overrides(word: str) -> None:
    class Config(Hparams):
        a: Literal[None, "x", 1] = "x"

    assert load(Config, None, [f"a={word}"]).a is None


def test_items_of_a_dict_are_named_as_the_dict_declares_beside_a_list() -> None:
    class Either(Hparams):
        nets: list[Small] | dict[str, Big] = Hparam(default_factory=list)

    config = load(Either, None, ['nets={"a": Big(depth: 5)}'])

    assert config.nets == {"a": Big(depth=5)}
    with pytest.raises(ConfigError, match="found a 'Small', expected Big"):
        load(Either, None, ['nets={"a": Small(width: 5)}'])
