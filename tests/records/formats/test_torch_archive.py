"""torch's own files: read without running anything that they hold."""

import copy
import errno
import io
import os
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.records import Record, RecordFormatError, open_record
from burnish.records.recorder import Recorder

from .torch_files import STATE, packed

Same = Callable[[torch.Tensor, torch.Tensor], bool]


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_a_state_dict_is_read_from_each_suffix(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"m{suffix}"
    file.write_bytes(packed(STATE))

    with open_record(file) as record:
        assert torch.equal(record["fc.weight"], STATE["fc.weight"])
        assert list(record.to_state_dict()) == list(STATE)
        assert record.verified == "none"


def test_files_of_old_torch_are_read() -> None:
    data = packed(STATE, _use_new_zipfile_serialization=False)

    assert torch.equal(open_record(data)["fc.weight"], STATE["fc.weight"])


def test_tensors_inside_extra_state_are_read_with_the_state_dict() -> None:
    state = {**STATE, "fc._extra_state": {"amax": torch.ones(2), "n": 3}}

    record = open_record(packed(state))

    assert set(record) >= set(STATE)
    assert record.extra()["fc._extra_state"]["n"] == 3
    assert torch.equal(record.extra()["fc._extra_state"]["amax"], torch.ones(2))
    again: Any = open_record(Recorder("json").dumps(record)).to_state_dict()
    assert torch.equal(again["fc._extra_state"]["amax"], torch.ones(2))


def test_a_module_with_extra_state_of_tensors_is_loaded_from_a_file_of_torch() -> None:
    class Counting(nn.Linear):
        amax = torch.zeros(2)

        def get_extra_state(self) -> Any:
            return {"amax": self.amax}

        def set_extra_state(self, state: Any) -> None:
            self.amax = state["amax"]

    net, other = Counting(2, 2), Counting(2, 2)
    net.amax = torch.ones(2)

    burnish.load_record(other, packed(net.state_dict()))

    assert torch.equal(other.amax, torch.ones(2))
    assert torch.equal(other.weight, net.weight)


def test_strides_ties_and_views_are_honoured(same: Same) -> None:
    base = torch.arange(12.0).view(3, 4)
    content = {
        "t": base.t(),
        "row": base[1],
        "tie": base.t(),
        "flat": torch.ones(1).expand(5),
    }

    record = open_record(packed(content))

    assert record["t"].stride() == base.t().stride()
    assert record["tie"] is record["t"]
    assert all(same(record[path], content[path]) for path in content)


def test_parameters_and_plain_values_stay_what_they_are() -> None:
    content = {"w": nn.Parameter(torch.ones(2)), "step": 3, "names": ["a", "b"]}

    record = open_record(packed(content))

    assert record.entries()[0].kind == "parameter"
    assert record.extra() == {"step": 3, "names": ["a", "b"]}


def test_it_is_written_again_in_any_format(same: Same) -> None:
    record = open_record(packed(STATE))

    again = open_record(Recorder("mpk", "zst").dumps(record))

    assert all(same(again[path], STATE[path]) for path in STATE)


class Code:
    def __init__(self, function: Callable[[str], Any], text: str) -> None:
        self.call = (function, (text,))

    def __reduce__(self) -> Any:
        return self.call


def scripted() -> bytes:
    with zipfile.ZipFile(memory := io.BytesIO(), "w") as archive:
        archive.writestr("m/constants.pkl", b"\x80\x02).")
        archive.writestr("m/data.pkl", b"\x80\x02).")
        archive.writestr("m/version", b"3")
    return memory.getvalue()


def compressed() -> bytes:
    with zipfile.ZipFile(memory := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\0" * 1_000_000)
    return memory.getvalue()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            packed({"w": torch.ones(1), "f": nn.Linear(1, 1)}),
            "class .*Linear, which is code",
        ),
        (packed([Code(print, "ran")]), "class .*print, which is code"),
        (packed([Code(os.mkdir, "made")]), r"a pickle that calls posix\.mkdir"),
        (packed(torch.ones(3)), "a Tensor without a state dict"),
        (packed({"lr": 0.1}), "a dict without a state dict"),
        (packed({1: torch.ones(1)}), "without a state dict"),
        (packed({"w": torch.ones(1).to_sparse()}), "torch.sparse_coo"),
        (
            packed({"w": torch.ones(1), "o": 1j}),
            "other content: o: a builtins.complex",
        ),
        (packed(STATE)[:-30], "damaged"),
        (packed(STATE)[:200], "damaged"),
        (b"PK\x03\x04", "damaged"),
        (b"\x80\x02", "damaged"),
        (b"\x80\x02" + b"]" * 2_000_000 + b".", "too many objects"),
        (compressed(), "compressed archive"),
        (packed({"w": torch.ones(1)}, pickle_protocol=4), "protocol above 3"),
        (scripted(), "damaged|TorchScript"),
    ],
)
def test_what_is_no_state_dict_is_refused(
    data: bytes, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RecordFormatError, match=problem):
        open_record(data).load_all()

    assert "ran" not in capsys.readouterr().out


def test_an_old_torch_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.1")

    with pytest.warns(UserWarning, match=r"torch 2\.9\.1 .* upgrade to torch 2\.10"):
        open_record(packed(STATE))


def test_nothing_is_written_in_this_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Record.from_state_dict(dict(STATE)).save(tmp_path / "m.pt")


def test_a_sparse_tensor_of_torchs_file_is_named_with_its_cure() -> None:
    with pytest.raises(RecordFormatError, match=r"'a'.*sparse_coo, expected a dense"):
        open_record(packed({"a": torch.eye(2).to_sparse(), "b": torch.ones(1)}))


