"""RON is read, or refused with line and column."""

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.config import ConfigSyntaxError
from burnish.config.ron import read, write
from burnish.config.tree import NamedStruct


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("A(x:1)", NamedStruct("A", {"x": 1})),
        ("(x:1)", NamedStruct("", {"x": 1})),
        ("A", "A"),
        ("(1,2)", (1, 2)),
        ("A(1,2)", (1, 2)),
        ("{1:2}", {1: 2}),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1", -1),
        ("1e3", 1000.0),
        ("[1,]", [1]),
        ("// c\n1 // d", 1),
        ("/* c */ 1 /* d */", 1),
    ],
)
def test_the_reader_reads_the_common_forms(text: str, tree: Any) -> None:
    found = read(text)

    assert found == tree
    assert type(found) is type(tree) or isinstance(found, str)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("Some(5)", 5),
        ("Some(Some((1, 2)))", (1, 2)),
        ("()", ()),
        ("0x1F", 31),
        ("0x1f32", 0x1F32),
        ("-0b11", -3),
        ("0o17", 15),
        ("1_000", 1000),
        ("+1", 1),
        ("1u8", 1),
        ("2f32", 2.0),
        ("'c'", "c"),
        ("'\\''", "'"),
        ('r#"raw " \\n"#', 'raw " \\n'),
        ('"\\u{1F600}\\x41\\t"', "😀A\t"),
        ("inf", math.inf),
        ("-inf", -math.inf),
        ("#![enable(implicit_some)]\n1", 1),
        ("/* a /* b */ c */ 1", 1),
        (str(2**70), 2**70),
        ("(r#true: 1)", {"true": 1}),
        ("(true: 1, None: 2)", {"true": 1, "None": 2}),
    ],
)
def test_the_reader_reads_the_rare_forms(text: str, tree: Any) -> None:
    assert read(text) == tree


def test_nan_is_a_float() -> None:
    assert math.isnan(read("NaN"))


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("A(x:", 1, 5),
        ("[1 2]", 1, 4),
        ('"abc', 1, 1),
        ("", 1, 1),
        ("[\n  1,\n  @\n]", 3, 3),
        ("1 2", 1, 3),
        ("/* x", 1, 1),
        ("(a: 1, a: 2)", 1, 8),
        ("{1: 2, 1: 3}", 1, 8),
        ("{[1]: 2}", 1, 2),
        ("(a: 1, 2)", 1, 8),
        ("(a 1)", 1, 4),
        ('"\\q"', 1, 1),
        ('"\\u{110000}"', 1, 1),
        ("1.2.3", 1, 1),
        ("9" * 5000, 1, 1),
        ("#![enable(magic)] 1", 1, 1),
    ],
)
def test_an_error_has_line_and_column(text: str, line: int, column: int) -> None:
    with pytest.raises(
        ConfigSyntaxError, match=f"line {line}, column {column}"
    ) as told:
        read(text)

    assert (told.value.line, told.value.column) == (line, column)


@pytest.mark.parametrize("start", ["[", "(", "{1:", "A(x:", "Some("])
def test_deep_nesting_is_an_error_not_a_crash(start: str) -> None:
    with pytest.raises(ConfigSyntaxError, match="128 levels"):
        read(start * 5000)


def test_a_megabyte_is_read_soon() -> None:
    item = '(lr: 0.123, name: "abc", xs: [1, 2, 3])'
    text = f"[{','.join([item] * 26_000)}]"
    start = time.process_time()

    tree = read(text)

    assert len(tree) == 26_000
    # Ten times what it takes: this is about quadratic behaviour, not about speed.
    assert time.process_time() - start < 10


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    refused: ConfigSyntaxError | None = None
    try:
        read(text)
    except ConfigSyntaxError as told:
        refused = told

    assert refused is None or refused.line is not None


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,5}", fullmatch=True)


type_names = st.from_regex(r"[A-Z][a-z0-9]{0,5}", fullmatch=True)


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters())
)


trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.builds(NamedStruct, type_names, st.dictionaries(names, inner, max_size=4))
    ),
    max_leaves=25,
)


@settings(max_examples=100, deadline=None)
@given(trees)
def test_reading_what_was_written_gives_it_back(tree: Any) -> None:
    again = read(write(tree))

    assert again == tree
    assert repr(again) == repr(tree)
