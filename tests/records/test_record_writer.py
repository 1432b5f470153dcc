"""Names and presets choose how a record is written."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.records import (
    COMPACT,
    DEBUG,
    DEFAULT,
    Record,
    Recorder,
    RecordFormatError,
    open_record,
)
from burnish.records.record_writer import PRESETS, writer_of_suffix

from ..formats_of_records import OWN_RECORDERS
from .recorders import example


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


@pytest.mark.parametrize("name", ["model", "model.v1", ".mpk"])
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
    with pytest.raises(ValueError, match=r"read-only\. Write '.*\.mpk'"):
        example().save(tmp_path / name)
    with pytest.raises(ValueError, match="read-only"):
        example().save(tmp_path / name, recorder=Recorder("torch"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"format": "pickle"},
            "there is no format 'pickle'; choose one of bpk, burn, json, mpk",
        ),
        (
            {"format": "safetensors", "compression": "gz"},
            "cannot be compressed by 'gz'",
        ),
        (
            {"compression": "bz2"},
            "by 'bz2'; choose one of json.gz, json.zst, mpk.gz, mpk.zst",
        ),
        ({"level": 3}, "level= is the level of compression="),
        ({"precision": "tiny"}, "is not a precision; choose full, half"),
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


@pytest.mark.parametrize("content", OWN_RECORDERS)
@pytest.mark.parametrize("reader", OWN_RECORDERS)
def test_a_recorder_loads_its_own_format_and_names_both_for_another(
    content: str, reader: str, tmp_path: Path
) -> None:
    file = tmp_path / f"x.{content.split()[0]}"
    OWN_RECORDERS[content].save(example(), file)
    recorder = OWN_RECORDERS[reader]

    if OWN_RECORDERS[content].format == recorder.format:
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
@pytest.mark.parametrize("recorder", OWN_RECORDERS.values(), ids=OWN_RECORDERS)
def test_whatever_a_recorder_writes_under_a_name_opens_under_it(
    name: str, recorder: Recorder, tmp_path: Path
) -> None:
    example().save(tmp_path / name, recorder=recorder)

    assert "steps" in open_record(tmp_path / name)


@pytest.mark.parametrize(
    ("file", "proposal"),
    [("net.zst", "net.mpk.zst"), ("net.gz", "net.mpk.gz")],
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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("net.mkp", "net.mpk"),
        ("net.safetensor", "net.safetensors"),
        ("net.v2", "net.v2.mpk"),
    ],
)
def test_a_mistyped_suffix_is_told_by_the_one_that_is_meant(
    name: str, meant: str
) -> None:
    with pytest.raises(ValueError, match=f"Write '{meant}'"):
        writer_of_suffix(name)


def test_a_link_to_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    record = burnish.Record.from_state_dict({"a": torch.ones(2)})
    record.save(tmp_path / "net.mpk")
    for name, target in [("other.safetensors", "net.mpk"), ("same.mpk", "net.mpk")]:
        (tmp_path / name).symlink_to(target)

    with pytest.raises(ValueError, match="whose suffix is that of another format"):
        record.save(tmp_path / "other.safetensors")
    record.save(tmp_path / "same.mpk")

    assert torch.equal(burnish.open_record(tmp_path / "net.mpk")["a"], torch.ones(2))
