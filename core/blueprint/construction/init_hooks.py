"""Constructors of hooked classes, watched while a blueprint constructs.

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


class InitObserver(Protocol):
    """What is told of constructions in its thread."""

    def is_constructing(self, module: nn.Module) -> bool:
        """Return whether the constructor of ``module`` is the innermost running."""
        ...

    def note_unhooked(self, module: nn.Module) -> None:
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
class _InitHook:
    """What was done to one class, and which calls want it."""

    own_init: Init | None
    """The ``__init__`` of its own that it had."""
    init: Init
    """The one that it has."""
    wanted_by: set[object]


@dataclass(slots=True)
class _Observation:
    """Who is told; nobody once it is over, also in a task that outlives it."""

    observer: InitObserver | None


_current: ContextVar[_Observation | None] = ContextVar("burnish_watcher", default=None)
_lock = threading.Lock()
_hooked_classes: dict[type[nn.Module], _InitHook] = {}


def current_observer() -> InitObserver | None:
    """Return who is told of the constructions of this thread or task."""
    observation = _current.get()
    return None if observation is None else observation.observer


def call_observed(observer: InitObserver | None, function: Callable[[], T]) -> T:
    """Call ``function``; tell ``watcher``, and nobody else, of the constructions."""
    previous, observation = _current.get(), _Observation(observer)

    def run() -> T:
        _current.set(observation)
        return function()

    def end() -> None:
        observation.observer = None
        _current.set(previous)

    return call_with_end(run, end)


def call_with_hooks(classes: Iterable[type[nn.Module]], function: Callable[[], T]) -> T:
    """Call ``function``; watch the constructors of ``classes``, and notice others."""
    hooked: set[type[nn.Module]] = {nn.Module, *classes}
    for cls in hooked:
        # Signatures are kept from here on: a watched constructor is another function.
        parameters_of(cls)
    token = object()

    def run() -> T:
        with uninterrupted(), _lock:
            for cls in hooked:
                _hook_init(cls, token)
        return function()

    return call_with_end(run, lambda: _unhook_inits(token))


def _hook_init(cls: type[nn.Module], token: object) -> None:
    hook = _hooked_classes.get(cls)
    if hook is None:
        own_init, init = cls.__dict__.get("__init__"), _hooked_init(cls, cls.__init__)
        _hooked_classes[cls] = _InitHook(own_init, init, {token})
        cls.__init__ = init  # type: ignore[method-assign]  # that is what watching is
    else:
        hook.wanted_by.add(token)


def _unhook_inits(token: object) -> None:
    """Take down each watch that only ``token`` wants."""
    with _lock:
        for cls, hook in list(_hooked_classes.items()):
            hook.wanted_by.discard(token)
            if not hook.wanted_by:
                _restore_init(cls, hook)
                del _hooked_classes[cls]


def _restore_init(cls: type[nn.Module], hook: _InitHook) -> None:
    # What somebody else put there may call ours, or be meant to be there in its place.
    if cls.__dict__.get("__init__") is not hook.init:
        return
    if hook.own_init is None:
        del cls.__init__
    else:
        cls.__init__ = hook.own_init  # type: ignore[method-assign]  # it is put back


def _hooked_init(owner: type[nn.Module], init: Init) -> Init:
    @functools.wraps(init)
    def __init__(self: nn.Module, /, *args: Any, **kwargs: Any) -> None:
        observer = current_observer()
        if observer is None or observer.is_constructing(self):
            init(self, *args, **kwargs)
        elif type(self) is owner:
            observer.construct(init, self, args, kwargs)
        else:
            # This is a call by super(): the arguments are not those of the class.
            observer.note_unhooked(self)
            init(self, *args, **kwargs)

    return __init__
