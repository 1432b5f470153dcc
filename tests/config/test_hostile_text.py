"""Texts that are made to cost time, memory or a readable message.

Sizes are such that anything beyond time in proportion to the text would not end.
"""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from burnish.config import (
    ConfigError,
    ConfigSyntaxError,
    Hparam,
    Hparams,
    Schedule,
    dumps,
    load,
    loads,
)
from burnish.config.formats import config_format_named
from burnish.config.patterns import matches, wildcard_values
from burnish.config.ron import read as read_ron
from burnish.config.schedule.schedule import looks_scheduled

LONG = 300_000


class Config(Hparams):
    n: int = 1
    rate: float = 1.0
    name: str = "x"
    table: dict[str, int] = Hparam(default_factory=dict)
    numbers: list[int] = Hparam(default_factory=lambda: [1])


def merge_levels(n_levels: int) -> str:
    """Return YAML in which each level merges the one below nine times."""
    lines = ["a0: &a0 {x: 1, y: 2}"]
    for level in range(1, n_levels):
        below = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level}\n  <<: [{below}]")
    return "\n".join(lines)


def nested_merges(n_levels: int) -> str:
    """Return the same as one nest, whose inner levels are not yet merged."""
    text = "{a: 1}"
    for level in range(n_levels):
        aliases = ", ".join([f"*b{level}"] * 8)
        text = f"{{<<: [&b{level} {text}, {aliases}]}}"
    return f"root: {text}"


@pytest.mark.parametrize("text", [merge_levels(20), nested_merges(20)])
def test_merge_keys_that_multiply_are_refused_before_they_are_made(text: str) -> None:
    with pytest.raises(ConfigSyntaxError, match="merge keys expand to over 100,000"):
        config_format_named("yaml").read(text)


def test_merge_keys_of_a_sensible_size_are_merged() -> None:
    tree: Any = config_format_named("yaml").read(merge_levels(3))

    assert tree["a2"] == {"x": 1, "y": 2}


@pytest.mark.parametrize("mark", ["0x", "0b", "0o", ""])
def test_a_number_that_no_message_can_show_is_refused_by_ron(mark: str) -> None:
    with pytest.raises(ConfigSyntaxError) as refused:
        read_ron(f"(n: {mark}{'1' * 200_000})")

    assert len(str(refused.value)) < 200


def test_a_number_that_no_message_can_show_is_refused_by_yaml() -> None:
    with pytest.raises(ConfigSyntaxError, match="over 4,300 digits"):
        loads(Config, f"n: 0x{'1' * 200_000}", "yaml")


def test_a_number_that_no_message_can_show_is_refused_from_python_too() -> None:
    with pytest.raises(ConfigError, match="n:"):
        load(Config, {"n": "x", "table": {"a": 1 << 100_000, "b": "y"}})
    with pytest.raises(ConfigError, match="over 4,300 digits"):
        dumps(Config(n=1 << 100_000))


DIGITS = "1" * LONG
SCHEDULES = [
    f"step: {DIGITS}",
    f"step: {DIGITS}x@0",
    f"step: 1@{DIGITS}x",
    f"step: {'_' * LONG}@1",
    f"step: 1@0 {'lin ' * LONG}",
    f"{DIGITS}: {DIGITS}",
    f"step: 1.{DIGITS}e@1",
    f"step: 1@0 exp {'-' * LONG}1@5",
]


@pytest.mark.parametrize("text", SCHEDULES, ids=range(len(SCHEDULES)))
def test_a_long_schedule_costs_its_length_and_is_quoted_in_part(text: str) -> None:
    with pytest.raises(ValueError, match="schedule") as refused:
        Schedule.parse(text)

    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("text", [" " * LONG, "a" * LONG, "a." * LONG, " :" * LONG])
def test_whether_a_text_is_a_schedule_is_seen_in_one_pass(text: str) -> None:
    assert looks_scheduled(text) == (text.startswith(" :"))


RON = [
    '"' + "\\" * LONG,
    "r" + "#" * LONG,
    "r" + "#" * LONG + '"',
    "(" * LONG,
    "/*" * LONG,
    "1" * LONG + "x",
    "1." + "1" * LONG + "x",
    "1e" + "1" * LONG + "x",
    "0x" + "f" * LONG + "z",
    "(a: " + "/**/" * LONG,
    "#![enable(" + "a," * LONG + ")]",
    "'" * LONG,
    "-" * LONG,
    "_" * LONG + "!",
    '{"' + "k" * LONG + '": 1, "' + "k" * LONG + '": 2}',
    "(" + "f" * LONG + ": 1, " + "f" * LONG + ": 1)",
]


