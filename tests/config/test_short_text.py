"""Values in errors: short, whatever they are."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from burnish.config.short_text import quantity, short_repr, with_article


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("value", ["x" * 10**6, list(range(10**5)), {"k": "v" * 999}])
def test_a_value_of_any_size_is_cut_off(value: object) -> None:
    assert len(short_repr(value)) < 70


def test_a_value_of_any_depth_is_cut_off() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    assert short_repr(deep) == "[[[[...]]]]"
    assert len(short_repr([["x" * 10**6] * 9] * 9)) < 70


def test_a_short_value_is_its_repr() -> None:
    assert short_repr({"lr": 0.1}) == "{'lr': 0.1}"
    assert short_repr({"b": [[1, 2], {"y": 3, "x": ()}]}) == (
        "{'b': [[1, 2], {'y': 3, 'x': ()}]}"
    )


def test_what_has_no_repr_is_called_by_its_type() -> None:
    assert short_repr(Unprintable()) == "<Unprintable>"
    assert short_repr(10**5000) == "<int>"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("int", "an int"),
        ("dict", "a dict"),
        ("Adam", "an Adam"),
        ("SGD", "an SGD"),
        ("MLP", "an MLP"),
        ("NAdam", "an NAdam"),
        ("LAMB", "a LAMB"),
        ("GRU", "a GRU"),
        ("UNet", "a UNet"),
        ("uint8", "a uint8"),
        ("UpBlock", "an UpBlock"),
        ("_Inner", "an _Inner"),
        ("'embed'", "an 'embed'"),
        ("", "a "),
    ],
)
def test_an_article_follows_the_sound_of_the_name(name: str, text: str) -> None:
    assert with_article(name) == text


BY_HAND = re.compile(r'\bf"[^"\n]*(?<![\w-])an? \{|(?<![\w-])an? "\s*f"\{')


def test_no_text_has_an_article_before_a_name_but_by_this_function() -> None:
    by_hand = {
        name: match[0] for name, text in _sources() if (match := BY_HAND.search(text))
    }

    assert by_hand.keys() == {"config/short_text.py"}


@pytest.mark.parametrize(
    ("n", "noun", "text"),
    [
        (1, "tensor", "1 tensor"),
        (0, "tensor", "0 tensors"),
        (2000, "entry", "2,000 entries"),
        (1, "more line", "1 more line"),
    ],
)
def test_a_noun_has_the_form_of_its_number(n: int, noun: str, text: str) -> None:
    assert quantity(n, noun) == text
    assert quantity(2, "process", "processes") == "2 processes"


SEVERAL = {
    "cli/show.py": {"parts", "values"},
    "records/formats/bounded_msgpack.py": {"bytes"},
    "records/formats/json_reader.py": {"bytes"},
    "records/formats/json_values.py": {"bytes", "numbers"},
    "records/formats/messagepack.py": {"bytes", "entries"},
    "records/formats/named_mpk.py": {"bytes"},
    "records/formats/safetensors.py": {"bytes"},
    "records/inspection/oddities.py": {"values"},
    "records/io/compression.py": {"bytes"},
}
"""By file, nouns that are never counted as one: they tell of limits, or of some."""


def test_no_text_counts_a_noun_but_by_this_function() -> None:
    counted = {name: nouns for name, text in _sources() if (nouns := {*_nouns(text)})}

    assert counted == SEVERAL


def _sources() -> Iterator[tuple[str, str]]:
    root = Path(__file__).parent.parent.parent
    for folder in ("config", "records", "core", "optim", "train", "cli"):
        for file in (root / folder).rglob("*.py"):
            yield str(file.relative_to(root)), file.read_text()


def _nouns(source: str) -> Iterator[str]:
    """Yield the plurals that stand behind a count in a formatted text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for value, text in pairwise(node.values):
                match = isinstance(text, ast.Constant) and _PLURAL.match(
                    str(text.value)
                )
                if match and isinstance(value, ast.FormattedValue) and _is_count(value):
                    yield match[1]


_PLURAL = re.compile(
    r" (?:of its |more |stored )?(bytes|characters|checkpoints|devices|elements|entries"
    r"|files|items|layers|lines|numbers|paths|parameters|parts|payloads|processes|runs"
    r"|samples|tensors|values)\b"
)


def _is_count(value: ast.FormattedValue) -> bool:
    """Return whether a count is written, and no constant, which is known to be many."""
    text = ast.unparse(value.value)
    has_commas = value.format_spec is not None and "," in ast.unparse(value.format_spec)
    is_constant = text.rpartition(".")[2].strip("_").isupper()
    return not is_constant and (has_commas or "len(" in text or text[:2] == "n_")


def test_no_error_is_printed_but_by_the_function_that_spells_escapes_out() -> None:
    by_hand = {name for name, text in _sources() if 'print(f"error: ' in text}

    # The one of streams tells of them, in words of the system.
    assert by_hand == {"config/process/user_traceback.py", "config/process/streams.py"}
