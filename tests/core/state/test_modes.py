"""Torch's modes: in force in the block, and never after it."""

from collections.abc import Callable

import pytest
import torch
from tests.campaigns.injection import injected

from burnish.core.state.build import Build
from burnish.core.state.draws import NotedDraws
from burnish.core.state.modes import in_force, on_device
from burnish.records.grad_mode import no_grad

_len_torch_function_stack: Callable[[], int] = torch._C._len_torch_function_stack


def build() -> None:
    with on_device("meta"), no_grad():
        made = torch.empty(1)
        assert made.is_meta
        assert not torch.is_grad_enabled()


def draw() -> None:
    with in_force(NotedDraws(Build())):
        assert _len_torch_function_stack() == 1


@pytest.mark.parametrize("build", [build, draw])
def test_modes_end_with_their_block_wherever_an_exception_comes(
    build: Callable[[], None],
) -> None:
    n = 0

    def prepare() -> Callable[[], object]:
        return build

    for place in injected(prepare):
        n += 1
        assert not torch.empty(1).is_meta, place
        assert torch.is_grad_enabled(), place
        assert _len_torch_function_stack() == 0, place

    assert n > 20


def test_none_leaves_the_device_that_is_in_force() -> None:
    with on_device("meta"), on_device(None):
        assert torch.empty(1).is_meta

    assert not torch.empty(1).is_meta
