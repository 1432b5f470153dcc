"""Constructors of chosen classes, watched while a blueprint constructs.

A watched ``__init__`` looks whether its thread or task constructs a blueprint, and
otherwise calls the one that was there. The watch is counted, and taken down with the
last one; where somebody else has wrapped it meanwhile, it stays below, and looks on.
"""

import functools
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Watch:
    """What was done to one class, and how often it is wanted."""

    own: Init | None
    """The ``__init__`` of its own that it had."""
    init: Init
    """The one that it has."""
    n_wanted: int = 1


@dataclass(slots=True)
class _Telling:
    """Who is told; nobody once it is over, also in a task that outlives it."""

    watcher: Watcher | None


_current: ContextVar[_Telling | None] = ContextVar("burnish_watcher", default=None)
_lock = threading.Lock()
_watched: dict[type[nn.Module], _Watch] = {}


def watcher() -> Watcher | None:
    """Return who is told of the constructions of this thread or task."""
    telling = _current.get()
    return None if telling is None else telling.watcher


@contextmanager
def telling(watcher: Watcher | None) -> Generator[None]:
    """Tell ``watcher``, and nobody else, of the constructions in this context."""
    outer, inner = _current.get(), _Telling(watcher)
    _current.set(inner)
    try:
        yield
    finally:
        inner.watcher = None
        # A token could not be used in another context, where a generator may end.
        _current.set(outer)


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
    watch = _watched.get(cls)
    if watch is None:
        own, init = cls.__dict__.get("__init__"), _watching(cls, cls.__init__)
        _watched[cls] = _Watch(own, init)
        cls.__init__ = init  # type: ignore[method-assign]  # that is what watching is
    else:
        watch.n_wanted += 1


def _unwatch(cls: type[nn.Module]) -> None:
    watch = _watched[cls]
    watch.n_wanted -= 1
    if watch.n_wanted:
        return
    del _watched[cls]
    # What somebody else put there may call ours, or be meant to be there in its place.
    if cls.__dict__.get("__init__") is not watch.init:
        return
    if watch.own is None:
        del cls.__init__
    else:
        cls.__init__ = watch.own  # type: ignore[method-assign]  # it is put back


def _watching(owner: type[nn.Module], init: Init) -> Init:
    @functools.wraps(init)
    def __init__(self: nn.Module, /, *args: Any, **kwargs: Any) -> None:
        told = watcher()
        if told is None or told.is_constructing(self):
            init(self, *args, **kwargs)
        elif type(self) is owner:
            told.construct(init, self, args, kwargs)
        else:
            # This is a call by super(): the arguments are not those of the class.
            told.meet(self)
            init(self, *args, **kwargs)

    return __init__