def test_a_file_that_torch_cannot_read_back_is_not_called_damaged() -> None:
    file = io.BytesIO()
    data = {"a": torch.ones(1).to(torch.float8_e5m2)}
    torch.save(data, file, _use_new_zipfile_serialization=False)

    with pytest.raises(RecordFormatError) as caught:
        open_record(file.getvalue())

    assert "torch writes but cannot read" in str(caught.value)


def overlapping() -> bytes:
    """Return an archive of which two members are the same bytes."""
    with zipfile.ZipFile(memory := io.BytesIO(), "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}." + bytes(10_000))
        twin = copy.copy(archive.infolist()[0])
        twin.filename = "m/data/0"
        archive.filelist.append(twin)
    return memory.getvalue()


def test_an_archive_whose_members_overlap_is_refused() -> None:
    with pytest.raises(RecordFormatError, match="whose members overlap"):
        open_record(overlapping())


@pytest.mark.parametrize("opcode", [b"]", b"}", b"\x85", b"\x86", b"\x87", b")R"])
def test_a_pickle_of_more_objects_than_its_length_allows_is_refused(
    opcode: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.records.formats.torch_archive._FREE", 10_000)
    cost = 232 if opcode == b")R" else 64

    def problem(n: int) -> str:
        data = b"\x80\x02" + opcode * n
        with pytest.raises(RecordFormatError) as caught:
            open_record(data)
        return str(caught.value)

    most = (10_000 + 2 * 2) // (cost - 2 * len(opcode))
    assert "too many objects" not in problem(most)
    assert "too many objects" in problem(most + 1)


def test_as_many_objects_as_a_file_needs_are_read_in_both_kinds_of_file() -> None:
    names = {"w": torch.ones(1), "lists": [[] for _ in range(3000)]}

    for is_zip in (True, False):
        record = open_record(packed(names, _use_new_zipfile_serialization=is_zip))
        assert record.extra()["lists"] == names["lists"]


@pytest.mark.parametrize(
    ("version", "warns"),
    [("2.9.1", True), ("2.10.0", False), ("2.11.0a0+git1", False), ("3.0", False)],
)
def test_torch_is_old_before_2_10(
    version: str, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", version)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_record(packed(STATE))

    assert ["is vulnerable to" in str(w.message) for w in caught] == [True] * warns


def test_views_that_end_with_their_memory_are_read_and_no_longer_ones(
    same: Same,
) -> None:
    base = torch.arange(12.0)
    views = {
        "last": base[11:],
        "end": base[6:].view(2, 3),
        "steps": base[3::4],
        "none": base[12:],
        "whole": base,
    }

    record = open_record(packed(views))

    assert all(same(record[path], views[path]) for path in views)


def beyond(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """Return a file whose one tensor says another place in 4 values of memory."""

    class Said:
        def __reduce__(self) -> Any:
            storage = torch.ones(4).untyped_storage()
            typed: Any = torch.storage.TypedStorage
            whole = typed(wrap_storage=storage, dtype=torch.float32, _internal=True)
            rebuild = vars(torch)["_utils"]._rebuild_tensor_v2
            return rebuild, (whole, offset, size, stride, False, OrderedDict())

    memory = io.BytesIO()
    torch.save({"w": Said()}, memory)
    return memory.getvalue()


@pytest.mark.parametrize(
    ("place", "fits"),
    [
        ((0, (4,), (1,)), True),
        ((1, (3,), (1,)), True),
        ((0, (2, 2), (2, 1)), True),
        ((3, (9,), (0,)), True),
        ((1, (4,), (1,)), False),
        ((0, (5,), (1,)), False),
        ((0, (2, 3), (2, 1)), False),
        ((4, (1,), (1,)), False),
    ],
)
def test_a_tensor_that_reaches_beyond_its_memory_is_refused(
    place: Any, fits: bool
) -> None:
    data = beyond(*place)

    if fits:
        assert open_record(data)["w"].shape == place[1]
    else:
        with pytest.raises(RecordFormatError, match=r"'w' reaches beyond|damaged"):
            open_record(data)


def test_what_stands_beside_the_state_dict_is_told_when_it_is_saved_or_asked_for(
    tmp_path: Path,
) -> None:
    file, target = tmp_path / "last.pt", tmp_path / "last.mpk"
    torch.save({"model": STATE, "optimizer": {"state": {}}, "epoch": 3}, file)
    record = open_record(file)

    with pytest.warns(
        UserWarning, match=r"the rest of the file: optimizer, epoch.*save_record"
    ):
        record.save(target)
    with pytest.raises(AttributeError, match=r"'epoch'.*torch.load\(.*\)\['epoch'\]"):
        record.epoch  # noqa: B018  # the look-up is what raises
    with pytest.raises(KeyError, match="next to the state dict, and only the state"):
        record["optimizer"]

    assert list(open_record(target)) == list(STATE)


def test_what_was_chosen_of_a_file_with_more_in_it_is_saved_without_a_word(
    tmp_path: Path,
) -> None:
    file = tmp_path / "last.pt"
    torch.save({"model": STATE, "epoch": 3}, file)

    open_record(file, only="fc.**").save(tmp_path / "fc.mpk")

    assert all(path.startswith("fc.") for path in open_record(tmp_path / "fc.mpk"))


def test_a_storage_that_fails_while_it_is_read_is_not_called_a_damaged_file() -> None:
    class Lost(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return super().read(4 if count == 4 else 64)

    torch.save({"a": torch.ones(3)}, memory := io.BytesIO())

    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        open_record(Lost(memory.getvalue()))
