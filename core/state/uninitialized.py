# pyright: reportPrivateUsage=false
# Torch's initializers call a private one.
"""Building modules without running the initializers of their parameters."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .unfilled import Build, UnfilledParameter, build_of, note


@contextmanager
def skip_init() -> Generator[None]:
    """Build modules whose parameters are allocated and not filled: load them next.

    Only this thread's ``nn.Parameter`` are concerned; buffers and plain tensors are
    computed as ever. What reads a parameter inside the block sees it initialized.
    Values that nobody loads afterwards are whatever the memory holds; `from_record`
    fills them. The draws that are not made leave torch's generators where they were.
    """
    with unfilled_build():
        yield


@contextmanager
def unfilled_build() -> Generator[Build]:
    """Build as under `skip_init`; yield what knows the initializers that wait."""
    with _building(Build()) as build:
        try:
            yield build
        finally:
            build.finish()


@contextmanager
def real_build() -> Generator[None]:
    """Build with real initializers, also inside `skip_init`."""
    with _building(None):
        yield


class _Local(threading.local):
    build: Build | None = None


_local = _Local()
_lock = threading.Lock()
_active = 0
_parameter_new: Any = nn.Parameter.__new__
_truncated_normal: Any = nn.init._no_grad_trunc_normal_
_set: Callable[[Any, str, Any], None] = setattr


@contextmanager
def _building(build: Build | None) -> Generator[Any]:
    outer = _local.build
    _local.build = build
    _patch(1)
    try:
        yield build
    finally:
        _patch(-1)
        _local.build = outer


def _patch(step: int) -> None:
    """Count the builds of all threads; the patches stand while there is one."""
    global _active
    with _lock:
        _active += step
        if step == 1 and _active == 1:
            _set(nn.Parameter, "__new__", _new_parameter)
            _set(nn.init, "_no_grad_trunc_normal_", _noted_truncated_normal)
        elif _active == 0:
            _set(nn.Parameter, "__new__", _parameter_new)
            _set(nn.init, "_no_grad_trunc_normal_", _truncated_normal)


def _new_parameter(
    cls: type[nn.Parameter], data: Any = None, requires_grad: bool = True
) -> Any:
    build = _local.build
    is_plain = cls is nn.Parameter and type(data) is torch.Tensor
    if build is not None and is_plain and not data.is_meta:
        return build.parameter(data, requires_grad)
    origin = build_of(data)
    if origin is not None:
        return origin.alias(data, requires_grad)
    if cls is UnfilledParameter:
        # A copy of an unfilled parameter, whose values have been needed for it.
        cls = nn.Parameter
    return _parameter_new(cls, data, requires_grad)


def _noted_truncated_normal(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Note the one initializer of torch that reads what it has just drawn."""
    if note(_truncated_normal, tensor, *args, **kwargs):
        return tensor
    return _truncated_normal(tensor, *args, **kwargs)
