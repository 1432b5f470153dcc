"""IDs are the same bits in Burn's files and in ours."""

import base64

import torch

from burnish.records import (
    open_record,
)
from burnish.records.entries.entry import Entry, ParamId
from burnish.records.flat_record import FlatRecord
from burnish.records.formats.burn_ids import id_of_number, id_of_text, number_of_id

from ..burn_files import THEIR_DIGITS, bpk, id_text, tensor
from .burnpacks import BPK


def test_ids_are_the_same_bits_in_burns_digits() -> None:
    for number in (0, 1, 7, 2**64 - 1, 0x958FE051D890FBCA):
        param_id = id_of_number(number)

        assert ParamId.is_valid(param_id)
        assert number_of_id(param_id) == number
        assert id_of_text(id_text(number)) == param_id


def test_ids_of_6_bytes_get_two_zero_bytes_and_uuids_are_drawn_anew() -> None:
    six = b"\x01\x02\x03\xfd\xfe\xff"
    text = base64.b32encode(six).decode().rstrip("=").lower().translate(THEIR_DIGITS)

    assert id_of_text(text) == id_of_number(int.from_bytes(six, "little"))
    assert id_of_text("30b82c23-788d-4d63-a743-ada258d5f13c") is None
    assert id_of_text("") is id_of_text("A" * 13) is None


def test_a_second_tensor_with_the_same_id_gets_none() -> None:
    rows = {"a": tensor("U8", [1], 0, 1, 5), "b": tensor("U8", [1], 256, 257, 5)}

    record = open_record(bpk({"tensors": rows}, b"\1".ljust(257, b"\2")))

    assert [entry.id for entry in record.entries()] == [id_of_number(5), None]


def test_tied_tensors_stand_on_one_place_and_the_first_has_the_id() -> None:
    tied = Entry(
        "b.w", "parameter", torch.float32, (2,), torch.ones(2), ParamId("a" * 13)
    )
    tied.ties = ("a.w", "c.w")

    data = BPK.dumps(FlatRecord.of([tied]))

    [entry] = open_record(data).entries()
    assert (entry.path, entry.ties, entry.id) == ("b.w", ("a.w", "c.w"), tied.id)
    assert data.count(b"param_id") == 1
    assert data.endswith(torch.ones(2).numpy().tobytes())
