"""Constructors of chosen classes, watched while a blueprint constructs.

A watched ``__init__`` looks whether its thread or task constructs a blueprint, and
otherwise calls the one that was there. A watch is taken down with the last call that
wants it; where somebody else has wrapped it meanwhile, it stays below, and looks on.
"""

import functools
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import nn

from ....config.interrupts import call_with_end, uninterrupted
from ...modules.signature import parameters_of

T = TypeVar("T")
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
    """What was done to one class, and which calls want it."""

    own: Init | None
    """The ``__init__`` of its own that it had."""
    init: Init
    """The one that it has."""
    wanted_by: set[object]


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


def call_telling(watcher: Watcher | None, function: Callable[[], T]) -> T:
    """Call ``function``; tell ``watcher``, and nobody else, of the constructions."""
    outer, inner = _current.get(), _Telling(watcher)

    def run() -> T:
        _current.set(inner)
        return function()

    def end() -> None:
        inner.watcher = None
        _current.set(outer)

    return call_with_end(run, end)


def call_watched(classes: Iterable[type[nn.Module]], function: Callable[[], T]) -> T:
    """Call ``function``; watch the constructors of ``classes``, and notice others."""
    chosen: set[type[nn.Module]] = {nn.Module, *classes}
    for cls in chosen:
        # Signatures are kept from here on: a watched constructor is another function.
        parameters_of(cls)
    token = object()

    def run() -> T:
        with uninterrupted(), _lock:
            for cls in chosen:
                _watch(cls, token)
        return function()

    return call_with_end(run, lambda: _unwatch(token))


def _watch(cls: type[nn.Module], token: object) -> None:
    watch = _watched.get(cls)
    if watch is None:
        own, init = cls.__dict__.get("__init__"), _watching(cls, cls.__init__)
        _watched[cls] = _Watch(own, init, {token})
        cls.__init__ = init  # type: ignore[method-assign]  # that is what watching is
    else:
        watch.wanted_by.add(token)


def _unwatch(token: object) -> None:
    """Take down each watch that only ``token`` wants."""
    with _lock:
        for cls, watch in list(_watched.items()):
            watch.wanted_by.discard(token)
            if not watch.wanted_by:
                _take_down(cls, watch)
                del _watched[cls]


def _take_down(cls: type[nn.Module], watch: _Watch) -> None:
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