@pytest.mark.parametrize("text", RON, ids=range(len(RON)))
def test_long_ron_ends_in_a_short_message(text: str) -> None:
    with pytest.raises(ConfigSyntaxError) as refused:
        read_ron(text)

    assert len(str(refused.value)) < 500


OVERRIDES = [
    "a" * LONG,
    "a" * LONG + "=1",
    "n=" + "1" * LONG + "x",
    "n." * LONG + "=1",
    '"' * LONG,
    'table["' + "\\" * LONG + "=1",
    "table[" * LONG + "=1",
    "numbers." + "9" * LONG + "=1",
    "numbers[" + "9" * LONG + "]=1",
    "rate=step: " + "1" * LONG,
    "=" * LONG,
]


@pytest.mark.parametrize("text", OVERRIDES, ids=range(len(OVERRIDES)))
def test_a_long_override_ends_in_a_short_message(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(Config, None, [text])

    assert len(str(refused.value)) < 3000


def test_many_overrides_of_one_dict_do_not_copy_it_for_each() -> None:
    words = [f"table.k{i}={i}" for i in range(3_000)]

    table = load(Config, None, words).table

    assert len(table) == 3_000


def test_many_unknown_fields_are_told_in_part() -> None:
    tree = {f"n{i}": i for i in range(50_000)}

    with pytest.raises(ConfigError, match="50000 problems") as refused:
        load(Config, tree)

    assert len(str(refused.value)) < 10_000
    assert len(refused.value.problems) == 50_000


def test_a_pattern_with_many_stars_costs_the_length_of_the_name() -> None:
    name = "a" * LONG

    assert not matches("*a" * 20 + "*b", name)
    assert matches("*a" * 20 + "*", name)
    assert wildcard_values(["*a*a*a*b"], [name]) is None


@given(
    st.text("ab*", max_size=6).filter(lambda text: "**" not in text),
    st.text("ab", max_size=8),
)
def test_stars_stand_for_what_a_greedy_expression_finds(part: str, name: str) -> None:
    expression = re.escape(part).replace(r"\*", "(.*)")
    found = re.fullmatch(expression, name)

    assert wildcard_values([part], [name]) == (
        None if found is None else found.groups()
    )
    if part and name:
        assert matches(part, name) == (found is not None)


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("[" * LONG, "json"),
        ("1" * LONG, "json"),
        ('{"' + "k" * LONG + '": 1, "' + "k" * LONG + '": 2}', "json"),
        ("n: [" * 2000, "yaml"),
        ("? " * 2000, "yaml"),
        ("k" * LONG + ": 1\n" + "k" * LONG + ": 2", "yaml"),
        ("n: '" + "x" * LONG, "yaml"),
        ("&a " * 2000, "yaml"),
    ],
)
def test_long_json_and_yaml_end_in_a_short_message(text: str, format: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loads(Config, text, format)

    assert len(str(refused.value)) < 3000


def test_a_value_of_any_size_is_quoted_in_part() -> None:
    values: list[Any] = ["x" * LONG, ["x"] * LONG, {str(i): i for i in range(LONG)}]
    for value in values:
        with pytest.raises(ConfigError) as refused:
            load(Config, {"n": value})
        assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('{"rate": 1e999}', "json"),
        ('{"rate": [-1e999]}', "json"),
        ("rate: 1e999", "yaml"),
        ("rate: [-1.5e400]", "yaml"),
        ("(rate: 1e999)", "ron"),
        ("(rate: -1_0e999)", "ron"),
    ],
)
def test_digits_beyond_every_float_are_no_infinity(text: str, format: Any) -> None:
    with pytest.raises(ConfigError, match="too large for a float"):
        loads(Config, text, format)
    with pytest.raises(ConfigError, match="too large for a float"):
        load(Config, {}, ["rate=1e999"])


def test_digits_beyond_every_float_are_told_with_their_place_in_json() -> None:
    with pytest.raises(ConfigError, match="line 2, column 9: 1e999 is too large"):
        loads(Config, '{\n"rate": 1e999}', "json")


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('{"rate": 1e-999}', "json"),
        (f'{{"rate": [-0.{"0" * 400}1]}}', "json"),
        ("rate: 1e-999", "yaml"),
        ("(rate: -1_0e-999f32)", "ron"),
    ],
)
def test_digits_below_every_float_are_not_zero(text: str, format: Any) -> None:
    with pytest.raises(ConfigError, match="too small for a float, which would be 0"):
        loads(Config, text, format)
    with pytest.raises(ConfigError, match="rate: 1e-999 is too small"):
        load(Config, {}, ["rate=1e-999"])


