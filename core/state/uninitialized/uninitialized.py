# pyright: reportPrivateUsage=false
# Torch's initializers call a private one.
"""Building modules without running the initializers of their parameters."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ....config.process.interrupts import call_with_end, raise_of_signal, uninterrupted
from ....records.tensors.torch_internals import TRUNCATED_NORMAL
from .build import UnfilledBuild
from .layer_copies import LAYERS
from .modes import call_under, construct_on
from .past_python import TORCH_COMPUTES, blanks_guarded, call_guarded
from .patches import patch_function
from .tensor_functions import Function
from .transformers_init import MODELS, patch_init
from .unfilled import UnfilledParameter, close, note_call

T = TypeVar("T")


@contextmanager
def skip_init() -> Generator[None]:
    """Build modules whose parameters are allocated and not filled: load them next.

    Only ``nn.Parameter`` made in this context (`contextvars`) are concerned: other
    threads and tasks that were there before build as ever. Buffers and plain tensors
    are computed as ever, and what reads a parameter inside the block sees it
    initialized; code that reads it past Python (a C++ extension, TorchScript, vmap)
    raises. Values that nobody loads afterwards are whatever the memory holds;
    `from_record` fills them. The draws that are not made leave torch's generators where
    they were.
    """
    _install()
    build, outer_build = UnfilledBuild(), _current.get()
    # An interrupt may replace one of the two calls: the other is still made.
    try:
        try:
            _current.set(build)
            with blanks_guarded():
                yield
        finally:
            with uninterrupted():
                _end(build, outer_build)
    finally:
        with uninterrupted():
            _end(build, outer_build)


def call_unfilled(factory: Callable[[], T], build: UnfilledBuild | None = None) -> T:
    """Return what ``factory`` builds under `skip_init`, which ends in any case.

    A block of that may be left by Ctrl-C before it ends; a call may not. ``build``
    knows the initializers that wait.
    """
    _install()
    guarded = partial(call_guarded, factory) if TORCH_COMPUTES else factory
    return _call_in(build or UnfilledBuild(), guarded)


def call_filled(factory: Callable[[], T]) -> T:
    """Return what ``factory`` builds with real initializers, also in `skip_init`."""
    return _call_in(None, factory)


def build_unfilled(
    factory: Callable[[], T],
    device: torch.device | None,
    *,
    is_for_whole: bool = False,
) -> tuple[T, UnfilledBuild | None]:
    """Return a module without values, and what knows of them; or a real one alone.

    A module that cannot be built unfilled, or draws numbers whose turn depends on the
    initializers, is built as ever from where the generators stood. If ``is_for_whole``,
    initializers may be left out, which only shows if not all tensors get values: then
    call it again without (`UnfilledBuild.has_left_out`).
    """
    # Where the device that is set gives no memory, another one does. Older torch says
    # "cpu" inside `with torch.device("meta")`; a tensor knows.
    if device is None and torch.empty(0).is_meta:
        device = torch.device("cpu")
    return construct_on(device, lambda: _build_unfilled(factory, is_for_whole))


def _build_unfilled(
    factory: Callable[[], T], is_for_whole: bool
) -> tuple[T, UnfilledBuild | None]:
    build = UnfilledBuild(is_for_whole=is_for_whole)
    try:
        module = call_unfilled(factory, build)
        if build.is_out_of_step and build.has_left_out:
            build.rewind()
            build = UnfilledBuild()
            module = call_unfilled(factory, build)
        if build.is_out_of_step:
            # Its draws may all be parameters, which the record replaces as well.
            build.rewind()
            build = UnfilledBuild()
            build.set_aside()
            draws = NotedDraws(build)
            module = call_unfilled(lambda: call_under(draws, factory), build)
        if not build.is_out_of_step:
            return module, build
    except Exception as error:  # building as ever shows whose error it is
        raise_of_signal(error)
    return rebuild(factory, build), None


def rebuild(factory: Callable[[], T], build: UnfilledBuild) -> T:
    """Return what ``factory`` builds as ever, from where ``build`` began."""
    build.rewind()
    return call_filled(factory)


class NotedDraws(TorchFunctionMode):
    """Note what ``torch.randn`` and ``torch.rand`` would draw while a module is built.

    A parameter is often made of random numbers, which wait as initializers do. Every
    call of torch passes here, which takes time: it is for modules that are known to
    draw.
    """

    def __init__(self, build: UnfilledBuild) -> None:
        super().__init__()
        self._build = build

    def __torch_function__(
        self,
        func: Function,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Return memory that waits for the draw, or what ``func`` returns."""
        kwargs = kwargs or {}
        fill = _FILLS.get(func)
        # Any other keyword (a generator, `out`, a layout) makes it another call than
        # the initializer that would stand for it, so it is made at once.
        if fill is not None and kwargs.keys() <= {"size", "dtype", "device"}:
            tensor = self._build.defer_draw(torch.empty(*args, **kwargs), fill)
            if tensor is not None:
                return tensor
        return func(*args, **kwargs)


