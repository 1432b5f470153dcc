"""Names that are nearly another one."""

import pytest

from burnish.config.spelling import MAX_NAME, did_you_mean, nearest, similarity


@pytest.mark.parametrize(
    ("name", "near"), [("widht", "width"), ("width", "width"), ("zzz", None)]
)
def test_a_mistyped_name_is_known_again(name: str, near: str | None) -> None:
    assert nearest(name, ["depth", "width"]) == near


def test_a_hint_is_a_sentence_or_nothing() -> None:
    assert did_you_mean("widht", ["width"]) == " Did you mean 'width'?"
    assert did_you_mean("zzz", ["width"]) == ""


def test_a_name_that_is_too_long_is_compared_with_none() -> None:
    long = "w" * (MAX_NAME + 1)

    assert nearest(long, [long]) is None
    assert similarity(long, "w" * MAX_NAME) == 0


@pytest.mark.parametrize(
    ("a", "b", "least", "most"),
    [
        ("lr", "lr", 1.1, 1.1),
        ("lr", "learning_rate", 1.0, 1.0),
        ("batch_size", "batchsize", 1.0, 1.0),
        ("Width", "width", 0.9, 0.99),
        ("width", "depth", 0.0, 0.6),
    ],
)
def test_initials_and_underscores_are_nearer_than_other_letters(
    a: str, b: str, least: float, most: float
) -> None:
    assert least <= similarity(a, b) <= most
    assert similarity(a, b) == similarity(b, a)


def test_a_name_with_a_backslash_is_told_as_it_is_typed() -> None:
    assert did_you_mean("zero.d", ["zero\\.d"]) == " Did you mean 'zero\\.d'?"
