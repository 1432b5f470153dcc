"""torch's own files: read without running anything that they hold."""

import io
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

Same = Callable[[torch.Tensor, torch.Tensor], bool]


def packed(content: object, **options: Any) -> bytes:
    memory = io.BytesIO()
    torch.save(content, memory, **options)
    return memory.getvalue()


STATE: OrderedDict[str, torch.Tensor] = OrderedDict(
    (("fc.weight", torch.arange(6.0).view(2, 3)), ("fc.bias", torch.ones(2)))
)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_a_state_dict_is_read_from_each_suffix(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"m{suffix}"
    file.write_bytes(packed(STATE))

    with open_record(file) as record:
        assert torch.equal(record["fc.weight"], STATE["fc.weight"])
        assert list(record.to_state_dict()) == list(STATE)
        assert record.verified == "none"


def test_the_file_is_mapped_where_it_may_be(tmp_path: Path) -> None:
    file = tmp_path / "m.pt"
    file.write_bytes(packed({"w": torch.ones(1 << 16)}))

    record = open_record(file)
    file.unlink()

    record["w"].add_(1)
    assert record["w"].sum() == 2 << 16


def test_files_of_old_torch_are_read() -> None:
    data = packed(STATE, _use_new_zipfile_serialization=False)

    assert torch.equal(open_record(data)["fc.weight"], STATE["fc.weight"])


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"state_dict": STATE, "epoch": 3}, "state_dict"),
        ({"epoch": 3, "loss": torch.tensor(0.1), "model": STATE}, "model"),
        (
            {"module": STATE, "optimizer": {"state": {0: {"m": torch.ones(1)}}}},
            "module",
        ),
        ({"params": STATE}, "params"),
        ({"a": {"b": STATE}}, "a.b"),
        ({"model": STATE, "ema": dict(STATE)}, "model"),
        ({"net": STATE, "lr": [0.1]}, "net"),
    ],
)
def test_the_state_dict_inside_a_checkpoint_is_found(content: Any, path: str) -> None:
    record = open_record(packed(content))

    assert set(record) == set(STATE)


def test_weights_beside_the_state_dict_are_told() -> None:
    data = packed(
        {"model": STATE, "logit_scale": torch.ones(1), "loss": torch.ones(())}
    )

    with pytest.warns(UserWarning, match=r"'model', and not the 1 .*: logit_scale"):
        record = open_record(data)

    assert set(record) == set(STATE)


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


def test_of_two_state_dicts_none_is_guessed() -> None:
    data = packed({"generator": STATE, "critic": dict(STATE)})

    with pytest.raises(
        RecordFormatError, match=r"2 state dicts: generator, critic.*\['generator'\]"
    ):
        open_record(data)


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
    def __reduce__(self) -> Any:
        return (print, ("ran",))


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
        (packed([Code()]), "class .*print, which is code"),
        (packed(torch.ones(3)), "a Tensor without a state dict"),
        (packed({"lr": 0.1}), "a dict without a state dict"),
        (packed({1: torch.ones(1)}), "without a state dict"),
        (packed({"w": torch.ones(1).to_sparse()}), "torch.sparse_coo"),
        (
            packed({"w": torch.ones(1), "o": {1, 2}}),
            "something else: o: a builtins.set",
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
    with pytest.raises(ValueError, match="only read"):
        Record.from_state_dict(dict(STATE)).save(tmp_path / "m.pt")
