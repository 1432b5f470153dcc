import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import burnish

from ..formats_of_records import SUFFIXES
from .awkward import ZOO, example

pytestmark = pytest.mark.usefixtures("poisoned_memory")

NOT_IN_SAFETENSORS = {"BufferFromParameter", "Complex", "ExtraState"}
"""Modules whose transient buffers, complex numbers or extra state would be lost."""

CASES = [
    (name, suffix)
    for suffix in SUFFIXES
    for name in ZOO
    if suffix != "safetensors" or name not in NOT_IN_SAFETENSORS
]


def built(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return factory().eval()


def output(module: nn.Module) -> Tensor:
    with torch.no_grad():
        result: Tensor = module.eval()(example())
    return result


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_an_awkward_module_is_built_from_its_record(
    name: str, suffix: str, tmp_path: Path
) -> None:
    module = built(ZOO[name], seed=1)
    expected = output(module)
    file = tmp_path / f"net.{suffix}"
    burnish.save_record(module, file)

    torch.manual_seed(2)
    loaded = burnish.from_record(ZOO[name], file)

    assert torch.allclose(output(loaded), expected, rtol=1e-5)
    assert_same_tensors(loaded, module)


@pytest.mark.parametrize("name", ZOO)
def test_an_awkward_module_is_filled_from_its_record(name: str, tmp_path: Path) -> None:
    module = built(ZOO[name], seed=1)
    file = tmp_path / "net.mpk"
    burnish.save_record(module, file)
    other = built(ZOO[name], seed=2)
    tensors = [*other.parameters(), *other.buffers()]
    addresses = [tensor.data_ptr() for tensor in tensors]

    burnish.load_record(other, file)

    assert_same_tensors(other, module)
    after = [*other.parameters(), *other.buffers()]
    assert all(a is b for a, b in zip(tensors, after, strict=True))
    assert [tensor.data_ptr() for tensor in after] == addresses


@pytest.mark.parametrize("name", ZOO)
def test_an_awkward_module_comes_back_from_a_live_record_without_sharing_memory(
    name: str,
) -> None:
    module = built(ZOO[name], seed=1)
    before = copy.deepcopy(module.state_dict())

    loaded = burnish.from_record(ZOO[name], burnish.core.into_record(module))
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.copy_(torch.zeros_like(parameter))

    for path, value in module.state_dict().items():
        if isinstance(value, Tensor):
            assert equal(value, before[path]), path


@pytest.mark.parametrize("name", ZOO)
def test_the_state_dict_of_the_record_is_that_of_the_module(name: str) -> None:
    module = built(ZOO[name], seed=1)

    state = burnish.core.into_record(module).to_state_dict()

    expected = module.state_dict()
    assert set(state) == set(expected)
    for path, value in expected.items():
        if isinstance(value, Tensor):
            assert equal(state[path], value), path


def assert_same_tensors(loaded: nn.Module, module: nn.Module) -> None:
    for kind in ("named_parameters", "named_buffers"):
        expected = dict(getattr(module, kind)(remove_duplicate=False))
        found = dict(getattr(loaded, kind)(remove_duplicate=False))
        assert set(found) == set(expected)
        for path, tensor in expected.items():
            assert type(found[path]) is type(tensor), path
            assert equal(found[path], tensor), path
            assert found[path].requires_grad == tensor.requires_grad, path
    n_distinct = len({id(p) for p in module.parameters()})
    assert len({id(p) for p in loaded.parameters()}) == n_distinct


def equal(a: Tensor, b: Tensor) -> bool:
    if a.dtype.itemsize == 1 and a.is_floating_point():
        return a.dtype is b.dtype and torch.equal(a.float(), b.float())
    return a.dtype is b.dtype and torch.equal(a, b)
