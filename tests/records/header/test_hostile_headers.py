"""Every value in a header replaced by every wrong one: refused, or harmless."""

import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch

from burnish.records import RecordFormatError, open_record
from burnish.records.flat_record import FlatRecord
from burnish.records.recorder import Recorder

from ...campaigns.afterwards import misuse
from ...campaigns.mutations import ODD
from ..hostile_files import entry, said, with_header

WRONG = [*ODD, ["channels_last"], {"a": 1}, [[0, ["channels_last"]]], [[0, {}]]]


def in_memory_format() -> FlatRecord:
    """Return a record with a value in every column, and in our metadata."""
    image = torch.ones(1, 2, 2, 2).contiguous(memory_format=torch.channels_last)
    entries = [
        entry("a.w", "parameter", image, ties=("b.w",)),
        entry("a.x", "extra", torch.arange(2)),
    ]
    entries[0].memory_format = "channels_last"
    ours = {"type": "Net", "version": 1, "versions": {"a": 1}, "hparams": {"n": 1}}
    tree = {"a._extra_state": {"$tuple": [{"$tensor": 1}, {"$int": str(2**70)}]}}
    metadata = {"burnish": ours, "epoch": 3}
    return FlatRecord.of(entries, tree=tree, metadata=metadata, type_name="Net")


def mpk(change: Callable[[Any], Any]) -> bytes:
    return with_header(Recorder().dumps(in_memory_format()), change)


def text(change: Callable[[Any], Any]) -> bytes:
    return json.dumps(change(json.loads(DEBUG))).encode()


def safetensors(change: Callable[[Any], Any]) -> bytes:
    (length,) = struct.unpack("<Q", SHARED[:8])
    header = json.loads(SHARED[8 : 8 + length])
    ours = change(json.loads(header["__metadata__"]["burnish"]))
    header["__metadata__"]["burnish"] = json.dumps(ours)
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + SHARED[8 + length :]


DEBUG = Recorder("json").dumps(in_memory_format())


SHARED = Recorder("safetensors").dumps(
    FlatRecord.of(
        in_memory_format().entries()[:1],
        metadata=in_memory_format().metadata,
        type_name="Net",
    )
)


FORMATS = {"mpk": mpk, "json": text, "safetensors": safetensors}


def replaced(node: Any) -> Iterator[Any]:
    """Yield ``node`` with each value in it, at any depth, as each of the wrong ones."""
    yield from WRONG
    if isinstance(node, dict):
        for key, inner in node.items():
            yield {k: v for k, v in node.items() if k != key}
            for other in replaced(inner):
                yield {**node, key: other}
    elif isinstance(node, list):
        for i, inner in enumerate(node):
            for other in replaced(inner):
                yield [*node[:i], other, *node[i + 1 :]]


@pytest.mark.parametrize("name", FORMATS)
def test_every_wrong_value_in_a_header_is_refused_or_harmless(name: str) -> None:
    headers, misused = list[Any](), list[str]()

    def note(header: Any) -> Any:
        headers.append(header)
        return header

    FORMATS[name](note)

    for i, header in enumerate(replaced(headers[0])):
        data = FORMATS[name](partial(lambda wrong, _: wrong, header))
        if said(data) is not None and i % 40 == 0 and (problem := misuse(data)):
            misused.append(problem)

    assert misused == []


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("ours", [3, "x", [1], None, True, {"hparams": 3}])
def test_metadata_of_ours_that_is_no_map_is_refused(name: str, ours: object) -> None:
    def change(header: Any) -> Any:
        header["metadata"]["burnish"] = ours
        return header

    with pytest.raises(RecordFormatError, match=r"the metadata 'burnish"):
        open_record(FORMATS[name](change))


@pytest.mark.parametrize("value", [["channels_last"], {"a": 1}, 4, None])
def test_a_memory_format_that_is_no_name_is_refused(value: object) -> None:
    def change(header: Any) -> Any:
        header["tensors"]["memory_format"] = [[0, value]]
        return header

    with pytest.raises(RecordFormatError, match="memory format"):
        open_record(mpk(change))
