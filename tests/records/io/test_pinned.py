"""A file with a pinned SHA-256 is that file, or nothing of it is used."""

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import fsspec
import pytest
import safetensors.torch
import torch
from torch import nn

import burnish
from burnish.records import RecordChecksumError, RecordFormatError, open_record
from burnish.records.errors import PinnedDigestError
from burnish.records.flat_record import flat_record
from burnish.records.linked_save import save_linked
from burnish.records.nest import record_of_data
from burnish.records.record_writer import writer_for

VALUES = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}
OTHER = "0" * 64


def saved(file: Path) -> str:
    """Write the values to ``file``, and return its sum."""
    if file.suffix == ".pt":
        torch.save(VALUES, file)
    elif file.suffix == ".safetensors":
        safetensors.torch.save_file(VALUES, file)
    else:
        burnish.save_record(VALUES, file)
    return sha256(file.read_bytes())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("suffix", ["mpk", "mpk.zst", "json", "safetensors", "pt"])
def test_the_pinned_file_is_read_as_ever(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"net.{suffix}"
    digest = saved(file)

    for spelling in (digest, digest.upper()):
        with open_record(file, sha256=spelling) as record:
            assert torch.equal(record["weight"], VALUES["weight"])


@pytest.mark.parametrize("suffix", ["mpk", "mpk.zst", "json", "safetensors", "pt"])
def test_another_file_is_an_error_with_both_sums_and_what_to_do(
    suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"net.{suffix}"
    digest = saved(file)

    with pytest.raises(PinnedDigestError) as caught:
        open_record(file, sha256=OTHER)

    text = str(caught.value)
    assert f"{file}: its SHA-256 is {digest}, expected {OTHER}" in text
    assert "nothing in it was used" in text
    assert "Download the file again" in text


def test_a_file_with_true_checksums_and_other_values_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    digest = saved(file)
    burnish.save_record({**VALUES, "bias": torch.zeros(2)}, file)

    assert burnish.verify_file(file).verified == "all"
    with pytest.raises(RecordChecksumError):
        open_record(file, sha256=digest)
    with pytest.raises(RecordChecksumError):
        burnish.verify_file(file, sha256=digest)


def test_what_no_format_knows_is_not_even_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    file.write_bytes(b"\x80\x04.no record")

    with pytest.raises(PinnedDigestError):
        open_record(file, sha256=OTHER)
    with pytest.raises(PinnedDigestError):
        open_record(b"", sha256=OTHER)


def test_a_refused_file_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    saved(file)
    n_open = len(os.listdir("/proc/self/fd"))

    with pytest.raises(PinnedDigestError):
        open_record(file, sha256=OTHER)

    assert len(os.listdir("/proc/self/fd")) == n_open


def test_a_module_is_as_before_when_its_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    net = nn.Linear(3, 2)
    burnish.save_record(net, file)
    digest = sha256(file.read_bytes())
    before = [p.clone() for p in net.parameters()]
    burnish.save_record(nn.Linear(3, 2), file)

    with pytest.raises(PinnedDigestError):
        burnish.load_record(net, file, sha256=digest)
    with pytest.raises(PinnedDigestError):
        burnish.from_record(lambda: nn.Linear(3, 2), file, sha256=digest)

    assert all(map(torch.equal, net.parameters(), before))


def test_a_module_is_filled_and_built_from_the_pinned_file(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    net, other = nn.Linear(3, 2), nn.Linear(3, 2)
    burnish.save_record(net, file)
    digest = sha256(file.read_bytes())

    burnish.load_record(other, file, sha256=digest)
    third = burnish.from_record(lambda: nn.Linear(3, 2), file, sha256=digest)

    assert torch.equal(other.weight, net.weight)
    assert torch.equal(third.weight, net.weight)


class ChangingServer(io.BytesIO):
    """A stream that answers with other bytes once all of it was read."""

    n_ends = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self.n_ends:
            content = bytes(len(content))
        self.n_ends += self.tell() == len(self.getbuffer())
        return content


def test_a_stream_that_answers_otherwise_later_is_not_asked_again(
    tmp_path: Path,
) -> None:
    file = tmp_path / "net.mpk"
    digest = saved(file)

    record = open_record(ChangingServer(file.read_bytes()), sha256=digest)

    assert torch.equal(record["weight"], VALUES["weight"])


def test_a_stream_is_pinned_from_where_it_stands(tmp_path: Path) -> None:
    digest = saved(tmp_path / "net.mpk")
    stream = io.BytesIO(b"head" + (tmp_path / "net.mpk").read_bytes())
    stream.seek(4)

    assert torch.equal(open_record(stream, sha256=digest)["bias"], VALUES["bias"])


def test_values_in_files_beside_it_are_refused_since_the_sum_is_of_one(
    tmp_path: Path,
) -> None:
    values: dict[str, Any] = {
        "base": torch.zeros(1 << 17),
        "adapter": torch.zeros(1 << 15),
    }
    files = [tmp_path / step / "net.mpk" for step in "01"]
    for i in range(2):
        files[i].parent.mkdir()
        record = writer_for(files[i]).prepare(flat_record(record_of_data(values)))
        save_linked(record, files[i], files[i - 1] if i else None)
        values["adapter"] = torch.ones(1 << 15)
    open_record(files[1]).close()

    with pytest.raises(RecordFormatError, match="the SHA-256 does not cover"):
        open_record(files[1], sha256=sha256(files[1].read_bytes()))


def test_values_in_parts_are_refused_alike_in_a_folder_and_in_a_storage(
    tmp_path: Path,
) -> None:
    for folder in (f"{tmp_path}/net/", "memory://pinned/net/"):
        burnish.save_record(nn.Linear(3, 2), folder)
        opened: Any = fsspec.open(f"{folder}index.mpk", "rb")
        with opened as index:
            digest = sha256(index.read())

        for file in (folder, f"{folder}index.mpk"):
            with pytest.raises(RecordFormatError, match="the SHA-256 does not cover"):
                open_record(file, sha256=digest)["weight"]


@pytest.mark.parametrize("digest", ["", "0" * 63, "g" * 64, f"sha256:{OTHER}"])
def test_a_sum_that_is_none_is_refused_before_the_file_is_opened(digest: str) -> None:
    with pytest.raises(ValueError, match="sha256 must be 64 hexadecimal digits, got"):
        open_record("not there.mpk", sha256=digest)


def test_a_sum_as_bytes_is_refused_in_words() -> None:
    digest: Any = bytes(32)

    with pytest.raises(TypeError, match="64 hexadecimal digits, got bytes; `sha256sum"):
        open_record("not there.mpk", sha256=digest)


def test_a_record_that_is_read_already_has_no_sum(tmp_path: Path) -> None:
    file = tmp_path / "net.mpk"
    digest = saved(file)
    record = open_record(file)

    with pytest.raises(ValueError, match="Pass it when you open the file"):
        open_record(record, sha256=digest)
    with pytest.raises(ValueError, match="Pass it when you open the file"):
        burnish.load_record(nn.Linear(3, 2), record, sha256=digest)


def test_a_class_method_that_takes_arguments_says_where_the_sum_goes(
    tmp_path: Path,
) -> None:
    file = tmp_path / "net.mpk"
    saved(file)

    with pytest.raises(TypeError, match=r"open_record\(file, sha256=\.\.\.\)"):
        Built.from_record(file, sha256=OTHER)


class Built(burnish.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)


def test_the_error_pickles() -> None:
    error = PinnedDigestError("net.mpk", "a" * 64, OTHER)

    assert str(pickle.loads(pickle.dumps(error))) == str(error)
