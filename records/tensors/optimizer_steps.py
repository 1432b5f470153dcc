"""The tensors that optimizers will change, and a call before they do."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ...config.process.interrupts import suppressed
from .memory import storage_of
from .torch_internals import pre_hooks_of_all, step_wrapper, untraced

OURS = "calls_before_steps"
"""The attribute of a ``step`` that makes the call itself, without torch's wrapper."""

_calls: list[Callable[[], object]] = []
_hooks: list[Any] = []
"""The single hook that makes the calls, once it exists."""

_optimizers: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""Known optimizers by `id`: they may be equal to each other, or not hashable."""


def call_before_steps(function: Callable[[], object]) -> None:
    """Call ``function`` before every step of an optimizer, from now on.

    It cannot be removed: torch forbids that while another thread's step calls hooks.
    """
    if function in _calls:
        return
    _calls.append(function)
    if not _hooks:
        _hooks.append(register_optimizer_step_pre_hook(_before_step))
        # Optimizers created later are registered at their first step.
        for value in gc.get_objects():
            # Proxies answer isinstance with code of their own.
            if issubclass(type(value), torch.optim.Optimizer):
                note_optimizer(value)


def note_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Register an optimizer before its first step."""
    with suppress(TypeError):  # one with slots that does not allow weak references
        _optimizers[id(optimizer)] = optimizer


def has_hooks_of_others() -> bool:
    """Return whether other code has a hook before every step of an optimizer."""
    return len(pre_hooks_of_all) > len(_hooks)


def stepped_storages(least: int) -> set[int]:
    """Return the memory, by `storage_of`, that does not change without that call.

    It is that of parameters and states of optimizers whose step makes it. Tensors of
    less than ``least`` bytes are left out.
    """
    storages = set[int]()
    for reference in _optimizers.valuerefs():
        optimizer = reference()
        # A user's optimizer may have any groups and states.
        with suppressed(Exception):
            if optimizer is not None and _makes_call(optimizer):
                tensors = [*_tensors_of(optimizer)]
                storages.update(storage_of(t) for t in tensors if t.nbytes >= least)
    return storages - {0}


def _makes_call(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether its ``step`` is in torch's wrapper, or is one of ours."""
    step = type(optimizer).step
    wrapper_code = getattr(step, "__code__", None)
    return wrapper_code is step_wrapper or getattr(step, OURS, False) is True


def _tensors_of(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]
    yield from _tensors_in(list(optimizer.state.values()))


def _tensors_in(values: Iterable[object]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            yield from _tensors_in(list(value.values()))
        elif isinstance(value, list | tuple):
            yield from _tensors_in(value)


@untraced
def _before_step(
    optimizer: torch.optim.Optimizer, args: Any, kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]] | None:
    """Make the calls, or return arguments with a closure that makes them."""
    if id(optimizer) not in _optimizers:
        note_optimizer(optimizer)
    closure = kwargs.get("closure", args[1] if len(args) == 2 else None)
    if closure is None or not _begins_with_closure(optimizer):
        _make_calls()
        return None

    # Lightning runs forward and backward passes in it, which change no parameter.
    def closure_and_calls() -> Any:
        result = closure()
        _make_calls()
        return result

    return args[:1], {**kwargs, "closure": closure_and_calls}


def _make_calls() -> None:
    for call in _calls:
        call()


def _begins_with_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether nothing is changed before the closure has returned.

    This holds for the steps of torch's own optimizers; others may differ.
    """
    step = getattr(type(optimizer).step, "__wrapped__", None)
    return str(getattr(step, "__module__", "")).startswith("torch.optim.")
