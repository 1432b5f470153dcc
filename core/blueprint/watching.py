"""Constructors of chosen classes, watched while a blueprint constructs.

A watched ``__init__`` looks whether its thread constructs a blueprint, and otherwise is
the one that was there. The watch is counted, and taken down with the last one.
"""

import functools
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Protocol

from torch import nn

from ..hyperparameters.signature import parameters_of

Init = Callable[..., None]


class Watcher(Protocol):
    """What is told of constructions in its thread."""

    def is_constructing(self, module: nn.Module) -> bool:
        """Return whether the constructor of ``module`` is the innermost running."""
        ...

    def meet(self, module: nn.Module) -> None:
        """Take note of a module whose class was not watched, and should have been."""
        ...

    def construct(
        self,
        init: Init,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Run ``init`` on ``module``, or another constructor in its place."""
        ...


class _Local(threading.local):
    watcher: Watcher | None = None


_local = _Local()
_lock = threading.Lock()
_watched: dict[type[nn.Module], list[Any]] = {}
"""How often each class is watched, and the ``__init__`` of its own that it had."""


def watcher() -> Watcher | None:
    """Return who is told of the constructions of this thread."""
    return _local.watcher


@contextmanager
def telling(watcher: Watcher | None) -> Generator[None]:
    """Tell ``watcher`` of the watched constructions of this thread, and nobody else."""
    outer = _local.watcher
    _local.watcher = watcher
    try:
        yield
    finally:
        _local.watcher = outer


@contextmanager
def watched(classes: Iterable[type[nn.Module]]) -> Generator[None]:
    """Watch the constructors of ``classes``, and notice those of all others."""
    chosen: set[type[nn.Module]] = {nn.Module, *classes}
    for cls in chosen:
        # Signatures are kept from here on: a watched constructor is another function.
        parameters_of(cls)
    with _lock:
        for cls in chosen:
            _watch(cls)
    try:
        yield
    finally:
        with _lock:
            for cls in chosen:
                _unwatch(cls)


def _watch(cls: type[nn.Module]) -> None:
    if cls in _watched:
        _watched[cls][0] += 1
        return
    own = cls.__dict__.get("__init__")
    _watched[cls] = [1, own]
    cls.__init__ = _watching(cls, cls.__init__)  # type: ignore[method-assign]  # that is what watching is


def _unwatch(cls: type[nn.Module]) -> None:
    state = _watched[cls]
    state[0] -= 1
    if state[0]:
        return
    del _watched[cls]
    if state[1] is None:
        del cls.__init__
    else:
        cls.__init__ = state[1]  # type: ignore[method-assign]  # it is put back


def _watching(owner: type[nn.Module], init: Init) -> Init:
    @functools.wraps(init)
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        watcher = _local.watcher
        if watcher is None or watcher.is_constructing(self):
            init(self, *args, **kwargs)
        elif type(self) is owner:
            watcher.construct(init, self, args, kwargs)
        else:
            # This is a call by super(): the arguments are not those of the class.
            watcher.meet(self)
            init(self, *args, **kwargs)

    return __init__
