"""Many paths as few."""

from burnish.core.state.grouping import group_paths


def test_paths_of_a_range_of_numbers_are_one() -> None:
    paths = [f"layers.{i}.weight" for i in (0, 2, 1)]

    assert group_paths(paths) == {"layers.{0...2}.weight": paths}


def test_numbers_with_a_gap_stay_apart() -> None:
    assert group_paths(["a.0", "a.2"]) == {"a.0": ["a.0"], "a.2": ["a.2"]}


def test_a_path_without_a_number_and_one_alone_stand_for_themselves() -> None:
    assert group_paths(["w", "0.b"]) == {"w": ["w"], "0.b": ["0.b"]}
