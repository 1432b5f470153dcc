"""Values in messages: a line at most."""

from burnish.core.modules.shown import shown


def test_large_and_deep_values_are_a_line_at_most() -> None:
    deep: list[object] = []
    for _ in range(50):
        deep = [deep]

    assert len(shown(deep)) <= 100
    assert len(shown(dict.fromkeys(range(999), "x" * 999))) <= 100


def test_a_number_of_too_many_digits_is_told_to_be_one() -> None:
    assert shown(10**5000) == "a int of very many digits"
