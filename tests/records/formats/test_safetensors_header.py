"""Headers of `.safetensors`: their length, their place, and malformed ones."""

import struct

import pytest
import torch

from burnish.records import (
    RecordError,
    RecordFormatError,
    open_record,
)

from .safetensors_files import F32, file_of, row, saved


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            file_of(
                b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}',
                b"1234",
            ),
            "'a' twice",
        ),
        (file_of({"a": F32}, b"12345"), "appended to it"),
        (file_of({"a": F32}, b"123"), "cut short"),
        (file_of({"a": F32, "b": row("F32", [1], 5, 9)}, b"123456789"), "hole"),
        (file_of({"a": row("F32", [1], 4, 8)}, b"12345678"), "hole"),
        (file_of({"a": F32, "b": row("F32", [1], 2, 6)}, b"123456"), "overlaps"),
        (file_of({"a": F32, "b": F32}, b"1234"), "overlaps"),
        (file_of({"a": row("F32", [2], 0, 4)}, b"1234"), "8, by its shape"),
        (file_of({"a": row("F32", [1], 4, 0)}, b"1234"), "offsets"),
        (file_of({"a": row("F32", [1], -4, 0)}, b"1234"), "offsets"),
        (file_of({"a": row("F32", [1], 0.0, 4)}, b"1234"), "offsets"),
        (file_of({"a": row("F32", [1], 0, True)}, b"1234"), "offsets"),
        (file_of({"a": {**F32, "data_offsets": [0]}}, b"1234"), "offsets"),
        (file_of({"a": row("F32", [-1], 0, 4)}, b"1234"), "shape"),
        (file_of({"a": row("F32", [1.0], 0, 4)}, b"1234"), "shape"),
        (file_of({"a": row("F32", "1", 0, 4)}, b"1234"), "shape"),
        (file_of({"a": row("F32", [2**62], 0, 4)}, b"1234"), "shape"),
        (file_of({"a": row("F32", [2**40, 2**40], 0, 4)}, b"1234"), "by its shape"),
        (file_of({"a": row("F32", [1] * 65, 0, 4)}, b"1234"), "shape"),
        (file_of({"a": row("F4", [8], 0, 4)}, b"1234"), "dtype 'F4'"),
        (file_of({"a": row("float32", [1], 0, 4)}, b"1234"), "dtype 'float32'"),
        (file_of({"a": {**F32, "dtype": ["F32"]}}, b"1234"), "dtype"),
        (file_of({"a": {**F32, "more": 1}}, b"1234"), "wrong keys"),
        (file_of({"a": {"dtype": "F32", "shape": [1]}}, b"1234"), "wrong keys"),
        (file_of({"a": [0, 4]}, b"1234"), "wrong keys"),
        (file_of({"x" * 5000: F32}, b"1234"), "4096 bytes"),
        (file_of({"a": row("BOOL", [4], 0, 4)}, b"\0\1\2\0"), "not a boolean"),
        (file_of({"__metadata__": {"a": 1}}), "map of strings"),
        (file_of({"__metadata__": "a"}), "map of strings"),
        (file_of({"__metadata__": {"burnish": "[]"}}), "under the key 'burnish'"),
        (file_of({"__metadata__": {"burnish": "{"}}), "damaged"),
        (
            file_of(
                {"__metadata__": {"burnish": '{"burnish":1,"tensors":{}}'}, "a": F32},
                b"1234",
            ),
            "wrong keys",
        ),
        (file_of(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'), "damaged"),
        (file_of(b"{}x"), "after the end"),
        (file_of(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"), "64 levels"),
        (file_of(b'{"\xff":1}'), "damaged"),
        (file_of(b'{"a":NaN}'), "expected a value"),
        (struct.pack("<Q", 99) + b'{"a":1}', "cut short"),
        (struct.pack("<Q", 8) + b'{"a":1}', "cut short"),
        (file_of({"a": {**F32, "data_offsets": [0, 2, 4]}}, b"1234"), "offsets"),
        (file_of({"a": {**F32, "data_offsets": "04"}}, b"1234"), "offsets"),
        (file_of({"a": row("F32", [0], 1, 1)}, b""), "hole"),
        (file_of(b"[]"), "first bytes"),
        (file_of({"a": 3}), "wrong keys"),
        (struct.pack("<Q", 1 << 60) + b'{"a":1}', "first bytes"),
    ],
)
def test_a_malformed_file_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(RecordFormatError, match=problem):
        open_record(data).load_all()


def test_the_data_of_every_file_that_we_write_is_aligned() -> None:
    for n in range(1, 12):
        data = saved({"w" * n: torch.ones(2)}, x="y" * n)

        (length,) = struct.unpack("<Q", data[:8])
        assert (8 + length) % 8 == 0
        assert len(data) == 8 + length + 8


def test_a_header_of_the_longest_length_is_written_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = saved({"w": torch.ones(2)})
    (length,) = struct.unpack("<Q", data[:8])

    monkeypatch.setattr("burnish.records.formats.safetensors.MAX_HEADER", length)
    assert saved({"w": torch.ones(2)}) == data
    monkeypatch.setattr("burnish.records.formats.safetensors.MAX_HEADER", length - 1)
    with pytest.raises(RecordError, match=f"take {length} bytes, .* {length - 1}; "):
        saved({"w": torch.ones(2)})


@pytest.mark.parametrize("space", ["", " ", "\n  ", "\t", "\r\n"])
@pytest.mark.parametrize(
    "row", ["", '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}']
)
def test_a_file_is_recognized_by_its_length_and_the_first_bytes(
    row: str, space: str
) -> None:
    text = f"{{{space}{row}}}".encode()

    assert open_record(struct.pack("<Q", len(text)) + text).verified == "none"
