"""ARCHITECTURE.md names what is there, and its journeys are those of the code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("config", "records", "core", "optim", "train", "cli")
TEXT = (ROOT / "ARCHITECTURE.md").read_text()

JOURNEYS = dict(re.findall(r"^- \*\*(.+?)\*\* (.+)$", TEXT, re.MULTILINE))


def test_the_journeys_enter_their_stations_in_the_order_of_the_page() -> None:
    names = ["save", "load", "step", "configure and build", "restore"]

    process = subprocess.run(
        [sys.executable, ROOT / "tools/journeys.py", ROOT, *names],
        capture_output=True,
        text=True,
        check=True,
    )

    for name, line in zip(names, process.stdout.splitlines(), strict=True):
        stations = re.findall(r"`([\w/]+\.py)`", JOURNEYS[name])
        files = dict.fromkeys(file for file, _ in json.loads(line))
        assert 3 <= len(stations) <= 6, name
        assert [file for file in files if file in stations] == stations, name


def test_every_file_that_is_named_by_its_path_exists() -> None:
    for name in re.findall(r"`([\w/]+/\w+\.py)`", TEXT):
        assert (ROOT / name).exists(), name


def test_every_folder_is_named() -> None:
    for folder in FOLDERS:
        for package in (ROOT / folder).rglob("__init__.py"):
            assert f"`{package.parent.name}/`" in TEXT, package.parent


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_file_that_is_named_alone_lies_in_the_folder_of_its_section(
    folder: str,
) -> None:
    section = TEXT.partition(f"\n### `{folder}/`")[2].partition("\n##")[0]
    files = {file.name for file in (ROOT / folder).rglob("*.py")}

    assert section
    assert {*re.findall(r"`(\w+\.py)`", section)} <= files


def test_the_page_stays_short_and_its_words_few() -> None:
    words = TEXT.partition("## Words")[2].partition("\n## ")[0]
    rows = [line for line in words.splitlines() if line.startswith("| ")]

    assert len(TEXT.splitlines()) <= 150
    assert max(map(len, TEXT.splitlines())) <= 500
    assert len(rows) - 1 <= 15
