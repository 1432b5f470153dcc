"""`.safetensors`: written for the library and read from it."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch as peer
import torch
from torch import nn

from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordMismatchError,
    RecordVersionError,
    open_record,
)
from burnish.records.recorder import Recorder

Same = Callable[[torch.Tensor, torch.Tensor], bool]
Tensors = dict[str, torch.Tensor]

SAFE = Recorder("safetensors")
NONE_THERE = ("complex128",)


def supported(tensors: Tensors) -> Tensors:
    return {p: t for p, t in tensors.items() if not p.startswith(NONE_THERE)}


def saved(tensors: Tensors, **metadata: Any) -> bytes:
    return SAFE.dumps(Record.from_state_dict(tensors), metadata=metadata)


def header_of(data: bytes) -> Any:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length])


def file_of(header: Any, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def row(dtype: str, shape: Any, start: Any, end: Any) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.z = nn.Linear(3, 4, bias=False)
        self.a = nn.Linear(3, 4, bias=False)
        self.a.weight = self.z.weight
        self.n = nn.Linear(2, 2)


def test_every_dtype_comes_back_bit_for_bit(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file, tensors = tmp_path / "m.safetensors", supported(awkward)

    Record.from_state_dict(tensors).save(file)

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in tensors.items() if not same(record[p], t)] == []
        assert record.verified == "all"


def test_the_library_reads_what_we_write(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "m.safetensors"
    tensors = {p: t for p, t in supported(awkward).items() if "e8m0" not in p}

    Record.from_state_dict(tensors).save(file)

    found = peer.load_file(file)
    assert found.keys() == tensors.keys()
    assert [p for p, t in tensors.items() if not same(found[p], t)] == []


def test_we_read_what_the_library_writes(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "m.safetensors"
    tensors = {
        p: t.clone(memory_format=torch.contiguous_format)
        for p, t in supported(awkward).items()
    }
    peer.save_file(tensors, file, metadata={"note": "theirs"})

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in tensors.items() if not same(record[p], t)] == []
        assert record.metadata["note"] == "theirs"
        assert record.verified == "none"


def test_tensors_lie_in_the_order_and_at_the_places_of_the_library() -> None:
    tensors = {
        "b": torch.ones(2, dtype=torch.float16),
        "a": torch.ones(3),
        "z": torch.zeros(3, dtype=torch.bool),
        "c": torch.ones((), dtype=torch.int64),
        "e": torch.zeros(0),
    }

    ours, theirs = header_of(saved(tensors)), header_of(peer.save(tensors))

    del ours["__metadata__"]
    assert list(ours.items()) == list(theirs.items())
    assert saved(tensors)[-27:] == peer.save(tensors)[-27:]


def test_ties_are_written_as_save_model_does_and_read_back(tmp_path: Path) -> None:
    net, ours, theirs = Tied(), tmp_path / "o.safetensors", tmp_path / "t.safetensors"
    peer.save_model(net, str(theirs))
    Record.from_state_dict(net.state_dict()).save(ours)

    for file in (ours, theirs):
        record = open_record(file)
        assert record["a.weight"] is record["z.weight"]
        fresh = Tied()
        assert not any(peer.load_model(fresh, str(file)))
        assert torch.equal(fresh.z.weight, net.z.weight)
    assert header_of(ours.read_bytes())["__metadata__"]["z.weight"] == "a.weight"
    assert header_of(theirs.read_bytes())["__metadata__"]["z.weight"] == "a.weight"


def test_equal_records_give_equal_bytes() -> None:
    tensors = {"b": torch.arange(5.0), "a": torch.ones(3)}

    assert saved(tensors) == saved({k: v.clone() for k, v in tensors.items()})


def test_texts_of_metadata_are_there_for_everyone_and_the_rest_for_us() -> None:
    data = saved({"a": torch.ones(1)}, note="hello", nested={"deep": [1, None]})

    assert header_of(data)["__metadata__"]["note"] == "hello"
    assert header_of(data)["__metadata__"]["format"] == "pt"
    metadata = open_record(data).metadata
    assert metadata["note"] == "hello"
    assert metadata["nested"] == {"deep": [1, None]}


def test_data_at_odd_addresses_is_copied(same: Same) -> None:
    values = torch.arange(3, dtype=torch.float32)
    header = {"a": row("U8", [1], 0, 1), "b": row("F32", [3], 1, 13)}

    record = open_record(file_of(header, b"\0" + values.numpy().tobytes()))

    assert same(record["b"], values)
    assert record["b"].data_ptr() % 4 == 0


def test_damage_to_our_file_names_the_tensor() -> None:
    data = bytearray(saved({"w": torch.ones(9)}))
    data[-1] ^= 1

    with pytest.raises(RecordChecksumError, match="w"):
        open_record(bytes(data))["w"]


def test_another_dtype_than_was_written_is_noticed() -> None:
    data = saved({"w": torch.ones(9, dtype=torch.float16)})

    with pytest.raises(RecordFormatError, match="another dtype or shape of 'w'"):
        open_record(data.replace(b'"dtype":"F16"', b'"dtype":"U16"'))


def test_a_newer_version_of_our_part_is_refused() -> None:
    data = saved({"w": torch.ones(9)})

    with pytest.raises(RecordVersionError, match="version 2"):
        open_record(data.replace(b'"{\\"burnish\\":1', b'"{\\"burnish\\":2'))


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex32])
def test_a_dtype_that_the_format_has_not_is_refused_by_name(dtype: torch.dtype) -> None:
    values = torch.view_as_complex(torch.ones(1, 2, dtype=dtype.to_real()))

    with pytest.raises(RecordError, match=r"w: .safetensors cannot hold torch.complex"):
        saved({"w": values})


def test_records_with_fields_are_refused_with_the_format_that_takes_them(
    tmp_path: Path,
) -> None:
    class Step(Record):
        t: int
        m: torch.Tensor

    with pytest.raises((ValueError, RecordMismatchError), match=r"\.mpk"):
        Step(t=1, m=torch.ones(2)).save(tmp_path / "s.safetensors")


F32 = row("F32", [1], 0, 4)


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
        (file_of({"a": F32}, b"12345"), "added to it"),
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
        (file_of({"a": {**F32, "more": 1}}, b"1234"), "other keys"),
        (file_of({"a": {"dtype": "F32", "shape": [1]}}, b"1234"), "other keys"),
        (file_of({"a": [0, 4]}, b"1234"), "other keys"),
        (file_of({"": F32}, b"1234"), "called ''"),
        (file_of({"a\0b": F32}, b"1234"), "called"),
        (file_of({"x" * 5000: F32}, b"1234"), "4096 bytes"),
        (file_of({"a": row("BOOL", [4], 0, 4)}, b"\0\1\2\0"), "no boolean"),
        (file_of({"__metadata__": {"a": 1}}), "map of texts"),
        (file_of({"__metadata__": "a"}), "map of texts"),
        (file_of({"__metadata__": {"burnish": "[]"}}), "under the key 'burnish'"),
        (file_of({"__metadata__": {"burnish": "{"}}), "damaged"),
        (
            file_of(
                {"__metadata__": {"burnish": '{"burnish":1,"tensors":{}}'}, "a": F32},
                b"1234",
            ),
            "other keys",
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
        (file_of({"a": 3}), "other keys"),
        (struct.pack("<Q", 1 << 60) + b'{"a":1}', "first bytes"),
    ],
)
def test_a_malformed_file_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(RecordFormatError, match=problem):
        open_record(data).load_all()


def test_a_file_without_tensors_is_an_empty_record() -> None:
    assert len(open_record(peer.save({}))) == 0
    assert len(open_record(saved({}))) == 0


def ours_with(change: Callable[[Any], object]) -> bytes:
    """Return our file of two tensors, what it says under our key changed."""
    data = saved({"a": torch.ones(2), "b": torch.zeros(3)}, note="hello")
    header = header_of(data)
    ours = json.loads(header["__metadata__"]["burnish"])
    change(ours)
    header["__metadata__"]["burnish"] = json.dumps(ours)
    (length,) = struct.unpack("<Q", data[:8])
    return file_of(header, data[8 + length :])


def setting(*keys: str, to: Any) -> Callable[[Any], None]:
    def change(ours: Any) -> None:
        for key in keys[:-1]:
            ours = ours[key]
        ours[keys[-1]] = to

    return change


SUM = "0" * 16


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (setting("burnish", to=0), "damaged metadata under the key 'burnish'"),
        (setting("burnish", to=True), "damaged metadata under the key 'burnish'"),
        (setting("burnish", to="1"), "damaged metadata under the key 'burnish'"),
        (setting("burnish", to=None), "damaged metadata under the key 'burnish'"),
        (setting("tensors", "path", to=["a", "c"]), "other tensors than its key"),
        (setting("tensors", "ties", to=[[1, ["aa"]]]), "other tensors than its key"),
        (setting("tensors", "shape", to=[[2], [2]]), "dtype or shape of 'b'"),
        (
            setting("tensors", "dtype", to=["float32", "int32"]),
            "dtype or shape of 'b'",
        ),
        (setting("tensors", "xxh3", to=[SUM]), "damaged checksums"),
        (setting("tensors", "xxh3", to=[SUM, SUM, SUM]), "damaged checksums"),
        (setting("tensors", "xxh3", to=[SUM, 3]), "'b' has the checksum 3"),
        (setting("tensors", "xxh3", to=[SUM, "0"]), "'b' has the checksum '0'"),
        (setting("tensors", "xxh3", to=[SUM, "x" * 16]), "'b' has the checksum 'x"),
        (setting("tensors", "xxh3", to=[SUM + "0", SUM]), "'a' has the checksum"),
        (setting("more", to=1), "other keys"),
    ],
)
def test_what_our_part_says_and_the_file_does_not_is_refused(
    change: Callable[[Any], object], problem: str
) -> None:
    assert open_record(ours_with(lambda _: None))["b"].shape == (3,)

    with pytest.raises(RecordFormatError, match=problem):
        open_record(ours_with(change))


def test_a_sum_that_is_another_names_its_tensor() -> None:
    record = open_record(ours_with(setting("tensors", "xxh3", to=[SUM, SUM])))

    for path in ("a", "b"):
        with pytest.raises(RecordChecksumError, match=path):
            _ = record[path]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "under the key 'burnish'"),
        ("3", "under the key 'burnish'"),
        ('"x"', "under the key 'burnish'"),
        ('{"burnish":1}x', "after the end"),
        ('{"burnish":1,"burnish":1}', "'burnish' twice"),
    ],
)
def test_our_part_is_one_map(text: str, problem: str) -> None:
    with pytest.raises(RecordFormatError, match=problem):
        open_record(file_of({"__metadata__": {"burnish": text}}))


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


def test_texts_of_metadata_that_are_names_too_are_kept_for_us() -> None:
    tied = torch.ones(2)
    tensors = {"w": tied, "tie": tied, "v": torch.zeros(1)}
    texts = {"w": "a", "tie": "b", "v": "c", "format": "d", "free": "e"}

    data = saved(tensors, **texts)

    shared = header_of(data)["__metadata__"]
    assert {k: shared.get(k) for k in texts} == {
        "w": "tie",
        "tie": None,
        "v": None,
        "format": "pt",
        "free": "e",
    }
    assert {k: open_record(data).metadata[k] for k in texts} == texts


def test_a_foreign_file_keeps_texts_that_only_look_like_ties() -> None:
    header = {
        "__metadata__": {"format": "a", "b": "a", "c": "elsewhere", "a": "b", "d": "a"},
        "a": row("F32", [1], 0, 4),
        "d": row("F32", [1], 4, 8),
    }

    record = open_record(file_of(header, b"\0" * 8))

    assert [(e.path, e.ties) for e in record.entries()] == [("a", ("b",)), ("d", ())]
    assert record.metadata == {"format": "a", "c": "elsewhere", "a": "b", "d": "a"}


@pytest.mark.parametrize("start", [b'{"', b"{}", b"{ "])
def test_a_file_is_recognized_by_its_length_and_the_first_bytes(start: bytes) -> None:
    text = {b'{"': b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'}.get(
        start, start.ljust(7) + b"}" if start == b"{ " else b"{}"
    )

    assert open_record(struct.pack("<Q", len(text)) + text).verified == "none"
