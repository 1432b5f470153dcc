"""What holds no record is told what it is, and which call reads it."""

import gzip
import io
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import burnish
from burnish.cli.main import main
from burnish.records import Record, RecordFormatError, open_record
from burnish.records.errors import ForeignFileError
from burnish.train import HyperState

from ..formats_of_records import OWN_RECORDERS


class Net(burnish.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(8, 8)


@pytest.mark.parametrize("suffix", [*OWN_RECORDERS, "pt"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_a_file_that_was_cut_short_is_called_truncated(
    suffix: str, share: float, tmp_path: Path
) -> None:
    file = tmp_path / f"net.{suffix}"
    if suffix == "pt":
        torch.save(Net().state_dict(), file)
    else:
        Net().save_record(file)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])

    with pytest.raises(RecordFormatError, match="truncated"):
        Net.from_record(file)


@pytest.mark.parametrize("suffix", OWN_RECORDERS)
def test_a_file_that_grew_is_told_that_something_was_added(
    suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"net.{suffix}"
    Net().save_record(file)
    with file.open("ab") as end:
        end.write(b"x")

    with pytest.raises(RecordFormatError, match=r"was appended|bytes after") as error:
        open_record(file)
    # A table that is looked for at the end is missing in both.
    assert suffix.endswith("zst") or "truncated" not in str(error.value)


def test_a_file_object_at_its_end_is_told_to_seek() -> None:
    file = io.BytesIO()
    Net().save_record(file)
    end = f"{file.tell():,}"

    with pytest.raises(RecordFormatError, match=rf"position {end}.*file\.seek\(0\)"):
        Net.from_record(file)
    file.seek(5)
    with pytest.raises(RecordFormatError, match=r"position 5: file\.seek\(0\)"):
        Net.from_record(file)
    file.seek(0)
    assert Net.from_record(file).lin.weight.shape == (8, 8)


def test_a_record_in_the_middle_of_a_file_object_is_read() -> None:
    file = io.BytesIO(b"before" + Net().save_record())
    file.seek(6)

    assert Net.from_record(file).lin.weight.shape == (8, 8)


def test_a_folder_of_checkpoints_names_checkpoints(tmp_path: Path) -> None:
    checkpoint = burnish.Checkpoints(tmp_path / "run").save(1, model=Net())

    with pytest.raises(IsADirectoryError, match=r"Checkpoints\(.*\)\.restore\("):
        open_record(tmp_path / "run")
    with pytest.raises(IsADirectoryError, match=r"one checkpoint.*model\.mpk"):
        open_record(checkpoint)
    with pytest.raises(IsADirectoryError, match=r"burnish verify '?/.*run'?$"):
        burnish.verify_file(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"no weights.*Checkpoints\("):
        burnish.from_pretrained(tmp_path / "run")


def test_a_folder_of_a_pretrained_module_names_from_pretrained(tmp_path: Path) -> None:
    Net().save_pretrained(tmp_path / "net")

    with pytest.raises(
        IsADirectoryError, match=r"burnish\.from_pretrained\('.*model\.safetensors'$"
    ):
        open_record(tmp_path / "net")


def test_a_folder_of_an_adapter_names_peft(tmp_path: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_text("{}")

    with pytest.raises(IsADirectoryError, match=r"peft\.PeftModel\.from_pretrained"):
        open_record(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"peft\.PeftModel\.from_pretrained"):
        burnish.from_pretrained(tmp_path)


def test_a_folder_of_shards_without_a_config_names_the_command_that_joins_them(
    tmp_path: Path,
) -> None:
    source, shards = str(tmp_path / "net.mpk"), str(tmp_path / "net")
    Record.from_state_dict(Net().state_dict()).save(source)
    assert main(["convert", source, shards, "--shards", "5GB"]) == 0

    with pytest.raises(IsADirectoryError, match=r"burnish convert '.*' NEW\.mpk"):
        open_record(shards)
    with pytest.raises(FileNotFoundError, match=r"is missing, .* burnish convert"):
        burnish.from_pretrained(shards, Net)
    assert main(["convert", shards, str(tmp_path / "again.mpk")]) == 0
    assert [*open_record(tmp_path / "again.mpk")] == [*open_record(source)]


def test_a_run_of_hyper_state_names_it(tmp_path: Path) -> None:
    from dataclasses import dataclass

    @dataclass
    class Config:
        lr: float = 0.1

    @dataclass
    class State:
        step: int

    run = HyperState.load(
        Config, State, lambda _: State(0), checkpoint_dir=tmp_path / "run"
    )
    run.step()

    with pytest.raises(IsADirectoryError, match="HyperState"):
        open_record(tmp_path / "run")


def test_another_folder_lists_its_records(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="it holds nothing"):
        open_record(tmp_path)
    Net().save_record(tmp_path / "net.mpk")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(IsADirectoryError, match=r"it holds net\.mpk$"):
        open_record(tmp_path)


def test_a_module_and_a_state_dict_are_told_how_they_become_records() -> None:
    net = Net()

    with pytest.raises(TypeError, match=r"got a Net.*into_record\(module\)"):
        net.load_record(net)  # type: ignore[arg-type]  # the test
    with pytest.raises(TypeError, match=r"Record\.from_state_dict\(state_dict\)"):
        net.load_record(net.state_dict())  # type: ignore[arg-type]  # the test
    net.load_record(burnish.core.into_record(Net()))
    net.load_record(Record.from_state_dict(Net().state_dict()))


def test_a_torchscript_program_is_called_one(tmp_path: Path) -> None:
    names = ["net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"]
    with zipfile.ZipFile(tmp_path / "net.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, b"x" * 100)

    with pytest.raises(RecordFormatError, match=r"TorchScript.*torch\.jit\.load"):
        open_record(tmp_path / "net.pt")


def test_a_file_of_torch_is_told_how_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"torch\.save\(record\.to_state_dict\(\)"):
        Net().save_record(tmp_path / "net.pt")


def test_a_file_that_is_open_for_text_is_refused_both_ways() -> None:
    with pytest.raises(TypeError, match="open in text mode; open it with mode 'wb'"):
        Net().save_record(io.StringIO())  # type: ignore[call-overload]  # the test
    with pytest.raises(TypeError, match="open in text mode; open it with mode 'rb'"):
        open_record(io.StringIO())  # type: ignore[arg-type]  # the test


@pytest.mark.parametrize("n_bytes", [1, 64, 5000])
@pytest.mark.parametrize("suffix", [".mpk", ".json", ".mpk.gz", ".safetensors"])
def test_a_file_whose_content_never_came_is_damaged_and_no_stranger_s(
    tmp_path: Path, suffix: str, n_bytes: int
) -> None:
    file = tmp_path / f"net{suffix}"
    content = bytes(n_bytes)
    file.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)

    with pytest.raises(RecordFormatError) as caught:
        open_record(file)

    assert not isinstance(caught.value, ForeignFileError)
    assert "Copy" in str(caught.value) or "older one" in str(caught.value)


def test_zeros_behind_the_position_of_a_file_object_are_no_damage() -> None:
    stream = io.BytesIO(b"abc" + bytes(5000))
    stream.seek(3)

    with pytest.raises(ForeignFileError, match=r"file\.seek\(0\)"):
        open_record(stream)


def test_a_checkpoint_of_lightning_names_load_lightning(tmp_path: Path) -> None:
    """Its cure was a call that found nothing, returned 0 and restored nothing."""
    folder = tmp_path / "run" / "last"
    burnish.Checkpoints(tmp_path / "one").save(1, model=Net())
    shutil.copytree(tmp_path / "one" / "step000000000001", folder)

    with pytest.raises(IsADirectoryError, match=r"load_lightning\(Net, .*last'\)"):
        open_record(folder)
    with pytest.raises(IsADirectoryError, match=r"a run of Lightning, .* in last"):
        open_record(tmp_path / "run")
