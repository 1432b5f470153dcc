"""Which texts are the name of a file in a folder."""

import os

import pytest

from burnish.config.storage.file_names import is_file_name


@pytest.mark.parametrize(
    "name",
    ["a", "a.mpk", ".hidden", "...", "a b", "a\nb", "\\", "é", os.fsdecode(b"\xff")],
)
def test_what_a_folder_may_hold_is_a_name(name: str) -> None:
    assert is_file_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/a", "a/", "a/b", "../a", "a\0", "\ud800", None, 1, b"a"]
)
def test_what_leads_elsewhere_or_cannot_be_opened_is_none(name: object) -> None:
    assert not is_file_name(name)
