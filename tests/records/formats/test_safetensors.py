"""`.safetensors`: written for the library and read from it."""

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch as peer
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from burnish import from_record, save_record
from burnish.records import (
    Record,
    RecordChecksumError,
    RecordError,
    RecordMismatchError,
    open_record,
)

from .safetensors_files import (
    SUM,
    Tensors,
    file_of,
    header_of,
    ours_with,
    row,
    saved,
    setting,
)

Same = Callable[[torch.Tensor, torch.Tensor], bool]


NONE_THERE = ("complex128",)


def supported(tensors: Tensors) -> Tensors:
    return {p: t for p, t in tensors.items() if not p.startswith(NONE_THERE)}


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.z = nn.Linear(3, 4, bias=False)
        self.a = nn.Linear(3, 4, bias=False)
        self.a.weight = self.z.weight
        self.n = nn.Linear(2, 2)


def test_every_dtype_comes_back_bit_for_bit(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file, tensors = tmp_path / "m.safetensors", supported(awkward)

    Record.from_state_dict(tensors).save(file)

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in tensors.items() if not same(record[p], t)] == []
        assert record.verified == "all"


def test_the_library_reads_what_we_write(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "m.safetensors"
    tensors = {p: t for p, t in supported(awkward).items() if "e8m0" not in p}

    Record.from_state_dict(tensors).save(file)

    found = peer.load_file(file)
    assert found.keys() == tensors.keys()
    assert [p for p, t in tensors.items() if not same(found[p], t)] == []


def test_we_read_what_the_library_writes(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "m.safetensors"
    tensors = {
        p: t.clone(memory_format=torch.contiguous_format)
        for p, t in supported(awkward).items()
    }
    peer.save_file(tensors, file, metadata={"note": "theirs"})

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in tensors.items() if not same(record[p], t)] == []
        assert record.metadata["note"] == "theirs"
        assert record.verified == "none"


ODD = st.lists(
    st.tuples(
        st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool]),
        st.integers(0, 40),
    ),
    min_size=1,
    max_size=9,
)
"""Dtypes and lengths, most of which leave what follows them unaligned."""


@given(ODD)
def test_tensors_lie_without_gaps_each_as_aligned_as_it_is_long(
    rows: list[tuple[torch.dtype, int]],
) -> None:
    tensors = {f"{i}": torch.ones(n, dtype=dtype) for i, (dtype, n) in enumerate(rows)}
    data = saved(tensors)

    header = header_of(data)
    del header["__metadata__"]

    places = [row["data_offsets"] for row in header.values()]
    assert [begin for begin, _ in places] == [0, *(end for _, end in places[:-1])]
    assert all(begin % math.gcd(end - begin, 64) == 0 for begin, end in places)
    assert (len(data) - places[-1][1]) % 64 == 0
    read = peer.load(data)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("width", [33, 64, 515])
def test_a_module_that_is_mapped_gives_the_bits_of_the_saved_one(
    tmp_path: Path, width: int
) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(7, width), nn.Tanh(), nn.Linear(width, 5))

    # One sample is a product of a matrix and a vector, which depends on alignment.
    net, sample = build(), torch.randn(1, 7)
    save_record(net, tmp_path / "net.safetensors")

    loaded = from_record(build, tmp_path / "net.safetensors")

    assert torch.equal(loaded(sample), net(sample))
    assert all(param.data_ptr() % 16 == 0 for param in loaded.parameters())


def test_ties_are_written_as_save_model_does_and_read_back(tmp_path: Path) -> None:
    net, ours, theirs = Tied(), tmp_path / "o.safetensors", tmp_path / "t.safetensors"
    peer.save_model(net, str(theirs))
    Record.from_state_dict(net.state_dict()).save(ours)

    for file in (ours, theirs):
        record = open_record(file)
        assert record["a.weight"] is record["z.weight"]
        fresh = Tied()
        assert not any(peer.load_model(fresh, str(file)))
        assert torch.equal(fresh.z.weight, net.z.weight)
    assert header_of(ours.read_bytes())["__metadata__"]["z.weight"] == "a.weight"
    assert header_of(theirs.read_bytes())["__metadata__"]["z.weight"] == "a.weight"


def test_equal_records_give_equal_bytes() -> None:
    tensors = {"b": torch.arange(5.0), "a": torch.ones(3)}

    assert saved(tensors) == saved({k: v.clone() for k, v in tensors.items()})


def test_data_at_odd_addresses_is_copied(same: Same) -> None:
    values = torch.arange(3, dtype=torch.float32)
    header = {"a": row("U8", [1], 0, 1), "b": row("F32", [3], 1, 13)}

    record = open_record(file_of(header, b"\0" + values.numpy().tobytes()))

    assert same(record["b"], values)
    assert record["b"].data_ptr() % 4 == 0


def test_damage_to_our_file_names_the_tensor() -> None:
    data = bytearray(saved({"w": torch.ones(9)}))
    data[-1] ^= 1

    with pytest.raises(RecordChecksumError, match="w"):
        open_record(bytes(data))["w"]


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex32])
def test_a_dtype_that_the_format_has_not_is_refused_by_name(dtype: torch.dtype) -> None:
    values = torch.view_as_complex(torch.ones(1, 2, dtype=dtype.to_real()))

    with pytest.raises(RecordError, match=r"w: .safetensors cannot hold torch.complex"):
        saved({"w": values})


def test_records_with_fields_are_refused_with_the_format_that_takes_them(
    tmp_path: Path,
) -> None:
    class Step(Record):
        t: int
        m: torch.Tensor

    with pytest.raises((ValueError, RecordMismatchError), match=r"\.mpk"):
        Step(t=1, m=torch.ones(2)).save(tmp_path / "s.safetensors")


@pytest.mark.parametrize("name", ["", "..", "a..b", ".a", "a.", "a\0b", "a\nb"])
def test_a_file_of_others_may_have_any_names(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    peer.save_file({name: torch.ones(2), "w": torch.zeros(1)}, file)

    names = {*open_record(file).to_state_dict()}

    assert names == {*peer.load_file(file)} == {name, "w"}


def test_a_file_without_tensors_is_an_empty_record() -> None:
    assert len(open_record(peer.save({}))) == 0
    assert len(open_record(saved({}))) == 0


def test_a_sum_that_is_another_names_its_tensor() -> None:
    record = open_record(ours_with(setting("tensors", "xxh3", to=[SUM, SUM])))

    for path in ("a", "b"):
        with pytest.raises(RecordChecksumError, match=path):
            _ = record[path]


def test_a_save_takes_little_memory_for_an_entry(tmp_path: Path) -> None:
    n = 20_000
    value = torch.zeros(())
    record = Record.from_state_dict({f"layers.{i}.w": value for i in range(n)})
    record.save(tmp_path / "first.safetensors")

    tracemalloc.start()
    record.save(tmp_path / "m.safetensors")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # The rows of its tensors as maps would take 450 more.
    assert peak / n < 800
