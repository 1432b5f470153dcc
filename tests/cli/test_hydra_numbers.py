"""Numbers are read from Hydra's files and words as from all others, or refused."""

from pathlib import Path

import pytest

from burnish.cli.hydra_numbers import check_file, check_words


@pytest.mark.parametrize(
    "word",
    [
        *("lr=1e400", "lr=-1E+4_00", "a.b=[1,1e400]", "a={b: 1e-400}", "lr=2,1e400"),
        *("lr=choice(1,1e400)", "+lr= 1e400 ", "text='a,b',1e400"),
    ],
)
def test_a_number_that_no_float_holds_is_refused_in_words(word: str) -> None:
    with pytest.raises(
        ValueError, match=r"too large for a float|too small for a float"
    ):
        check_words(["width=1", word])


@pytest.mark.parametrize(
    "word",
    [
        *("lr=1e-3", "lr=inf", "lr=0e-400", "text='1e400'", 'text="a=1e400"', "~lr"),
        *("text=1e400x", "text=x1e400", "width=012", "text='it\\'s,1e400'", "lr="),
    ],
)
def test_other_words_are_left_alone(word: str) -> None:
    check_words([word])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 012", "line 2, column 4: 012 is the octal number 10 to Hydra"),
        ("a: [-0_10]", "-0_10 is the octal number -8"),
        ("a: 1:30", "line 1, column 4: 1:30 is a base-60 number"),
        ("a: 12:00:00:00", "base-60"),
        ("a: 1:30.5", "base-60"),
        ("a: 1e400", "too large for a float"),
        ("a: .1e-400", "too small for a float"),
        ("a: {1: x, 01: y}", "key 01 is 1 written differently"),
        ("a: {true: x, yes: y}", "key yes is true written differently"),
        ("x: &x {a: 012}\nb: *x", "octal"),
        ("x: &x {a: 1}\nb: {<<: *x, c: 012}", "octal"),
    ],
)
def test_what_yaml_1_1_reads_otherwise_is_told_with_its_place(
    text: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)

    with pytest.raises(ValueError, match=message) as refused:
        check_file(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a: 07", "a: '012'", 'a: "1:30"', "a: |\n  1:30", "a: 00:12:00:00"),
        *("a: 1_000", "a: .inf", "a: 0.0", "a: 2001-01-01", "a: {2001-13-01: 1}"),
        *("a: {<<: {b: 1}, b: 2}", "a: &a [*a]", "a: 09", "a: 1e5", "a: 'no'"),
    ],
)
def test_other_files_are_left_alone(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)

    check_file(file)
