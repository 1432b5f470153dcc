"""`.json`: exact numbers that people and tools may touch."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
    open_record,
)
from burnish.records.errors import ForeignFileError
from burnish.records.flat_record import FlatRecord
from burnish.records.recorder import Recorder

from ..hostile_files import entry
from .json_files import JSON, Same, Tensors, saved


def edited(data: bytes, change: Callable[[Any], object]) -> bytes:
    document: Any = json.loads(data)
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize("payload", ["numbers", "base64"])
def test_every_dtype_and_shape_comes_back_bit_for_bit(
    payload: str, awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "all.json"

    Recorder("json", payload=payload).save(Record.from_state_dict(awkward), file)

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in awkward.items() if not same(record[p], t)] == []
        assert record.verified == "all"


def test_the_file_is_json_with_numbers_in_it() -> None:
    document = json.loads(saved({"w": torch.tensor([0.1, -0.0, 2.0])}, epoch=3))

    assert document["burnish"] == 1
    assert document["metadata"]["epoch"] == 3
    assert document["tensors"][0]["values"] == [0.1, -0.0, 2.0]
    assert document["tensors"][0]["shape"] == [3]


@pytest.mark.parametrize(
    "tool", [[sys.executable, "-m", "json.tool"], ["jq", "."], ["jq", "-S", "-c", "."]]
)
def test_a_reformatted_file_still_loads_and_is_verified(
    tool: list[str], same: Same, tmp_path: Path
) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"needs {tool[0]}")
    tensors = {"a": torch.randn(20, 7), "s": torch.tensor(-0.0), "e": torch.ones(0)}
    file = tmp_path / "m.json"
    file.write_bytes(saved(tensors, note={"b": [1, 2.5, None, "ä\n"]}))

    text = subprocess.run([*tool, file], check=True, capture_output=True).stdout

    record = open_record(text)
    record.load_all()
    assert all(same(record[path], tensors[path]) for path in tensors)
    assert record.metadata["note"] == {"b": [1, 2.5, None, "ä\n"]}
    assert record.verified == "all"


def test_values_edited_by_hand_need_their_sum_removed() -> None:
    data = saved({"w": torch.tensor([1.0, 2.0])})

    def change(document: Any) -> None:
        document["tensors"][0]["values"][0] = 5

    def change_and_say_so(document: Any) -> None:
        change(document)
        del document["tensors"][0]["xxh3"]

    with pytest.raises(RecordChecksumError, match="w"):
        open_record(edited(data, change))["w"]
    record = open_record(edited(data, change_and_say_so))
    assert record["w"].tolist() == [5.0, 2.0]
    assert record.verified == "none"


def test_entries_beside_one_whose_sum_was_removed_keep_theirs() -> None:
    data = saved({name: torch.full((2,), 1.0) for name in "abc"})

    def change_two(document: Any) -> None:
        del document["tensors"][1]["xxh3"]
        document["tensors"][1]["values"][0] = 5
        document["tensors"][2]["values"][0] = 7

    record = open_record(edited(data, change_two))

    assert record["a"].tolist() == [1.0, 1.0]
    assert record["b"].tolist() == [5.0, 1.0]
    with pytest.raises(RecordChecksumError, match="the bytes of c"):
        record["c"]


def test_a_byte_order_mark_before_the_text_is_read_past() -> None:
    record = open_record(b"\xef\xbb\xbf" + saved({"w": torch.ones(2)}))

    assert record["w"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"burnish": 1', b'"burnish": 0', "version 0"),
        (b'"burnish": 1', b'"burnish": 1, "burnish": 1', "'burnish' twice"),
        (b'"burnish": 1', b'"burnish": 1, "x": 1', "unknown key 'x'"),
        (b'"burnish": 1,', b"", "without the key 'burnish'"),
        (b'"path":"w"', b'"path":"w","path":"w"', "'path' twice"),
        (b'"path":"w"', b'"path":"w","n":1', "unknown key 'n'"),
        (b'"path":"w"', b'"path":""', "called ''"),
        (b'"shape":[2]', b'"shape":[3]', "instead of 3"),
        (b'"shape":[2]', b'"shape":[1]', "more than 1"),
        (b'"shape":[2]', b'"shape":[-2]', "shape"),
        (b'"shape":[2]', b'"shape":[4611686018427387904]', "shape"),
        (b'"shape":[2]', b'"shape":[1000000000000]', "fewer than"),
        (b'"dtype":"float32"', b'"dtype":"object"', "unknown dtype 'object'"),
        (b"1.0,1.0", b"1.0,1.0,", "a number next to it"),
        (b"1.0,1.0", b"1.0 1.0", "damaged values of 'w'"),
        (b"1.0,1.0", b"1.0,[1.0]", "damaged"),
        (b"1.0,1.0", b"NaN,1.0", "damaged values of 'w'"),
        (b'"tree": {}', b'"tree": NaN', "expected a value"),
        (b'"tree": {}', b'"tree": {"a": 1e999}', "infinity"),
        (b'"tree": {}', b'"tree": {"a": 99999999999999999999}', "64 bits"),
        (b'"tree": {}', b'"tree": ' + b"[" * 300 + b"]" * 300, "64 levels"),
        (b'"tree": {}', b'"tree": {"a": "\\ud800"}', "surrogate"),
        (b'"tree": {}', b'"tree": {"a": tru}', "expected a value"),
        (b'"burnish": 1', b'"burnish": "1"', "the version '1'"),
        (b'"burnish": 1', b'"burnish": true', "the version True"),
        (b'"values": [', b'"values": [0.5], "values": [', "'values' twice"),
        (b'"values": [', b'"base64": "", "values": [', "values twice"),
        (b'"values": [1.0,1.0], ', b"", "without a path or values"),
        (b'"path":"w",', b"", "without a path or values"),
        (b'"path":"w"', b'"path":3', "without a path or values"),
        (b'"xxh3": "', b'"xxh3": "0', "no|not 16 hexadecimal digits"),
        (b'"xxh3": "', b'"xxh3": "x', "not 16 hexadecimal digits"),
        (b'"xxh3": "', b'"xxh3": 3, "id": "', "not 16 hexadecimal digits"),
        (b'"path":"w"', b'"path":"w","ties":"x"', "damaged ties"),
        (b'"path":"w"', b'"path":"w","ties":[3]', "damaged ties"),
        (b'"path":"w"', b'"path":"w","ties":["w"]', "two entries called 'w'"),
        (b'"values": [1.0,1.0]', b'"values": 3', r"expected \["),
        (b'"values": [1.0,1.0]', b'"values": [1.0,1.0', "damaged|expected"),
        (b'"values": [1.0,1.0]', b'"values": []', "fewer than 2 numbers"),
        (b'"values": [1.0,1.0]', b'"values": [,1.0]', "a number next to it"),
        (b'"values": [1.0,1.0]', b'"values": [1.0  ]', "1 numbers instead of 2"),
        (b"]}\n", b"]}\n1", "after the end"),
        (b"]}\n", b"", "expected ]"),
    ],
)
def test_damage_is_refused_with_its_place(old: bytes, new: bytes, problem: str) -> None:
    data = saved({"w": torch.ones(2)})
    assert data.count(old) >= 1

    with pytest.raises(RecordFormatError, match=problem):
        open_record(data.replace(old, new, 1)).load_all()


def test_a_newer_version_is_refused_by_its_number() -> None:
    with pytest.raises(RecordVersionError, match="version 2"):
        open_record(
            saved({"w": torch.ones(1)}).replace(b'"burnish": 1', b'"burnish": 2')
        )


def test_other_json_is_told_from_a_record() -> None:
    with pytest.raises(RecordFormatError, match=r"another program.*'hidden_size'"):
        open_record(b'{"hidden_size": 3}')


@pytest.mark.parametrize("text", [b'{"burnish": "show"}', b'{"burnish": 1, "step": 3}'])
def test_what_else_this_library_writes_as_json_is_no_damaged_record(
    text: bytes,
) -> None:
    with pytest.raises(ForeignFileError, match="Pass the f"):
        open_record(text)


def test_an_unknown_payload_is_named() -> None:
    with pytest.raises(ValueError, match="'numbers' or 'base64' in JSON, got 'hex'"):
        Recorder("json", payload="hex").dumps(Record.from_state_dict({}))


def test_a_row_says_only_what_is_not_usual() -> None:
    tied = torch.ones(2)
    rows = json.loads(saved({"w": tied, "t": tied}))["tensors"]

    (row,) = rows
    assert row.keys() == {"path", "kind", "dtype", "shape", "ties", "values", "xxh3"}
    assert row["ties"] == ["t"]


def test_many_ties_count_as_what_a_file_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 16)

    def tied(n: int) -> FlatRecord:
        ties = tuple(f"t{i}" for i in range(n))
        return FlatRecord.of([entry("w", "buffer", torch.ones(1), ties=ties)])

    assert open_record(JSON.dumps(tied(300))).entries()[0].ties[299] == "t299"
    with pytest.raises(RecordError, match=r"Write \.mpk"):
        JSON.dumps(tied(3000))
