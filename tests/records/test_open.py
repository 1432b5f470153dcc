"""Opening: any source, lazily, with every option in one place."""

import copy
import json
import os
import pickle
from pathlib import Path
from typing import Any, Literal

import pytest
import safetensors.torch
import torch

import burnish
from burnish.records import (
    COMPACT,
    FlatRecord,
    Precision,
    Record,
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordVersionError,
    open_record,
    verify_file,
)

from ..formats_of_records import OWN_RECORDERS
from .opened import TENSORS


def test_attributes_items_and_numbers_reach_the_same_tensor(file: Path) -> None:
    with open_record(file) as record:
        assert record.encoder[0].weight is record["encoder.0.weight"]
        assert record.encoder["0"].weight is record["encoder.0.weight"]
        assert record.encoder[0].weight is record.encoder["0.weight"]
        with pytest.raises(AttributeError, match=r"no 'heads'\. Did you mean 'head'"):
            _ = record.heads
        with pytest.raises(
            KeyError, match=r"'head\.wieght'. Did you mean 'head\.weight'"
        ):
            record["head.wieght"]


def test_rewrite_rules_rename_and_drop(file: Path) -> None:
    class Rule:
        def rename(self, path: str) -> str | None:
            return None if path == "steps" else path.replace("encoder", "body")

    record = open_record(file, rename=[Rule()])

    assert list(record) == ["body.0.weight", "body.0.bias", "head.weight"]


def test_dtype_converts_floating_values_when_they_are_touched(file: Path) -> None:
    record = open_record(file, dtype=torch.bfloat16)

    assert record["head.weight"].dtype is torch.bfloat16
    assert record["steps"].dtype is torch.int64
    assert record.reading.dtype is torch.bfloat16


def test_device_moves_tensors(file: Path) -> None:
    assert open_record(file, device="meta")["head.weight"].is_meta


def test_a_map_outlives_the_record_and_the_replacement_of_the_file(file: Path) -> None:
    record = open_record(file, mmap=True)
    tensor = record["head.weight"]
    record.close()

    Record.from_state_dict({"other": torch.zeros(100)}).save(file)

    assert torch.equal(tensor, TENSORS["head.weight"])


