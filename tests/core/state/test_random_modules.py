# pyright: reportPrivateUsage=false
# Nn.Module's tables have no public names.
"""A module from its record is the one that its constructor and a copy would give."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import from_record, into_record

from ...formats_of_records import SUFFIXES
from .random_modules import RandomModule  # a neighbour, not the package

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def built(seed: int) -> RandomModule:
    torch.manual_seed(seed % 3)
    return RandomModule(seed)


def other_values(module: nn.Module, seed: int) -> None:
    """Change all that a record holds, as training does: where it lies."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            noise = torch.randint(1, 100, tensor.shape, generator=generator)
            tensor.copy_(noise.to(tensor.dtype))


def copied(module: nn.Module, source: nn.Module, *, transient: bool) -> nn.Module:
    """Return ``module`` with the stored values of ``source`` copied into its memory."""
    with torch.no_grad():
        for (_, owner), (_, other) in zip(
            module.named_modules(), source.named_modules(), strict=True
        ):
            for name, tensor in [*owner._parameters.items(), *owner._buffers.items()]:
                is_stored = transient or name not in owner._non_persistent_buffers_set
                if tensor is not None and is_stored:
                    tensor.copy_(getattr(other, name))
    return module


def contents(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Give everything that a random module holds, in one order."""
    for prefix, owner in module.named_modules(remove_duplicate=False):
        for name, value in sorted(vars(owner).items()):
            if isinstance(value, Tensor):
                yield f"{prefix}.{name}", value
        for name, value in [*owner._parameters.items(), *owner._buffers.items()]:
            if value is not None:
                yield f"{prefix}.{name}", value
        for name, value in getattr(owner, "kept", {}).items():
            yield f"{prefix}.{name}", value[0] if isinstance(value, list) else value


def assert_alike(found: nn.Module, expected: nn.Module) -> None:
    ours, theirs = list(contents(found)), list(contents(expected))
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    there: dict[int, int] = {}
    here: dict[int, int] = {}
    for (path, a), (_, b) in zip(ours, theirs, strict=True):
        assert type(a) is type(b), path
        if isinstance(a, float):
            assert a == b or a != a, path
            continue
        assert values(a) == values(b), f"{path}: {a} instead of {b}"
        assert (a.dtype, a.shape) == (b.dtype, b.shape), path
        if isinstance(a, Tensor):
            assert a.stride() == b.stride(), path
            # A record has one flag for a memory, whichever its parameters have.
            assert a.requires_grad == b.requires_grad or is_aliased(b, expected), path
        if values(a):
            # Tensors of one memory lie as far apart as they should.
            distance = address(a) - address(b)
            assert there.setdefault(owner_of(b, theirs), distance) == distance, path
            assert here.setdefault(owner_of(a, ours), distance) == distance, path


def is_aliased(tensor: Tensor, module: nn.Module) -> bool:
    """Return whether several parameters stand on the memory of ``tensor``."""
    storage = tensor.untyped_storage().data_ptr()
    places = [p.untyped_storage().data_ptr() for p in module.parameters()]
    return places.count(storage) > 1


def values(value: Any) -> bytes:
    if isinstance(value, Tensor):
        flat = value.detach().contiguous().reshape(-1)
        return bytes(flat.view(torch.uint8).tolist()) if flat.numel() else b""
    return bytes(np.ascontiguousarray(value).tobytes())


def address(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.data_ptr()
    return int(value.__array_interface__["data"][0])


def owner_of(value: Any, items: list[tuple[str, Any]]) -> int:
    """Return where the memory begins that ``value`` stands on."""
    if isinstance(value, Tensor):
        return value.untyped_storage().data_ptr()
    for _, other in items:
        if isinstance(other, Tensor):
            storage = other.untyped_storage()
            if 0 <= address(value) - storage.data_ptr() < storage.nbytes():
                return storage.data_ptr()
    return address(value)


def check(seed: int, suffix: str, folder: Path) -> None:
    original = built(seed)
    other_values(original, seed)
    source: Any = folder / f"net.{suffix}"
    if suffix == "live":
        source = into_record(original)
    else:
        burnish.save_record(original, source)
    has_transient = suffix != "safetensors"
    expected = copied(built(seed), original, transient=has_transient)

    torch.manual_seed(seed % 3)
    loaded = from_record(partial(RandomModule, seed), source)
    filled = built(seed)
    burnish.load_record(filled, source)

    assert_alike(loaded, expected)
    assert_alike(filled, expected)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("suffix", ["live", *SUFFIXES])
def test_a_random_module_comes_back_with_its_values_and_what_shares_memory(
    suffix: str, tmp_path: Path
) -> None:
    for seed in range(40):
        check(seed, suffix, tmp_path)
