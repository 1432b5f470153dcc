"""Every recorder at every precision, and how a recorder is chosen."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish import __version__
from burnish.records import (
    FlatRecord,
    Format,
    Record,
    Recorder,
    WriteOptions,
    open_record,
)
from burnish.records.entries.entries import path_index
from burnish.records.io.sink import Sink
from burnish.records.io.source import Source
from burnish.records.record_writer import LIBRARY
from burnish.records.writing.contents import Contents

from ..formats_of_records import OWN_RECORDERS
from .recorders import example

PRECISIONS = {
    None: torch.float32,
    "full": torch.float32,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "double": torch.float64,
}


@pytest.mark.parametrize("recorder", OWN_RECORDERS.values(), ids=OWN_RECORDERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_recorder_stores_every_precision_exactly(
    recorder: Recorder, precision: str | None
) -> None:
    record = example()

    data = recorder.dumps(record, precision=precision)  # type: ignore[arg-type]  # parametrized
    back = recorder.loads(data)

    assert list(back) == list(record)
    for entry in record.entries():
        found, values = back[entry.path], entry.tensor()
        if entry.kind == "parameter" and values.is_floating_point():
            values = values.to(PRECISIONS[precision])
        assert found.dtype is values.dtype, entry.path
        assert torch.equal(bits(found), bits(values)), entry.path
        assert path_index(back)[entry.path].id == entry.id
    assert back["head.weight"] is back["layers.0.weight"]


@pytest.mark.parametrize("recorder", OWN_RECORDERS.values(), ids=OWN_RECORDERS)
def test_equal_records_give_equal_bytes_however_often(recorder: Recorder) -> None:
    record = example()

    first = recorder.dumps(record)
    again = recorder.dumps(recorder.loads(first))

    assert first == recorder.dumps(record)
    assert again == first


@pytest.mark.parametrize("recorder", OWN_RECORDERS.values(), ids=OWN_RECORDERS)
def test_metadata_comes_back(recorder: Recorder) -> None:
    metadata = {"epoch": 3, "loss": 0.25, "tags": ["a", "é"], "nested": {"none": None}}

    back = recorder.loads(recorder.dumps(example(), metadata=metadata))

    assert {k: v for k, v in back.metadata.items() if k != "burnish"} == metadata
    assert back.metadata["burnish"]["type"] == "Net"


def test_files_name_the_library_and_its_version() -> None:
    assert f"burnish {__version__}" == LIBRARY


def test_typed_records_do_not_fit_safetensors() -> None:
    class State(Record):
        step: int
        m: torch.Tensor

    with pytest.raises(ValueError, match=r"State has step; write it as \.mpk"):
        Recorder("safetensors").dumps(State(step=1, m=torch.ones(1)))


class Lines(Format):
    """A user's format: a path and its numbers a line."""

    name = "lines"
    suffixes = (".lines",)
    magic = b"LINES\n"

    has_sums = False

    def encode(self, contents: Contents, sink: Sink, options: WriteOptions) -> None:
        sink.write(self.magic)
        for payload in contents.payloads():
            for chunk in payload:
                values = torch.frombuffer(chunk, dtype=payload.row.dtype).tolist()
                text = " ".join(map(str, values))
                sink.write(f"{payload.row.path} {text}\n".encode())

    def decode(self, source: Source) -> FlatRecord:
        text = bytes(
            source.read(len(self.magic), source.size - len(self.magic))
        ).decode()
        tensors: dict[str, torch.Tensor] = {}
        for line in text.splitlines():
            path, *values = line.split()
            tensors[path] = torch.tensor([float(value) for value in values])
        return Record.from_state_dict(tensors)


@pytest.fixture
def lines(formats_as_before: None) -> None:
    Lines.register()


@pytest.mark.usefixtures("lines")
def test_a_users_format_is_found_by_suffix_name_and_magic(tmp_path: Path) -> None:
    record = Record.from_state_dict({"a": torch.tensor([1.5, 2.0])})

    record.save(tmp_path / "x.lines")
    record.save(tmp_path / "y", recorder=Recorder("lines"))

    for name in ("x.lines", "y"):
        assert torch.equal(open_record(tmp_path / name)["a"], torch.tensor([1.5, 2.0]))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return the bytes of a tensor: -0.0 is not 0.0, and a NaN is itself."""
    return tensor.contiguous().view(-1).view(torch.uint8)


@pytest.mark.parametrize("ours", [3, {"type": "Other"}, None])
def test_a_users_metadata_does_not_replace_the_librarys_part(
    ours: object, tmp_path: Path
) -> None:
    state = Record.from_state_dict({"weight": torch.ones(2)})
    state.save(tmp_path / "net.mpk")
    written = (tmp_path / "net.mpk").read_bytes()

    with pytest.raises(ValueError, match="'burnish' is reserved for the library"):
        state.save(tmp_path / "net.mpk", metadata={"burnish": ours})

    assert (tmp_path / "net.mpk").read_bytes() == written


def test_metadata_that_is_no_map_is_refused_before_anything_is_written() -> None:
    options: Any = {"metadata": [("epoch", 3)]}

    with pytest.raises(TypeError, match=r"dict with str keys, got \[\('epoch', 3\)\]"):
        Recorder().dumps(example(), **options)


def test_a_record_whose_own_part_of_the_metadata_is_no_map_is_refused() -> None:
    record = FlatRecord.of([], metadata={"burnish": 3}, type_name="N")

    with pytest.raises(ValueError, match="reserved for the library, a map; found 3"):
        Recorder().dumps(record)


@pytest.mark.parametrize(
    "value", [nn.Linear(1, 1), {"weight": torch.ones(1)}, 3], ids=["net", "dict", "3"]
)
def test_a_recorder_says_what_writes_what_is_no_record(
    value: Any, tmp_path: Path
) -> None:
    match = (
        rf"got an? {type(value).__name__}\. A module is written by burnish.save_record"
    )

    with pytest.raises(TypeError, match=match):
        Recorder().dumps(value)
    with pytest.raises(TypeError, match=match):
        Recorder().save(value, tmp_path / "x.mpk")
    assert not list(tmp_path.iterdir())
