"""`.mpk.zst`: any zstd tool's file, whose content is any MessagePack reader's."""

import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch

from burnish.records import (
    PrecisionError,
    Record,
    RecordChecksumError,
    open_record,
)
from burnish.records.recorder import Recorder

from ..threads import torch_threads
from .zstd_files import ZST, Same, Tensors, content_of, saved

TINY = Path(__file__).parents[1] / "tiny_reader.py"


def test_every_dtype_and_shape_comes_back_bit_for_bit(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    file = tmp_path / "all.mpk.zst"

    Record.from_state_dict(awkward).save(file)

    with open_record(file) as record:
        record.load_all()
        assert [p for p, t in awkward.items() if not same(record[p], t)] == []


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the zstd tool")
def test_the_zstd_tool_tests_and_unpacks_it_into_an_mpk(
    awkward: Tensors, same: Same, tmp_path: Path
) -> None:
    packed, plain = tmp_path / "m.mpk.zst", tmp_path / "m.mpk"
    Record.from_state_dict(awkward).save(packed)

    subprocess.run(["zstd", "-q", "-t", packed], check=True)
    subprocess.run(["zstd", "-q", "-d", packed, "-o", plain], check=True)

    record = open_record(plain)
    record.load_all()
    assert [p for p, t in awkward.items() if not same(record[p], t)] == []


@pytest.mark.parametrize("precision", ["full", "half", "bfloat16"])
def test_a_reader_of_40_lines_reads_the_content(
    precision: Any, tmp_path: Path, same: Same
) -> None:
    read = runpy.run_path(str(TINY))["read"]
    tensors = {"a": torch.randn(700, 400), "b": torch.randn(3), "n": torch.arange(9)}
    packed, plain = tmp_path / "m.mpk.zst", tmp_path / "m.mpk"
    Record.from_state_dict(tensors).save(packed, precision=precision)
    plain.write_bytes(content_of(packed.read_bytes()))

    found = read(plain)

    record = open_record(packed)
    assert all(same(found[path], record[path]) for path in tensors)


def test_the_content_is_messagepack_and_marks_planes() -> None:
    document: Any = msgpack.unpackb(
        content_of(saved({"f": torch.randn(9), "i": torch.arange(3)}))
    )

    assert msgpack.unpackb(document["header"])["tensors"]["planes"] == [0]


@pytest.mark.parametrize(
    ("dtype", "most"),
    [(torch.float32, 0.835), (torch.bfloat16, 0.665), (torch.float16, 0.845)],
)
def test_normal_weights_shrink_as_far_as_their_exponents_allow(
    dtype: torch.dtype, most: float
) -> None:
    weights = (torch.randn(1 << 20) * 0.02).to(dtype)

    assert len(saved({"w": weights})) <= most * weights.nbytes


def test_zeros_and_rounded_values_take_what_their_bits_hold() -> None:
    zeros = torch.zeros(1 << 20)
    rounded = torch.randn(1 << 20).to(torch.bfloat16).to(torch.float32)

    assert len(saved({"w": zeros})) < 4_000
    assert len(saved({"w": rounded})) < 0.345 * rounded.nbytes


def test_many_small_entries_cost_little_more_than_their_bytes() -> None:
    tensors = {f"layers.{i}.bias": torch.randn(64) for i in range(500)}
    raw = sum(tensor.nbytes for tensor in tensors.values())

    assert len(saved(tensors)) < 1.25 * raw


def test_a_long_tensor_is_decoded_by_threads_in_order(same: Same) -> None:
    values = torch.arange(10 << 20).to(torch.float32)

    assert same(open_record(saved({"w": values}))["w"], values)


def test_equal_records_give_equal_bytes() -> None:
    tensors = {"a": torch.arange(500.0), "b": torch.ones(3)}

    assert saved(tensors) == saved({k: v.clone() for k, v in tensors.items()})


def mixed_tensors() -> Tensors:
    """Return what is coded in every way, with chunks that no block begins with."""
    draw = torch.Generator().manual_seed(0)
    return {
        "wide": torch.randn(3000, 1000, generator=draw),
        "turned": torch.randn(513, 777, generator=draw).t(),
        "numbers": torch.arange(1 << 20),
        "none": torch.empty(0, 3),
        "half": torch.randn(900, 900, generator=draw).to(torch.bfloat16),
        "rounded": torch.randn(1 << 19, generator=draw).bfloat16().float(),
        "float8": torch.randn(1 << 20, generator=draw).to(torch.float8_e4m3fn),
        **{f"s{i}": torch.randn(64, 64, generator=draw) for i in range(20)},
        "last": torch.randn(1 << 20, generator=draw),
    }


@pytest.mark.parametrize("precision", [None, "half"])
def test_any_number_of_threads_gives_the_same_bytes(precision: Any, same: Same) -> None:
    record = Record.from_state_dict(mixed_tensors())
    files: set[bytes] = set()
    for count in (1, 2, 4, 4):
        with torch_threads(count):
            files.add(ZST.dumps(record, precision=precision))
            if precision is None:
                with open_record(max(files)) as opened:
                    opened.load_all()
                    loaded = {path: opened[path] for path in mixed_tensors()}
                assert all(
                    same(loaded[path], tensor)
                    for path, tensor in mixed_tensors().items()
                )

    assert len(files) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_save_in_inference_mode_leaves_nothing_that_later_ones_stumble_over(
    count: int, same: Same
) -> None:
    tensors = {"w": torch.randn(3 << 20)}
    with torch_threads(count):
        with torch.inference_mode():
            assert same(open_record(saved(tensors))["w"], tensors["w"])
        assert same(open_record(saved(tensors))["w"], tensors["w"])
        with torch.inference_mode():
            assert same(open_record(saved(tensors))["w"], tensors["w"])


def test_an_error_of_a_conversion_names_its_entry() -> None:
    tensors = mixed_tensors() | {"last": torch.full((1 << 20,), 1e30)}
    with torch_threads(2), pytest.raises(PrecisionError, match="last"):
        ZST.dumps(Record.from_state_dict(tensors), precision="half")


def test_a_level_applies_to_what_is_no_float() -> None:
    record = Record.from_state_dict({"i": torch.arange(1 << 16) // 7})

    assert len(Recorder("mpk", "zst", level=19).dumps(record)) < len(ZST.dumps(record))


def test_damage_names_the_entry() -> None:
    data = bytearray(saved({"first": torch.randn(1 << 16), "second": torch.randn(9)}))
    data[len(data) // 2] ^= 1

    with pytest.raises(RecordChecksumError, match="first"):
        open_record(bytes(data)).load_all()


def test_entries_too_long_for_one_piece_are_read_from_several(
    monkeypatch: pytest.MonkeyPatch, same: Same
) -> None:
    for name in ("layout.LONGEST_BIN", "layout.PART", "messagepack.PART"):
        monkeypatch.setattr(f"burnish.records.formats.{name}", 1 << 20)
    monkeypatch.setattr("burnish.records.formats.zstd_messagepack.PART", 1 << 20)
    tensors = {
        "f": torch.randn((256 << 10) * 3 + 5),
        "h": torch.randn((512 << 10) * 2 + 1).half(),
        "i": torch.arange(400_000),
        "s": torch.randn(3),
    }

    record = open_record(saved(tensors))
    record.load_all()

    assert all(same(record[path], tensors[path]) for path in tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["random", "rounded", "zeros"])
def test_planes_stay_in_order_whatever_is_coded_gathered_or_framed_as_it_is(
    dtype: torch.dtype, kind: str, same: Same
) -> None:
    sizes = (1, 511, 512, 513, 5000, 32_768, 32_769, 40_000, 65_536, 65_537, 131_073)
    made: dict[str, Callable[[int], torch.Tensor]] = {
        "random": torch.randn,
        # The low bits of each value are zeros, and the others are not.
        "rounded": lambda n: torch.randn(n).to(torch.bfloat16).float(),
        "zeros": torch.zeros,
    }
    tensors = {str(n): made[kind](n).to(dtype) for n in sizes}

    record = open_record(saved(tensors))

    assert [n for n, tensor in tensors.items() if not same(record[n], tensor)] == []


def test_any_kind_of_payload_comes_back_at_any_level(same: Same) -> None:
    tensors = {
        "e4m3": torch.randn(3000).to(torch.float8_e4m3fn),
        "i": torch.arange(3000),
        "b": torch.arange(3000) % 3 == 0,
        "f64": torch.randn(3000, dtype=torch.float64),
        "c": torch.randn(3000, dtype=torch.complex64),
    }

    for level in (-5, 0, 3, 19):
        data = Recorder("mpk", "zst", level=level).dumps(
            Record.from_state_dict(tensors)
        )
        record = open_record(data)
        assert all(same(record[path], tensors[path]) for path in tensors)