_FILLS: dict[Function, Function] = {
    torch.randn: torch.Tensor.normal_,
    torch.rand: torch.Tensor.uniform_,
}


_current: ContextVar[Any] = ContextVar("burnish_build", default=None)
"""The build of this thread or task; a task that outlives it has one that is over."""


def _install() -> None:
    patch_function(nn.Parameter, "__new__", _asking_new)
    patch_function(nn.init, TRUNCATED_NORMAL, _noting_truncated_normal)
    for owner in (torch, torch.random):
        patch_function(owner, "set_rng_state", _watched_state)
    for cls in LAYERS:
        patch_function(cls, "__init__", partial(_copying_init, cls))
    if MODELS in sys.modules:
        patch_init(_current_unfilled)
    if nn.Parameter.__new__ is not _calibrated:
        _calibrate()


def _current_unfilled() -> UnfilledBuild | None:
    build = _current.get()
    return build if type(build) is UnfilledBuild else None


def _call_in(build: object, function: Callable[[], T]) -> T:
    outer_build = _current.get()

    def run() -> T:
        _current.set(build)
        return function()

    return call_with_end(run, lambda: _end(build, outer_build))


def _end(build: Any, outer_build: Any) -> None:
    # A token could not be used in another context, where a generator may end.
    _current.set(outer_build)
    if build is not None:
        build.finish()


def _asking_new(constructor: Function) -> Function:
    is_native = constructor.__module__ == nn.Parameter.__module__

    def __new__(
        cls: type[nn.Parameter], data: object = None, requires_grad: bool = True
    ) -> Any:
        build = _current.get()
        if build is None or build.is_over:
            return constructor(cls, data, requires_grad)
        # Subclasses of users do what they like with their data.
        if cls is not nn.Parameter and cls is not UnfilledParameter:
            return constructor(cls, data, requires_grad)
        if not is_native and isinstance(build, UnfilledBuild):
            # The patch of another library may read the data, and shall find values.
            close(data)
            return build.adopt(constructor(nn.Parameter, data, requires_grad), data)
        if type(data) is torch.Tensor:
            parameter = build.parameter(data, requires_grad, sys.getrefcount(data))
        else:
            parameter = build.alias(data, requires_grad)
        if parameter is None:
            return constructor(nn.Parameter, data, requires_grad)
        return parameter

    return __new__


def _copying_init(cls: type[nn.Module], constructor: Function) -> Function:
    """Let a build that has constructed an equal layer copy that."""

    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        build = _current.get()
        # A subclass has more to do; what is over or no build makes nothing unfilled.
        if type(build) is UnfilledBuild and not build.is_over and type(self) is cls:
            build.layers.construct(build, self, constructor, args, kwargs)
        else:
            constructor(self, *args, **kwargs)

    return __init__


def _noting_truncated_normal(initializer: Function) -> Function:
    """Note the one initializer of torch that reads what it has just drawn."""

    def _no_grad_trunc_normal_(
        tensor: torch.Tensor,
        mean: float,
        std: float,
        a: float,
        b: float,
        generator: torch.Generator | None = None,
    ) -> Any:
        is_sound = generator is None and _draws_quietly(mean, std, a, b)
        if is_sound and note_call(initializer, tensor, mean, std, a, b):
            return tensor
        return initializer(tensor, mean, std, a, b, generator=generator)

    return _no_grad_trunc_normal_


def _draws_quietly(*numbers: Any) -> bool:
    """Return whether torch neither raises nor warns for a truncated normal."""
    if not all(isinstance(number, int | float) for number in numbers):
        return False
    mean, std, a, b = numbers
    return bool(std > 0 and a < b and a - 2 * std <= mean <= b + 2 * std)


def _watched_state(set_state: Function) -> Function:
    """Look where the generator stands before it is put back to where it was."""

    def set_rng_state(*args: object, **kwargs: object) -> Any:
        build = _current.get()
        if build is not None and not build.is_over:
            build.look_at_return()
        return set_state(*args, **kwargs)

    return set_rng_state


class _Counting:
    """Stands for a build, and sees how often the data of a parameter is referred to."""

    is_over = False
    n_references = 0

    def finish(self) -> None:
        """Do nothing: no parameter was made for it."""

    def parameter(self, data: object, requires_grad: bool, n_references: int) -> None:
        """Take note of the number; the parameter is made as ever."""
        self.n_references = n_references


def _calibrate() -> None:
    """Find out how often data that nobody else holds is referred to in a constructor.

    It depends on Python and on who else patched the constructor; where data that is
    held looks the same, none passes for temporary.
    """
    global _calibrated
    constructor, counting = nn.Parameter.__new__, _Counting()
    _call_in(counting, lambda: nn.Parameter(torch.empty(0)))
    n_temporary = counting.n_references
    held_data = torch.empty(0)
    _call_in(counting, lambda: nn.Parameter(held_data))
    UnfilledBuild.n_temporary = (
        n_temporary if counting.n_references > n_temporary else 0
    )
    _calibrated = constructor


_calibrated: Any = None
