"""Entries that are read one after the other come from a storage in few requests."""

from typing import Any

import pytest
import torch

import burnish
from burnish.cli.main import main
from burnish.records import Record
from burnish.records.inspection import read_ahead as module
from burnish.records.inspection.read_ahead import read_ahead
from burnish.records.io.remote.stored_object import StoredObject

fsspec: Any = pytest.importorskip("fsspec")
from ..object_storage import CountingStorage  # noqa: E402

A, B = "counting://ahead/a.mpk", "counting://ahead/b.mpk"
MIB = 1 << 20


def save(url: str, n: int, size: int, value: float = 1.0, name: str = "t") -> None:
    tensors = {f"{name}{i:03}": torch.full((size,), value + i) for i in range(n)}
    Record.from_state_dict(tensors).save(url)


def requests() -> list[int]:
    return [end - start for start, end in CountingStorage.fetched]


def test_rows_come_as_they_are_a_window_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save(A, 10, 1000)
    announcements: list[int] = []
    monkeypatch.setattr(module, "WINDOW", 12_000)
    monkeypatch.setattr(
        module,
        "announce",
        lambda sources, *, in_blocks: announcements.append(len([*sources])),
    )
    with burnish.open_record(A) as record:
        entries = record.entries()

        assert [e for (e,) in read_ahead((e,) for e in entries)] == entries

    assert announcements == [3, 3, 3, 1]
    assert [*read_ahead([])] == []


@pytest.mark.parametrize("names", [("t", "t"), ("t", "u")])
def test_a_diff_of_many_tensors_is_a_handful_of_requests(
    names: tuple[str, str],
) -> None:
    for url, name in zip((A, B), names, strict=True):
        save(url, 200, 2000, name=name)
    CountingStorage.forget()

    assert not burnish.diff(A, B).changed

    assert len(requests()) <= 8
    assert max(requests()) <= 16 * MIB


def test_a_diff_has_no_more_than_a_window_of_each_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for url in (A, B):
        save(url, 6, 2 * MIB)
    CountingStorage.forget()
    together: list[int] = []
    fetch = StoredObject.fetch

    def counted(self: Any, ranges: Any) -> Any:
        together.append(sum(end - start for start, end in ranges))
        return fetch(self, ranges)

    monkeypatch.setattr(StoredObject, "fetch", counted)

    assert burnish.diff(A, B).same

    assert max(together) <= module.WINDOW + MIB

    assert sum(requests()) <= 2 * 49 * MIB
    assert len(requests()) <= 16


def test_show_with_statistics_is_a_handful_of_requests(
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(A, 200, 2000)
    CountingStorage.forget()

    assert main(["show", A, "--stats"]) == 0

    assert "t199" in capsys.readouterr().out
    assert len(requests()) <= 4
