# pyright: reportPrivateUsage=false
# How many modes torch has in force has no public name.
"""Torch's modes: in force in the block, and never after it."""

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.campaigns.injection import injected
from torch import nn

import burnish
from burnish.config.process.interrupts import leaving_nothing_open
from burnish.core import from_record, into_record, load_record
from burnish.core.state.uninitialized.build import UnfilledBuild
from burnish.core.state.uninitialized.modes import call_under, construct_on, in_force
from burnish.core.state.uninitialized.uninitialized import NotedDraws
from burnish.records.tensors.grad_mode import no_grad

_len_torch_function_stack: Callable[[], int] = torch._C._len_torch_function_stack


def made_on_meta() -> None:
    with no_grad():
        made = torch.empty(1)
        assert made.is_meta
        assert not torch.is_grad_enabled()


def n_modes_is_one() -> None:
    assert _len_torch_function_stack() == 1


def build() -> None:
    construct_on("meta", made_on_meta)


def draw() -> None:
    call_under(NotedDraws(UnfilledBuild()), n_modes_is_one)


def guard() -> None:
    with in_force(NotedDraws(UnfilledBuild())):
        n_modes_is_one()


@pytest.mark.parametrize("build", [build, draw, guard])
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
    tensor = construct_on("meta", lambda: construct_on(None, lambda: torch.empty(1)))

    assert tensor.is_meta
    assert not torch.empty(1).is_meta


class _Interrupt:
    """Raises KeyboardInterrupt, as Ctrl-C does, when the n-th mode is entered."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        if event == "return" and frame.f_code.co_name in ("__enter__", "_enter"):
            self.n -= 1
            if self.n == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_no_mode_outlives_an_interrupt_whose_traceback_is_kept(n: int) -> None:
    caught: list[BaseException] = []
    sys.setprofile(_Interrupt(n))
    try:
        construct_on("meta", made_on_meta)
    except KeyboardInterrupt as error:
        caught.append(error)  # its frames stay, and with them what it abandoned
    finally:
        sys.setprofile(None)

    assert not torch.empty(1).is_meta

    def free() -> None:
        caught.clear()
        gc.collect()

    construct_on("meta", free)
    assert not torch.empty(1).is_meta
    assert _len_torch_function_stack() == 0


class _InterruptOfTorch:
    """Raises KeyboardInterrupt when the n-th function is called by torch's modes."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        caller = frame.f_back.f_code.co_filename if frame.f_back else ""
        if event == "call" and caller.endswith(("overrides.py", "contextlib.py")):
            self.n -= 1
            if self.n == 0:
                raise KeyboardInterrupt


@pytest.mark.usefixtures("quick_collections")
def test_a_mode_that_torch_popped_for_a_moment_does_not_come_back_after_its_end() -> (
    None
):
    n = 0
    is_interrupted = True
    while is_interrupted:
        n += 1
        caught: list[BaseException] = []
        sys.setprofile(_InterruptOfTorch(n))
        try:
            construct_on("meta", lambda: nn.Linear(2, 2))
            is_interrupted = False
        except BaseException as error:  # torch may raise another for it
            caught.append(error)
        finally:
            sys.setprofile(None)

        assert not torch.empty(1).is_meta, n
        assert torch.is_grad_enabled(), n
        caught.clear()
        gc.collect()
        assert not torch.empty(1).is_meta, n
        assert _len_torch_function_stack() == 0, n
    assert n > 20


class _AtFirstEndOfBlock:
    """Raises KeyboardInterrupt as `contextlib` begins to leave a block, once."""

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        if event == "call" and frame.f_code.co_name == "__exit__":
            sys.setprofile(None)
            raise KeyboardInterrupt


def test_the_grad_mode_is_put_back_where_an_inner_block_ends_after_an_outer_one() -> (
    None
):
    @leaving_nothing_open
    def work() -> None:
        with no_grad(), no_grad():
            sys.setprofile(_AtFirstEndOfBlock())

    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert torch.is_grad_enabled()
    finally:
        sys.setprofile(None)
        torch.set_grad_enabled(True)


_OUTER: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
    "inference": torch.inference_mode,
    "no inference": lambda: torch.inference_mode(mode=False),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "meta device": lambda: torch.device("meta"),
}


def nets(outer: str) -> Any:
    with _OUTER[outer]() if outer != "meta device" else torch.enable_grad():
        net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    net[0].requires_grad_(requires_grad=False)
    return net


@pytest.mark.parametrize("dtype", [None, torch.float16])
@pytest.mark.parametrize("outer", _OUTER)
@pytest.mark.parametrize("origin", _OUTER)
@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("is_built", [True, False])
def test_modules_are_saved_and_loaded_in_every_mode_and_stay_what_they_were(
    outer: str, origin: str, dtype: Any, is_live: bool, is_built: bool
) -> None:
    source, target = nets("enable_grad"), nets(origin)
    is_inference = [t.is_inference() for t in target.state_dict().values()]

    with _OUTER[outer]():
        data = into_record(source) if is_live else burnish.save_record(source)
        record = burnish.open_record(data, dtype=dtype)
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        if is_built:
            from_record(lambda: target, record)
        else:
            load_record(target, record)
        assert modes == (torch.is_grad_enabled(), torch.is_inference_mode_enabled())

    for (path, tensor), stored in zip(
        target.state_dict().items(), source.state_dict().values(), strict=True
    ):
        assert torch.allclose(tensor.float(), stored.float(), atol=1e-3), path
    assert [t.is_inference() for t in target.state_dict().values()] == is_inference
    if not any(is_inference):
        out = target.float()(torch.ones(3, 2))
        out.sum().backward()
        assert target[2].weight.grad is not None


def test_a_module_that_is_built_in_inference_mode_computes() -> None:
    source = nets("enable_grad").eval()
    data = burnish.save_record(source)

    with torch.inference_mode():
        loaded = from_record(lambda: nets("enable_grad"), data).eval()
        assert torch.equal(loaded(torch.ones(1, 2)), source(torch.ones(1, 2)))
