"""Names of repeated blocks become one line."""

import pytest

from burnish.train.inspection import folded_names as module
from burnish.train.inspection.folded_names import NamedLine, folded


def texts(*lines: NamedLine) -> list[tuple[str, int]]:
    return [(str(line), line.n) for line in folded(lines)]


def names(*paths: str) -> list[tuple[str, int]]:
    return texts(*map(NamedLine, paths))


def test_blocks_that_follow_are_one_line_in_the_order_of_the_first() -> None:
    paths = ["emb"] + [f"layers.{i}.{name}" for i in range(3) for name in "ba"]

    assert names(*paths, "head") == [
        ("emb", 1),
        ("layers.{0...2}.b", 3),
        ("layers.{0...2}.a", 3),
        ("head", 1),
    ]


def test_a_gap_begins_another_line() -> None:
    assert names("l.0.w", "l.1.w", "l.3.w", "l.4.w", "l.6.w") == [
        ("l.{0...1}.w", 2),
        ("l.{3...4}.w", 2),
        ("l.6.w", 1),
    ]


def test_numbers_within_numbers_are_folded_too() -> None:
    paths = [f"layers.{i}.experts.{j}.w" for i in range(3) for j in range(4)]

    assert names(*paths) == [("layers.{0...2}.experts.{0...3}.w", 12)]


def test_lines_with_another_text_stay_apart() -> None:
    assert texts(
        NamedLine("l.0.w", ": 1 -> 2"),
        NamedLine("l.1.w", ": 1 -> 2"),
        NamedLine("l.2.w", ": 1 -> 3"),
    ) == [("l.{0...1}.w: 1 -> 2", 2), ("l.2.w: 1 -> 3", 1)]


def test_renames_are_folded_where_both_names_have_the_number() -> None:
    assert texts(
        NamedLine("h.0.w", new_path="model.layers.0.w"),
        NamedLine("h.1.w", new_path="model.layers.1.w"),
        NamedLine("h.2.w", new_path="model.layers.7.w"),
    ) == [
        ("h.{0...1}.w -> model.layers.{0...1}.w", 2),
        ("h.2.w -> model.layers.7.w", 1),
    ]


def test_numbers_that_are_written_otherwise_and_odd_names_stay_as_they_are() -> None:
    paths = [
        "l.00.w",
        "l.01.w",
        "",
        "..",
        "\x1b[31m.0",
        "\u0661.w",
        "\u0662.w",
        "-1.w",
        "-2.w",
    ]

    assert [line.path for line in folded(map(NamedLine, paths))] == paths
    assert "\x1b" not in "".join(text for text, _ in names(*paths))


def test_of_very_many_the_first_ones_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST", 50)

    assert len(folded(NamedLine(f"l{i}") for i in range(55))) == 50
