"""The recipes of CONTRIBUTING.md name files and names that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STEPS = re.findall(r"^\d+\. (.+)$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)


def test_there_is_a_recipe_for_a_format_an_optimizer_and_a_rule() -> None:
    assert len(STEPS) >= 15


@pytest.mark.parametrize("step", STEPS)
def test_a_step_names_files_that_are_there(step: str) -> None:
    names = re.findall(r"`(?:\S*python )?([\w<>/.]+/[\w<>.]+|\w+\.md)`", step)

    assert names
    for name in names:
        assert (ROOT / name).exists() or ((ROOT / name).parent.exists() and "<" in name)


@pytest.mark.parametrize("step", STEPS)
def test_a_table_that_gets_a_row_stands_in_the_file_of_its_step(step: str) -> None:
    tables = re.findall(r"row of `(\w+)`", step)

    for table in tables:
        file = re.findall(r"`([\w/.]+)`", step)[0]
        assert re.search(rf"^{table}\b", (ROOT / file).read_text(), re.M), table
