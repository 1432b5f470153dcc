"""An object in a storage: fetched by ranges, and known again."""

from typing import Any

import pytest

from burnish.records import RecordFormatError
from burnish.records.io.remote.address import Address, address_of
from burnish.records.io.remote.stored_object import REQUEST, StoredObject

fsspec: Any = pytest.importorskip("fsspec")
from ...object_storage import CountingStorage  # noqa: E402


def memory_object(data: bytes) -> StoredObject:
    fsspec.filesystem("memory").pipe_file("/stored/object", data)
    return StoredObject(address_of("memory://stored/object"))


def test_ranges_come_in_memory_of_their_own_as_they_are_aligned() -> None:
    data = bytes(range(256)) * 4
    stored = memory_object(data)

    first, second, none = stored.fetch([(3, 100), (64, 200), (5, 5)])

    assert (bytes(first), bytes(second), bytes(none)) == (
        data[3:100],
        data[64:200],
        b"",
    )
    first[:] = bytes(97)
    assert bytes(stored.fetch([(3, 100)])[0]) == data[3:100]


def test_a_long_range_is_several_requests() -> None:
    url = CountingStorage.put("long", bytes(REQUEST + 5))

    (content,) = StoredObject(address_of(url)).fetch([(0, REQUEST + 5)])

    assert bytes(content) == bytes(REQUEST + 5)
    assert CountingStorage.fetched == [(0, REQUEST), (REQUEST, REQUEST + 5)]


@pytest.mark.parametrize("data", [b"another", b"same size!!"])
def test_another_object_in_its_place_is_noticed(data: bytes) -> None:
    url = CountingStorage.put("one", b"first bytes")
    stored = StoredObject(address_of(url))
    stored.confirm()
    CountingStorage.put("one", data)

    with pytest.raises(RecordFormatError, match="it was replaced"):
        stored.confirm()


def test_an_object_of_a_storage_that_says_only_times_is_noticed_too() -> None:
    stored = memory_object(b"first")
    memory_object(b"other")

    with pytest.raises(RecordFormatError, match="it was replaced"):
        stored.confirm()


@pytest.mark.parametrize(
    "key", ["ETag", "Last-Modified", "last_modified", "modificationTime", "blob_id"]
)
def test_an_object_is_told_by_what_a_storage_says_however_it_spells_that(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    info: dict[str, object] = {"size": 5, "type": "file", key: "one", "name": "a"}
    stored = memory_object(b"first")
    monkeypatch.setattr(type(stored.address.storage), "info", lambda *_: {**info})
    stored = StoredObject(stored.address)
    stored.confirm()
    info[key] = "another"

    with pytest.raises(RecordFormatError, match="it was replaced"):
        stored.confirm()


def test_fewer_bytes_than_there_are_blame_the_answer_and_not_the_object() -> None:
    url = CountingStorage.put("short", bytes(100))
    stored = StoredObject(address_of(url))
    stored.size = 200

    with pytest.raises(
        RecordFormatError, match=r"50 bytes.*the response was cut short"
    ):
        stored.fetch([(50, 150)])


def test_a_storage_that_answers_with_the_whole_object_is_said_to_know_no_ranges() -> (
    None
):
    class Rangeless(CountingStorage):
        def cat_file(
            self, path: str, start: Any = None, end: Any = None, **options: Any
        ) -> bytes:
            return super().cat_file(path)

    url = CountingStorage.put("whole", bytes(100))
    stored = StoredObject(Address(url, Rangeless(), address_of(url).path))

    with pytest.raises(RecordFormatError, match=r"100 bytes.*ignores byte ranges"):
        stored.fetch([(50, 80)])
    assert bytes(stored.fetch([(0, 100)])[0]) == bytes(100)


def test_a_storage_that_knows_no_size_and_a_folder_are_refused() -> None:
    class Sizeless(CountingStorage):
        def info(self, path: str, **options: Any) -> dict[str, Any]:
            return {"name": path, "size": None, "type": "file"}

    with pytest.raises(RecordFormatError, match="size the storage does not report"):
        StoredObject(Address("odd://a", Sizeless(), "a"))
    memory_object(b"x")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        StoredObject(address_of("memory://stored"))