@pytest.mark.parametrize("digits", ["0e-999", "0.0", "-0.000e-9", "5e-324"])
def test_zero_and_the_smallest_float_are_read_however_they_are_written(
    digits: str,
) -> None:
    for text, format in [
        (f'{{"rate": {digits}}}', "json"),
        (f"rate: {digits}", "yaml"),
    ]:
        assert loads(Config, text, format).rate == float(digits)  # type: ignore[arg-type]  # a format


@pytest.mark.parametrize(
    ("text", "format"),
    [('{"rate": Infinity}', "json"), ("rate: .inf", "yaml"), ("(rate: inf)", "ron")],
)
def test_infinity_is_read_by_its_word(text: str, format: Any) -> None:
    assert loads(Config, text, format).rate == math.inf


class Digits(Hparams):
    n: int = 1
    rate: float = 1.0
    price: Decimal = Decimal(1)
    either: int | float = 1
    numbers: list[int] = Hparam(default_factory=list)
    places: dict[int, str] = Hparam(default_factory=dict)
    anything: Any = None


def every_form(field: str, digits: str) -> list[Callable[[], Digits]]:
    """Return what reads ``digits`` in ``field``: three files and an override."""
    return [
        lambda: loads(Digits, f'{{"{field}": {digits}}}', "json"),
        lambda: loads(Digits, f"{field}: {digits}", "yaml"),
        lambda: loads(Digits, f"({field}: {digits})", "ron"),
        lambda: load(Digits, {}, [f"{field}={digits}"]),
    ]


@pytest.mark.parametrize(
    "digits",
    [
        "9007199254740993.0",
        "-9007199254740993.0",
        "9007199254740993e0",
        "9007199254740992.5",
        "1.0e23",
        "1.00000000000000000001",
        "1.0e-400",
    ],
)
def test_digits_that_no_float_holds_are_refused_for_an_int(digits: str) -> None:
    for read in every_form("n", digits):
        with pytest.raises(ConfigError, match=r"n: .* has no exact float"):
            read()
    for read in every_form("numbers", f"[1, {digits}]"):
        with pytest.raises(ConfigError, match=r"numbers\[1\]: .* has no exact float"):
            read()
    with pytest.raises(ConfigError, match="has no exact float"):
        loads(Digits, f"(places: {{{digits}: 'x'}})", "ron")


class OneNumber(Hparams):
    """Fields of which pydantic alone could read all that plain data says."""

    n: int = 0
    exact: Decimal = Decimal(0)
    anything: Any = None


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_digits_are_kept_where_pydantic_could_read_the_whole_file(form: str) -> None:
    with pytest.raises(ConfigError, match=r"n: .* has no exact float"):
        loads(OneNumber, '{"n": 9007199254740993.0}', form)

    read = loads(OneNumber, '{"exact": 9007199254740993.0, "anything": [1e23]}', form)

    assert read.exact == Decimal("9007199254740993.0")
    assert type(read.anything[0]) is float


@pytest.mark.parametrize("digits", ["1.0", "9007199254740992.0", "1.0e18", "-0.0"])
def test_a_whole_number_that_a_float_holds_may_have_a_point(digits: str) -> None:
    assert {read().n for read in every_form("n", digits)} == {int(float(digits))}


@pytest.mark.parametrize("digits", ["1.0e-400", "-0." + "0" * 400 + "1"])
def test_digits_below_every_float_are_kept_for_a_decimal_and_are_no_zero_for_others(
    digits: str,
) -> None:
    for read in every_form("price", digits):
        assert read().price == Decimal(digits)
    for field in ("rate", "either", "anything"):
        for read in every_form(field, digits):
            with pytest.raises(ConfigError, match=f"{field}: .* too small for a float"):
                read()
    for read in every_form("anything", f"[{{'a': {digits}}}]".replace("'", '"')):
        with pytest.raises(ConfigError, match="too small for a float"):
            read()


@given(st.decimals(allow_nan=False, allow_infinity=False))
@example(Decimal("0.10000000000000000000000000001"))
@example(Decimal("1E-400"))
def test_every_digit_is_kept_for_a_decimal_and_the_nearest_number_for_a_float(
    number: Decimal,
) -> None:
    digits = f"{number:f}" if abs(number.adjusted()) < 200 else "0.25"
    digits = digits if "." in digits else f"{digits}.0"

    for read in every_form("price", digits):
        assert read().price == Decimal(digits)
    for field in ("rate", "either", "anything"):
        for read in every_form(field, digits):
            value = getattr(read(), field)
            assert type(value) is float
            assert repr(value) == repr(float(digits))
