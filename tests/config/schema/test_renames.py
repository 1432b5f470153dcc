"""Renames are recognized."""

from .versions import Old, Renamed, check, struct


def test_a_renamed_field_needs_the_same_default() -> None:
    same = check(struct(("lr", float, 0.1)), struct(("learning_rate", float, 0.1)))
    other = check(struct(("lr", float, 0.1)), struct(("learning_rate", float, 0.2)))

    assert [type(c).__name__ for c in same.changes] == ["FieldRenamed"]
    assert [type(c).__name__ for c in other.changes] == ["FieldAdded", "FieldRemoved"]


def test_a_renamed_variant_shows_both_names() -> None:
    report = check(struct(("x", Old)), struct(("x", Renamed))).report()

    assert "variant COINRUN of Renamed renamed to CR" in report
    assert "variant MINER of Renamed added" in report
