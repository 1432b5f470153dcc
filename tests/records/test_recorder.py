"""Every recorder at every precision, and how a recorder is chosen."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish import __version__
from burnish.records import (
    COMPACT,
    DEBUG,
    DEFAULT,
    Entry,
    FlatRecord,
    Format,
    ParamId,
    Record,
    Recorder,
    RecordFormatError,
    WriteOptions,
    open_record,
)
from burnish.records.contents import Contents
from burnish.records.record_writer import LIBRARY, PRESETS
from burnish.records.sink import Sink
from burnish.records.source import Source

RECORDERS = {
    "mpk": Recorder(),
    "mpk.zst": Recorder(compression="zst"),
    "mpk.gz": Recorder(compression="gz"),
    "json": Recorder("json"),
    "json base64": Recorder("json", payload="base64"),
    "json.gz": Recorder("json", "gz"),
    "json.zst": Recorder("json", "zst"),
    "safetensors": Recorder("safetensors"),
}
PRECISIONS = {
    None: torch.float32,
    "full": torch.float32,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "double": torch.float64,
}


def example() -> FlatRecord:
    torch.manual_seed(0)
    weight = torch.randn(40, 70) * torch.logspace(-4, 4, 70)
    tensors = {
        "layers.0.weight": ("parameter", weight),
        "layers.0.bias": ("parameter", torch.tensor([0.0, -0.0, 1e-7, 3.5])),
        "norm.running_var": ("buffer", torch.tensor([1e-9, 1e30])),
        "steps": ("buffer", torch.tensor(2**40)),
        "mask": ("buffer", torch.tensor([True, False])),
        "phase": ("parameter", torch.tensor([1 + 2j, -0.5j], dtype=torch.complex64)),
        "nothing": ("parameter", torch.empty(3, 0)),
    }
    entries = [
        Entry(path, kind, t.dtype, tuple(t.shape), t, ParamId.draw(), True)  # type: ignore[arg-type]  # a Kind
        for path, (kind, t) in tensors.items()
    ]
    entries[0].ties = ("head.weight",)
    return Record.from_entries(entries, type_name="Net")


@pytest.mark.parametrize("recorder", RECORDERS.values(), ids=RECORDERS)
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
        assert back.by_path()[entry.path].id == entry.id
    assert back["head.weight"] is back["layers.0.weight"]


@pytest.mark.parametrize("recorder", RECORDERS.values(), ids=RECORDERS)
def test_equal_records_give_equal_bytes_however_often(recorder: Recorder) -> None:
    record = example()

    first = recorder.dumps(record)
    again = recorder.dumps(recorder.loads(first))

    assert first == recorder.dumps(record)
    assert again == first


@pytest.mark.parametrize("recorder", RECORDERS.values(), ids=RECORDERS)
def test_metadata_comes_back(recorder: Recorder) -> None:
    metadata = {"epoch": 3, "loss": 0.25, "tags": ["a", "é"], "nested": {"none": None}}

    back = recorder.loads(recorder.dumps(example(), metadata=metadata))

    assert {k: v for k, v in back.metadata.items() if k != "burnish"} == metadata
    assert back.metadata["burnish"]["type"] == "Net"


def test_files_name_the_library_and_its_version() -> None:
    assert f"burnish {__version__}" == LIBRARY


def test_the_presets_are_what_their_names_say(tmp_path: Path) -> None:
    example().save(tmp_path / "a", recorder=DEBUG)
    example().save(tmp_path / "b", recorder="compact", precision="bfloat16")

    assert json.loads((tmp_path / "a").read_bytes())
    assert open_record(tmp_path / "b")["layers.0.weight"].dtype is torch.bfloat16
    assert Recorder() == DEFAULT
    assert (COMPACT.format, COMPACT.compression, COMPACT.precision) == (
        "mpk",
        "zst",
        "half",
    )


@pytest.mark.parametrize("name", ["model", "model.v1", ".mpk", "model.mpkk"])
def test_a_name_that_says_no_format_is_refused_with_a_proposal(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"Write '.*{name}\.mpk'"):
        example().save(tmp_path / name)

    assert list(tmp_path.iterdir()) == []
    example().save(tmp_path / name, recorder=DEFAULT)
    assert "steps" in open_record(tmp_path / name)


@pytest.mark.parametrize("outer", ["", ".gz", ".zst"])
@pytest.mark.parametrize("ending", [".mpk", ".mpk.zst", ".json", ".safetensors"])
def test_a_name_is_refused_or_its_file_is_opened_by_that_name(
    ending: str, outer: str, tmp_path: Path
) -> None:
    file = tmp_path / f"m{ending}{outer}"
    record = Record.from_state_dict({"x": torch.ones(2)})

    with suppress(ValueError):
        record.save(file)

    is_written = outer == "" or ending == ".json" or (ending, outer) == (".mpk", ".gz")
    assert file.exists() == (is_written or (ending, outer) == (".mpk", ".zst"))
    if file.exists():
        assert torch.equal(open_record(file)["x"], torch.ones(2))


@pytest.mark.parametrize("name", ["model.pt", "model.bin", "m.PTH", "x.ckpt"])
def test_formats_that_are_only_read_say_what_to_write_instead(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"only read\. Write '.*\.mpk'"):
        example().save(tmp_path / name)
    with pytest.raises(ValueError, match="only read"):
        example().save(tmp_path / name, recorder=Recorder("torch"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"format": "pickle"},
            "there is no format 'pickle'; there are bpk, burn, json, mpk",
        ),
        (
            {"format": "safetensors", "compression": "gz"},
            "cannot be compressed by 'gz'",
        ),
        ({"compression": "bz2"}, "cannot be compressed by 'bz2'; there are mpk.zst"),
        ({"level": 3}, "give compression= as well"),
        ({"precision": "tiny"}, "is no precision; there are full, half"),
    ],
)
def test_a_wrong_recorder_is_refused_when_it_is_made(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Recorder(**arguments)  # type: ignore[arg-type]  # what is tested


def test_a_wrong_preset_lists_those_that_there_are() -> None:
    with pytest.raises(
        ValueError, match="neither a Recorder nor one of default, compact"
    ):
        example().save(recorder="fast")


def test_typed_records_do_not_fit_safetensors() -> None:
    class State(Record):
        step: int
        m: torch.Tensor

    with pytest.raises(ValueError, match=r"State has fields .* write it as \.mpk"):
        Recorder("safetensors").dumps(State(step=1, m=torch.ones(1)))


@pytest.mark.parametrize("content", RECORDERS)
@pytest.mark.parametrize("reader", RECORDERS)
def test_a_recorder_loads_its_own_format_and_names_both_for_another(
    content: str, reader: str, tmp_path: Path
) -> None:
    file = tmp_path / f"x.{content.split()[0]}"
    RECORDERS[content].save(example(), file)
    recorder = RECORDERS[reader]

    if RECORDERS[content].format == recorder.format:
        assert "steps" in recorder.load(file)
        assert "steps" in recorder.loads(file.read_bytes())
        return
    found = open_record(file).reading.format
    for load in (recorder.load, lambda f: recorder.loads(f.read_bytes())):
        with pytest.raises(RecordFormatError) as caught:
            load(file)
        assert f"content in the format {found}, expected {recorder.format}" in str(
            caught.value
        )


@pytest.mark.parametrize(
    ("name", "recorder", "content"),
    [
        ("x.mpk", "debug", "json"),
        ("x.mpk", "compact", r"mpk\.zst"),
        ("x.mpk", Recorder("mpk", "gz"), "mpk, compressed as a whole"),
        ("x.json", "default", "mpk"),
        ("x.json.gz", Recorder("json", "zst"), ""),
        ("x.pt", Recorder(), "mpk"),
        ("x.safetensors", Recorder(), "mpk"),
    ],
)
def test_a_name_of_another_format_than_the_recorders_is_refused_on_saving(
    name: str, recorder: Any, content: str, tmp_path: Path
) -> None:
    if not content:
        # One compression for another is found by its magic, and the file opens.
        example().save(tmp_path / name, recorder=recorder)
        assert "steps" in open_record(tmp_path / name)
        return

    with pytest.raises(ValueError, match=rf"{name}: the name says .* {content}\. Name"):
        example().save(tmp_path / name, recorder=recorder)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x", "x.weights", "x.debug", "net.v1"])
@pytest.mark.parametrize("recorder", RECORDERS.values(), ids=RECORDERS)
def test_whatever_a_recorder_writes_under_a_name_opens_under_it(
    name: str, recorder: Recorder, tmp_path: Path
) -> None:
    example().save(tmp_path / name, recorder=recorder)

    assert "steps" in open_record(tmp_path / name)


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
def lines() -> Iterator[None]:
    from burnish.records import format as formats

    Lines.register()
    yield
    formats._formats.forget("lines")  # pyright: ignore[reportPrivateUsage]  # undo the registration


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

    with pytest.raises(ValueError, match="'burnish' is the library's own part"):
        state.save(tmp_path / "net.mpk", metadata={"burnish": ours})

    assert (tmp_path / "net.mpk").read_bytes() == written


def test_metadata_that_is_no_map_is_refused_before_anything_is_written() -> None:
    options: Any = {"metadata": [("epoch", 3)]}

    with pytest.raises(TypeError, match=r"dict with str keys, got \[\('epoch', 3\)\]"):
        Recorder().dumps(example(), **options)


def test_a_record_whose_own_part_of_the_metadata_is_no_map_is_refused() -> None:
    record = FlatRecord.of([], metadata={"burnish": 3}, type_name="N")

    with pytest.raises(ValueError, match="library's own part, a map; found 3"):
        Recorder().dumps(record)


@pytest.mark.parametrize(
    ("file", "proposal"),
    [("net.zst", "net.mpk.zst"), ("net.gz", "net.mpk.gz"), ("runs/", "runs/net.mpk")],
)
def test_the_proposed_name_says_a_format(file: str, proposal: str) -> None:
    with pytest.raises(ValueError, match=f"Write '{proposal}'"):
        Record.from_state_dict({"a": torch.ones(1)}).save(file)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_the_recorder_of_its_name(name: str) -> None:
    recorder = getattr(burnish.records, name.upper())
    fields = ("format", "compression", "precision", "level", "payload")

    assert [getattr(recorder, field) for field in fields] == [
        getattr(PRESETS[name], field) for field in fields
    ]