def test_a_closed_record_says_so(file: Path) -> None:
    with open_record(file) as record:
        pass

    with pytest.raises(
        ValueError, match="is closed; read what you need before you close it"
    ):
        _ = record["head.weight"]


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst"])
def test_verify_file_counts_what_it_checked(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"model{suffix}"
    Record.from_state_dict(TENSORS).save(file)

    checked = verify_file(file)

    assert (checked.n_entries, checked.nbytes, checked.verified) == (4, 84, "all")


def test_a_file_without_checksums_is_verified_none_and_an_error_if_strict(
    tmp_path: Path,
) -> None:
    file, foreign = tmp_path / "ours.json", tmp_path / "theirs.safetensors"
    Record.from_state_dict(TENSORS).save(file)
    text = json.loads(file.read_text())
    del text["tensors"][1]["xxh3"]
    file.write_text(json.dumps(text))
    safetensors.torch.save_file(TENSORS, foreign)
    torch.save(TENSORS, tmp_path / "theirs.pt")

    for name in (file, foreign, tmp_path / "theirs.pt"):
        assert verify_file(name).verified == "none"
        with pytest.raises(
            RecordChecksumError,
            match=rf"{name.name}: it has no checksums of its tensors",
        ):
            verify_file(name, strict=True)


@pytest.mark.parametrize("suffix", OWN_RECORDERS)
@pytest.mark.parametrize("tensors", [TENSORS, {}], ids=["some", "none"])
def test_every_file_of_ours_passes_a_strict_verification(
    suffix: str, tensors: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / f"x.{suffix}"
    Record.from_state_dict(tensors).save(file)

    assert verify_file(file, strict=True).verified == "all"
    with open_record(file) as record:
        record.load_all()
        assert verify_file(record).verified == "all"


def test_verified_goes_from_touched_to_all(file: Path) -> None:
    record = open_record(file)
    before = str(record.verified)

    record.load_all()

    assert (before, record.verified) == ("touched", "all")


def test_a_newer_format_names_both_versions(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[9] = 5
    file.write_bytes(content)

    with pytest.raises(RecordVersionError, match=r"version 5, and the newest .* is 4"):
        open_record(file)


def test_a_suffix_that_disagrees_with_the_content_names_both(file: Path) -> None:
    wrong = file.with_suffix(".json")
    file.rename(wrong)

    with pytest.raises(RecordFormatError, match=r"in the format mpk, expected json"):
        open_record(wrong)
    with wrong.open("rb") as opened:
        assert "steps" in open_record(opened)


def test_an_opened_record_converts_to_another_format(
    file: Path, tmp_path: Path
) -> None:
    record = open_record(file, exclude="steps")

    COMPACT.save(record, tmp_path / "small.mpk.zst")

    small = open_record(tmp_path / "small.mpk.zst")
    assert isinstance(small, FlatRecord)
    assert small["head.weight"].dtype is torch.float16
    assert small.metadata["epoch"] == 3
    assert small.metadata["burnish"]["precision"] == "half"


def test_one_tensor_of_many_is_read_without_the_others(tmp_path: Path) -> None:
    file = tmp_path / "many.mpk"
    Record.from_state_dict({f"l.{i}": torch.ones(4096) for i in range(200)}).save(file)
    header = int.from_bytes(file.read_bytes()[17:21], "big")

    before = read_so_far()
    with open_record(file) as record:
        _ = record["l.117"]
    requested = read_so_far() - before

    # Reading the counter itself takes some bytes as well.
    assert requested <= header + 4 * 4096 + 4096 + 512


def read_so_far() -> int:
    text = Path("/proc/self/io").read_text()
    return int(text.split("rchar: ")[1].split()[0])


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_there_is_refused_when_a_record_is_opened(
    device: str,
) -> None:
    data = Record.from_state_dict({"a": torch.ones(2)}).save()

    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here"):
        open_record(data, device=device)


def test_an_unknown_word_for_hyperparameters_is_refused_with_those_there_are() -> None:
    data = Record.from_state_dict({"a": torch.ones(2)}).save()

    with pytest.raises(ValueError, match="must be 'compare' or 'ignore', got 'skip'"):
        open_record(data, hyperparameters="skip")  # type: ignore[arg-type]  # the user's slip


def test_a_record_that_was_verified_is_still_open(tmp_path: Path) -> None:
    file = tmp_path / "x.mpk"
    Record.from_state_dict({"a": torch.ones(2), "b": torch.zeros(3)}).save(file)
    record = open_record(file)

    verify_file(record)
    verify_file(record.select(only="a"))

    assert record["b"].tolist() == [0, 0, 0]
    with file.open("rb") as stream:
        verify_file(stream)
        assert not stream.closed


@pytest.mark.parametrize("dtype", ["auto", "float16", 16, torch.int8])
def test_a_dtype_that_is_none_is_told_of_stored(dtype: object) -> None:
    data = Record.from_state_dict({"a": torch.ones(2)}).save()

    with pytest.raises(ValueError, match=r"'stored' for the file's own, got"):
        open_record(data, dtype=dtype)  # type: ignore[arg-type]  # the test


def test_a_dtype_that_no_tensor_would_get_is_refused(tmp_path: Path) -> None:
    nest = {"model": {"w": torch.ones(2)}, "epoch": 3}
    burnish.save_record(nest, tmp_path / "nest.mpk")

    with pytest.raises(ValueError, match=r"parameters, but .*nest"):
        open_record(tmp_path / "nest.mpk", dtype=torch.bfloat16)

    stored: Literal["stored"] = "stored"
    for dtype in (torch.float32, stored):
        again: Any = open_record(tmp_path / "nest.mpk", dtype=dtype).to_data()
        assert torch.equal(again["model"]["w"], torch.ones(2))


def test_a_branch_is_copied_and_what_is_an_open_file_is_not(file: Path) -> None:
    record = open_record(file)

    assert copy.copy(record.encoder)["0.bias"] is record["encoder.0.bias"]
    with pytest.raises(TypeError, match=r"model\.mpk: .* Pickle or copy the whole"):
        pickle.dumps(record.entries()[0])


def test_a_record_is_read_inside_a_transformation_of_torch(tmp_path: Path) -> None:
    file = tmp_path / "m.mpk"
    values = torch.arange(3.0)
    Record.from_state_dict({"w": values}).save(file)

    gradient = torch.func.grad(lambda x: (x * open_record(file)["w"]).sum())

    assert torch.equal(gradient(torch.ones(3)), values)


def test_a_module_of_a_transformation_is_refused_with_that_reason(
    tmp_path: Path,
) -> None:
    file = tmp_path / "m.mpk"
    burnish.save_record(torch.nn.Linear(2, 2), file)

    def loaded(x: torch.Tensor) -> torch.Tensor:
        burnish.load_record(torch.nn.Linear(2, 2), file)
        return x.sum()

    with pytest.raises(RecordError, match=r"weight: .* torch\.func transform"):
        torch.func.grad(loaded)(torch.ones(2))


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *[("float16", "half"), ("torch.float16", "half"), ("fp16", "half")],
        *[("f16", "half"), ("bf16", "bfloat16"), ("torch.float32", "full")],
    ],
)
def test_a_dtype_as_others_call_it_is_answered_with_its_name_here(
    name: str, ours: str, tmp_path: Path
) -> None:
    file = tmp_path / "x.mpk"
    Record.from_state_dict({"a": torch.ones(1)}).save(file)

    with pytest.raises(ValueError, match=f"got '{name}'. Did you mean '{ours}'"):
        open_record(file, dtype=name)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"precision='{name}'.*mean '{ours}'"):
        Precision.of(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suffix", "verify"), [(".bpk", True), (".safetensors", False), (".mpk", False)]
)
@pytest.mark.parametrize("size", [8, 1 << 19], ids=["read", "mapped"])
def test_nothing_is_read_of_a_file_without_sums_that_was_overwritten_in_place(
    suffix: str, verify: bool, size: int, tmp_path: Path
) -> None:
    file = tmp_path / f"a{suffix}"
    burnish.save_record(torch.nn.ParameterDict({"w": torch.zeros(size)}), file)
    with open_record(file, verify=verify) as record:
        overwrite_in_place(file)
        with pytest.raises(RecordFormatError, match="was overwritten"):
            record["w"]
        net = torch.nn.ParameterDict({"w": torch.ones(size)})
        with pytest.raises(RecordFormatError, match="was overwritten"):
            burnish.load_record(net, record)
        assert net["w"].all()


def overwrite_in_place(file: Path) -> None:
    """Write the bytes of a file anew, a second later than it was written before."""
    status = file.stat()
    file.write_bytes(file.read_bytes())
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
