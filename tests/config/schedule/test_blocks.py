"""Numbers as blocks."""

from burnish.config.schedule.blocks import block_line


def test_the_least_and_the_greatest_are_the_lowest_and_the_highest_block() -> None:
    assert block_line([0.0, 10.0, 5.0]) == "▁█▅"


def test_equal_values_are_blocks_of_one_height() -> None:
    assert block_line([3.0, 3.0]) == "▄▄"
