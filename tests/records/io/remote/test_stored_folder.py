"""Objects of one folder of a storage: read, written, listed and removed."""

from pathlib import Path
from typing import Any

import pytest

from burnish.records import Url
from burnish.records.io.remote.stored_folder import (
    StoredFolder,
    read_place,
    write_place,
)

fsspec: Any = pytest.importorskip("fsspec")
pytestmark = pytest.mark.usefixtures("empty_storage")


@pytest.mark.parametrize("url", ["memory://stored folder/*", "counting://a/[b]"])
def test_objects_are_written_listed_read_and_removed(url: str) -> None:
    folder = StoredFolder(Url(url))
    folder.write("one/a", b"1")
    folder.write("one/b/c", b"2")
    folder.write("d", b"3")

    ages = folder.files("one")

    assert (folder.folders(), sorted(ages)) == (["one"], ["one/a", "one/b/c"])
    assert folder.read("one/b/c") == b"2"
    folder.remove(["one/a", "none", "one/b/c"])
    assert (folder.files("one"), folder.folders()) == ({}, [])
    assert folder.read("d") == b"3"
    folder.remove(["d"])


def test_the_age_of_an_object_is_known_where_the_storage_says_it() -> None:
    for url in ("memory://ages", "counting://ages"):
        StoredFolder(Url(url)).write("x/a", b"1")

    (age,) = StoredFolder(Url("memory://ages")).files("x").values()

    assert age is not None
    assert 0 <= age < 3600
    assert StoredFolder(Url("counting://ages")).files("x") == {"x/a": None}


def test_what_a_storage_raises_is_an_error_of_the_system_with_the_url() -> None:
    folder = StoredFolder(Url("counting://errors"))
    with pytest.raises(FileNotFoundError, match="counting://errors/a"):
        folder.read("a")
    assert (folder.folders(), folder.files("a")) == ([], {})


def test_a_text_goes_to_a_path_as_to_a_url(tmp_path: Path) -> None:
    for place in (tmp_path / "a.txt", Url("memory://texts/a.txt")):
        write_place(place, "täxt")

        assert read_place(place, 100) == "täxt".encode()
