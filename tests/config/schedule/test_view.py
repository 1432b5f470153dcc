"""Schedules drawn on a line and in a figure."""

from pathlib import Path

import pytest

from burnish.config import Schedule, load
from burnish.config.schedule import plot, sparkline

from .configs import LIN, Leaf


def test_a_sparkline_shows_the_shape() -> None:
    line = sparkline(Schedule.parse("step: 0@0 1@100"), width=8)

    assert line == "▁▂▃▄▅▆▇█"
    assert Schedule.parse("step: 10@0 step 0@1").sparkline(2) == "█▁"


def test_a_constant_is_blocks_of_half_the_height() -> None:
    assert Schedule.parse("step: 1@0").sparkline(3) == "▄▄▄"


def test_plots_are_files_or_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "lr.svg"

    plot(load(Leaf, None, [f"lr={LIN}", "n=step: 1@0 step 9@5"]), file)

    assert "<svg" in file.read_text()
    with pytest.raises(ValueError, match="there is no schedule in"):
        plot(Leaf())
