"""Hooks on constructors, by which a blueprint observes and changes constructions.

A hooked ``__init__`` checks whether its thread or task constructs a blueprint, and
otherwise calls the ``__init__`` that it replaced. So do the two functions through which
every module gets children, so that a blueprint can be a child. The hook is removed with
the last call that needs it; if another library has wrapped it in the meantime, it
remains under that wrapper, without an observer to call.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import nn

from ....config.process.interrupts import call_with_end, uninterrupted
from ....config.process.process_lock import ProcessLock
from ...modules.signature import parameters_of
from ..edits.edits import Unbuilt

T = TypeVar("T")
Init = Callable[..., None]
Method = Callable[..., Any]


class InitObserver(Protocol):
    """Observes the constructions of a thread or task, and runs them in its own way."""

    def is_constructing(self, module: nn.Module) -> bool:
        """Return whether the constructor of ``module`` is the innermost running."""
        ...

    def note_unhooked(self, module: nn.Module) -> None:
        """Record a module whose class had no hook, and needs one."""
        ...

    def construct(
        self,
        init: Init,
        module: nn.Module,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
    ) -> None:
        """Run ``init`` on ``module``, or another constructor instead."""
        ...

    def build_child(self, blueprint: Unbuilt) -> nn.Module:
        """Return the child to use where a constructor assigned ``blueprint``."""
        ...


@dataclass(slots=True)
class _Hook:
    """The hook on one method of one class, and the calls that need it."""

    own_method: Method | None
    """The method defined in the class itself before; None if it was inherited."""
    method: Method
    """The observing method."""
    callers: set[object]
    """A token of each call that needs the hook."""


@dataclass(slots=True)
class _Observation:
    """The observer of one call, in a box that the call empties at its end.

    A task started inside copies the context and may outlive the call: it shares the
    box, so that it observes nothing any more.
    """

    observer: InitObserver | None


_current: ContextVar[_Observation | None] = ContextVar("init_observer", default=None)
_lock = ProcessLock()
_hooks: dict[tuple[type[nn.Module], str], _Hook] = {}


def current_observer() -> InitObserver | None:
    """Return the observer of this thread or task, None outside of blueprints."""
    observation = _current.get()
    return None if observation is None else observation.observer


def call_observed(observer: InitObserver | None, function: Callable[[], T]) -> T:
    """Call ``function`` with ``observer`` as the only one, or without any."""
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

    ``nn.Module`` has one too, which detects modules of other classes, and so do the
    functions through which blueprints become children.
    """
    hooked: set[type[nn.Module]] = {nn.Module, *classes}
    for cls in hooked:
        # The signature is cached by class, and that of the hook would be useless.
        parameters_of(cls)
    token = object()

    def run() -> T:
        # Ctrl-C between two classes would leave hooks that no token can remove.
        with uninterrupted(), _lock.here:
            for cls in hooked:
                _set_hook(cls, "__init__", _hooked_init, token)
            for name, hooked_method in _HOOKED_METHODS.items():
                _set_hook(nn.Module, name, hooked_method, token)
        return function()

    return call_with_end(run, lambda: _remove_hooks(token))


def _set_hook(
    cls: type[nn.Module],
    name: str,
    hooked: Callable[[type[nn.Module], Method], Method],
    token: object,
) -> None:
    hook = _hooks.get((cls, name))
    if hook is None:
        own_method, method = cls.__dict__.get(name), hooked(cls, getattr(cls, name))
        _hooks[cls, name] = _Hook(own_method, method, {token})
        setattr(cls, name, method)
    else:
        hook.callers.add(token)


def _remove_hooks(token: object) -> None:
    """Remove the hooks that only the call of ``token`` needs."""
    with _lock.here:
        for (cls, name), hook in list(_hooks.items()):
            hook.callers.discard(token)
            if not hook.callers:
                _restore_method(cls, name, hook)
                del _hooks[cls, name]


def _restore_method(cls: type[nn.Module], name: str, hook: _Hook) -> None:
    # Another library wrapped or replaced the hook in the meantime, and may call it:
    # restoring the first method would undo that library's patch.
    if cls.__dict__.get(name) is not hook.method:
        return
    if hook.own_method is None:
        delattr(cls, name)
    else:
        setattr(cls, name, hook.own_method)


def _hooked_init(owner: type[nn.Module], init: Init) -> Init:
    @functools.wraps(init)
    def __init__(self: nn.Module, /, *args: object, **kwargs: object) -> None:
        observer = current_observer()
        if observer is None or observer.is_constructing(self):
            init(self, *args, **kwargs)
        elif type(self) is owner:
            observer.construct(init, self, args, kwargs)
        else:
            # A subclass without a hook called super().__init__: these arguments are the
            # base's, so the construction cannot be edited in this run.
            observer.note_unhooked(self)
            init(self, *args, **kwargs)

    return __init__


def _hooked_setattr(owner: type[nn.Module], assign: Method) -> Method:
    @functools.wraps(assign)
    def __setattr__(self: nn.Module, name: str, value: Any, /) -> None:
        assign(self, name, _built_if_observed(value))

    return __setattr__


def _hooked_add_module(owner: type[nn.Module], add: Method) -> Method:
    @functools.wraps(add)
    def add_module(self: nn.Module, name: str, module: Any) -> None:
        add(self, name, _built_if_observed(module))

    return add_module


def _built_if_observed(value: Any) -> Any:
    if not isinstance(value, Unbuilt):
        return value
    observer = current_observer()
    return value if observer is None else observer.build_child(value)


_HOOKED_METHODS = {"__setattr__": _hooked_setattr, "add_module": _hooked_add_module}
"""The methods of ``nn.Module`` through which a module gets children."""
