"""A folder of a storage counts by its marker, and a save that fails changes nothing."""

from collections.abc import Iterable
from typing import Any

import pytest

from burnish.records import Url
from burnish.records.io.remote.stored_folder import StoredFolder
from burnish.train.checkpoints.marked_folder import MarkedFolder, new_mark

pytest.importorskip("fsspec")
from ...records.object_storage import CountingStorage

URL = Url("counting://marked/one")


pytestmark = pytest.mark.usefixtures("empty_storage")


def lines(content: bytes) -> Iterable[str]:
    return content.decode().split()


def write(*names: str, error: BaseException | None = None) -> None:
    """Write objects, the last of which is the marker, which names all others."""
    folder, objects = MarkedFolder(URL, "marker", lines), StoredFolder(URL)
    with folder.replacement(names[0].partition(".")[2]):
        for name in names:
            objects.write(name, b"1")
        if error is not None:
            raise error
        objects.write("marker", " ".join(n.split("/")[0] for n in names).encode())


def names() -> list[str]:
    return sorted(name.removeprefix("marked/one/") for name in CountingStorage.objects)


def test_what_is_replaced_goes_and_what_others_put_there_stays() -> None:
    write("a.1", "folder.1/b")
    CountingStorage.put("marked/one/notes", b"mine")

    write("a.2", "c.2")

    assert names() == ["a.2", "c.2", "marker", "notes"]


def test_a_save_that_fails_leaves_the_older_one() -> None:
    write("a.1")

    with pytest.raises(KeyboardInterrupt):
        write("a.2", error=KeyboardInterrupt())

    assert names() == ["a.1", "marker"]


def test_after_the_marker_nothing_is_discarded() -> None:
    def fail_late() -> None:
        with MarkedFolder(URL, "marker", lines).replacement("2"):
            StoredFolder(URL).write("a.2", b"1")
            StoredFolder(URL).write("marker", b"a.2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_late()

    assert names() == ["a.2", "marker"]


def test_where_the_marker_cannot_be_read_nothing_is_discarded() -> None:
    CountingStorage.refused.add("get")

    with pytest.raises(RuntimeError):
        write("a.2", error=RuntimeError())

    assert names() == ["a.2"]


@pytest.mark.parametrize("refused", [set[str](), {"ls"}])
def test_a_folder_is_removed_its_marker_first(refused: set[str]) -> None:
    write("a.1", "c.1")
    CountingStorage.forget()
    CountingStorage.refused |= refused

    MarkedFolder(URL, "marker", lines).remove()

    deletes = [c for c in CountingStorage.calls if c.startswith("delete")]
    assert deletes[0] == "delete marked/one/marker"
    assert names() == []


def test_marks_differ() -> None:
    marks: set[Any] = {new_mark() for _ in range(100)}

    assert len(marks) == 100
