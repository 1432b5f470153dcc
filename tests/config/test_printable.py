import pytest

from burnish.config.printable import printable, printable_name


@pytest.mark.parametrize("text", ["layers.0.weight", "größe", "層", "a b", ""])
def test_text_of_any_alphabet_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202eevil", r"\u202eevil"),
        ("\x9b2J", r"\x9b2J"),
        ("half \udc80", r"half \udc80"),
    ],
)
def test_what_would_steer_a_terminal_is_spelled_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", "''"), (" w", "' w'"), ("w\n", r"w\n"), ("a.b", "a.b"), (".", ".")],
)
def test_a_name_shows_where_it_begins_and_ends(name: str, shown: str) -> None:
    assert printable_name(name) == shown
