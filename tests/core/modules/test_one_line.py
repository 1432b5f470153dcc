"""Values in messages: a line at most."""

from burnish.core.modules.one_line import one_line


def test_large_and_deep_values_are_a_line_at_most() -> None:
    deep: list[object] = []
    for _ in range(50):
        deep = [deep]

    assert len(one_line(deep)) <= 100
    assert len(one_line(dict.fromkeys(range(999), "x" * 999))) <= 100


def test_a_number_of_too_many_digits_is_told_to_be_one() -> None:
    assert one_line(10**5000) == "a int of very many digits"
