"""Hooks on constructors, so that a blueprint sees what is constructed and changes it.

A hooked ``__init__`` asks whether its thread or task constructs a blueprint, and
otherwise calls the ``__init__`` that it replaced. The hook is removed with the last
call that needs it; if another library wrapped it meanwhile, it stays under that
wrapper, where it has no observer to call.
"""

import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import nn

from ....config.process.interrupts import call_with_end, uninterrupted
from ...modules.signature import parameters_of

T = TypeVar("T")
Init = Callable[..., None]


class InitObserver(Protocol):
    """Sees the constructions of one thread or task, and runs them in its own way."""

    def is_constructing(self, module: nn.Module) -> bool:
        """Return whether the constructor of ``module`` is the innermost running."""
        ...

    def note_unhooked(self, module: nn.Module) -> None:
        """Take note of a module whose class had no hook, and needs one."""
        ...

    def construct(
        self,
        init: Init,
        module: nn.Module,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> None:
        """Run ``init`` on ``module``, or another constructor in its place."""
        ...


@dataclass(slots=True)
class _InitHook:
    """The hook on one class, and the calls that need it."""

    own_init: Init | None
    """The ``__init__`` in the class itself before; None if it was inherited."""
    init: Init
    """The one that observes."""
    callers: set[object]
    """A token of each call that needs the hook."""


@dataclass(slots=True)
class _Observation:
    """The observer of one call, in a box that the call empties at its end.

    A task that was started inside copies the context and may outlive the call: it
    shares the box, so that it observes nothing any more.
    """

    observer: InitObserver | None


_current: ContextVar[_Observation | None] = ContextVar("init_observer", default=None)
_lock = threading.Lock()
_hooked_classes: dict[type[nn.Module], _InitHook] = {}


def current_observer() -> InitObserver | None:
    """Return the observer of this thread or task, None outside of blueprints."""
    observation = _current.get()
    return None if observation is None else observation.observer


def call_observed(observer: InitObserver | None, function: Callable[[], T]) -> T:
    """Call ``function`` with ``observer`` as the only one, or with none."""
    previous, observation = _current.get(), _Observation(observer)

    def run() -> T:
        _current.set(observation)
        return function()

    def end() -> None:
        observation.observer = None
        _current.set(previous)

    return call_with_end(run, end)


def call_with_hooks(classes: Iterable[type[nn.Module]], function: Callable[[], T]) -> T:
    """Call ``function`` with hooks on the constructors of ``classes``.

    ``nn.Module`` has one too, through which modules of other classes are noticed.
    """
    hooked: set[type[nn.Module]] = {nn.Module, *classes}
    for cls in hooked:
        # The signature is cached by class, and that of the hook would say nothing.
        parameters_of(cls)
    token = object()

    def run() -> T:
        # Ctrl-C between two classes would leave hooks that no token can remove.
        with uninterrupted():
            _hook_inits(hooked, token)
        return function()

    return call_with_end(run, lambda: _unhook_inits(token))


def _hook_inits(classes: Iterable[type[nn.Module]], token: object) -> None:
    with _lock:
        for cls in classes:
            _hook_init(cls, token)


def _hook_init(cls: type[nn.Module], token: object) -> None:
    hook = _hooked_classes.get(cls)
    if hook is None:
        own_init, init = cls.__dict__.get("__init__"), _hooked_init(cls, cls.__init__)
        _hooked_classes[cls] = _InitHook(own_init, init, {token})
        cls.__init__ = init  # type: ignore[method-assign]  # that is what hooking is
    else:
        hook.callers.add(token)


def _unhook_inits(token: object) -> None:
    """Remove the hooks that only the call of ``token`` needs."""
    with _lock:
        for cls, hook in list(_hooked_classes.items()):
            hook.callers.discard(token)
            if not hook.callers:
                _restore_init(cls, hook)
                del _hooked_classes[cls]


def _restore_init(cls: type[nn.Module], hook: _InitHook) -> None:
    # Another library wrapped or replaced the hook meanwhile, and may call it: putting
    # the first constructor back would undo that library's patch.
    if cls.__dict__.get("__init__") is not hook.init:
        return
    if hook.own_init is None:
        del cls.__init__
    else:
        cls.__init__ = hook.own_init  # type: ignore[method-assign]  # the class is as before


def _hooked_init(owner: type[nn.Module], init: Init) -> Init:
    @functools.wraps(init)
    def __init__(self: nn.Module, /, *args: object, **kwargs: object) -> None:
        observer = current_observer()
        if observer is None or observer.is_constructing(self):
            init(self, *args, **kwargs)
        elif type(self) is owner:
            observer.construct(init, self, args, kwargs)
        else:
            # A subclass without a hook called super().__init__: these arguments are
            # the base's, so the construction cannot be edited in this run.
            observer.note_unhooked(self)
            init(self, *args, **kwargs)

    return __init__
