"""Tensors that files get wrong, and how two of them are compared."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from burnish.records import Record
from burnish.records.tensors.dtypes import BY_NAME

from .opened import TENSORS
from .threads import torch_threads

SHAPES = ((), (0,), (1,), (3,), (2, 3, 4), (0, 5))


BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def random_bits(
    dtype: torch.dtype, shape: tuple[int, ...], seed: int = 0
) -> torch.Tensor:
    count = 1
    for size in shape:
        count *= size
    if not count:
        return torch.zeros(0).to(dtype).view(shape)
    draw = torch.Generator().manual_seed(seed)
    n = count * dtype.itemsize
    raw = torch.randint(0, 256, (n,), dtype=torch.uint8, generator=draw)
    return (raw & 1 if dtype is torch.bool else raw).view(dtype).view(shape)


def bits_of(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().reshape(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    return flat.view(BITS[flat.itemsize]) if flat.numel() else torch.empty(0)


@pytest.fixture
def same() -> Callable[[torch.Tensor, torch.Tensor], bool]:
    """Whether two tensors have one dtype, one shape, and the same bits."""

    def compare(a: torch.Tensor, b: torch.Tensor) -> bool:
        if a.dtype is not b.dtype or a.shape != b.shape:
            return False
        return torch.equal(bits_of(a), bits_of(b))

    return compare


@pytest.fixture(scope="session")
def awkward() -> dict[str, torch.Tensor]:
    """Every dtype in every shape, every half, and memory in other orders."""
    tensors: dict[str, torch.Tensor] = {}
    for name, dtype in BY_NAME.items():
        if dtype is torch.complex32:
            continue
        for i, shape in enumerate(SHAPES):
            tensors[f"{name}.{i}"] = random_bits(dtype, shape, seed=i)
    patterns = torch.arange(1 << 16).to(torch.int16)
    tensors["float16.all"] = patterns.view(torch.float16)
    tensors["bfloat16.all"] = patterns.view(torch.bfloat16).clone()
    tensors["special"] = torch.tensor(
        [0.0, -0.0, float("inf"), -float("inf"), float("nan")]
    )
    tensors["nan.payload"] = (
        random_bits(torch.float32, (64,))
        .view(torch.int32)
        .bitwise_or(0x7F800001)
        .view(torch.float32)
    )
    tensors["channels_last"] = torch.randn(2, 3, 5, 5).to(
        memory_format=torch.channels_last
    )
    tensors["strided"] = torch.randn(10, 10).t()[::2]
    tensors["expanded"] = torch.randn(3, 1).expand(3, 4)
    tensors["unaligned"] = torch.randn(65)[1:]
    tensors["two_blocks"] = torch.randn((256 << 10) + 7)
    tensors["two_blocks.bf16"] = torch.randn((512 << 10) + 7).to(torch.bfloat16)
    return tensors


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "model.mpk"
    Record.from_state_dict(TENSORS).save(
        file, metadata={"epoch": 3, "note": {"a": [1]}}
    )
    return file


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Let a call have one helper, which is gone when it ends."""
    with torch_threads(2):
        yield
