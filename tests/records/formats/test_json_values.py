"""Values read in pieces; damaged ones are refused."""

import pytest
import torch

from burnish.records import (
    Record,
    RecordChecksumError,
    RecordFormatError,
    open_record,
)
from burnish.records.recorder import Recorder

from .json_files import Same, saved


@pytest.mark.parametrize("payload", ["numbers", "base64"])
@pytest.mark.parametrize("piece", [64, 67, 71, 79, 92, 96])
def test_values_are_read_whatever_pieces_their_text_comes_in(
    piece: int, payload: str, same: Same, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {
        "f": torch.randn(500, dtype=torch.float64),
        "i": torch.arange(70),
        "c": torch.randn(50, dtype=torch.complex64),
        "b": torch.arange(99) % 2 == 0,
        "e": torch.zeros(0, 3),
        "s": torch.tensor(2.5),
    }
    # Whole groups of four characters of base64, of numbers any.
    size = piece - piece % 4 if payload == "base64" else piece
    data = Recorder("json", payload=payload).dumps(Record.from_state_dict(tensors))
    monkeypatch.setattr("burnish.records.formats.json_values._PIECE", size)

    record = open_record(data)

    assert [p for p, t in tensors.items() if not same(record[p], t)] == []


def test_a_number_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.records.formats.json_values._PIECE", 64)
    data = saved({"w": torch.ones(2)})

    for digits, problem in ((500, "over a million characters"), (60, "checksum|sum")):
        text = data.replace(b"1.0,1.0", b"1." + b"1" * digits + b",1.0")
        with pytest.raises((RecordFormatError, RecordChecksumError), match=problem):
            _ = open_record(text)["w"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"AACAPwAAgD8="', b'"AACAPwAAgD8"', "not that of 8 bytes"),
        (b'"AACAPwAAgD8="', b'"AACAPwAAgD8=="', "base64 whose length"),
        (b'"AACAPwAAgD8="', b'"AACAPwAAgD8AAAA="', "base64 whose length"),
        (b'"AACAPwAAgD8="', b'"AACAPw=AgD8="', "damaged values of 'w'"),
        (b'"AACAPwAAgD8="', b'"AACAPw!AgD8="', "damaged values of 'w'"),
        (b'"AACAPwAAgD8="', b"[]", 'expected "'),
    ],
)
def test_damaged_base64_is_refused(old: bytes, new: bytes, problem: str) -> None:
    data = Recorder("json", payload="base64").dumps(
        Record.from_state_dict({"w": torch.ones(2)})
    )
    assert data.count(old) == 1

    with pytest.raises(RecordFormatError, match=problem):
        open_record(data.replace(old, new)).load_all()


def test_booleans_in_base64_are_0_or_1() -> None:
    data = Recorder("json", payload="base64").dumps(
        Record.from_state_dict({"w": torch.tensor([True, False])})
    )

    with pytest.raises(RecordFormatError, match="not a boolean"):
        open_record(data.replace(b'"AQA="', b'"AgA="')).load_all()
