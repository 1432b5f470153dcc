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
    """Build modules with allocated but uninitialized parameters, to be loaded next.

    Only ``nn.Parameter`` created in this context (`contextvars`) is affected: other
    threads and existing tasks build normally. Buffers and plain tensors are computed as
    usual, and code that reads a parameter inside the block sees it initialized; code
    that reads it outside of Python (a C++ extension, TorchScript, vmap) raises. Values
    that are not loaded afterwards are whatever the memory holds; `from_record` fills
    them. Skipped draws do not advance torch's generators.
    """
    _install()
    build, outer_build = UnfilledBuild(), _current.get()
    # An interrupt may replace one of the two calls; the other is still made.
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

    Ctrl-C may leave a block of `skip_init` before it ends, but not a call. ``build``
    has the initializers that wait.
    """
    _install()
    guarded = partial(call_guarded, factory) if TORCH_COMPUTES else factory
    return _call_in(build or UnfilledBuild(), guarded)


def call_filled(factory: Callable[[], T]) -> T:
    """Return what ``factory`` builds with its initializers, even in `skip_init`."""
    return _call_in(None, factory)


def build_unfilled(
    factory: Callable[[], T],
    device: torch.device | None,
    *,
    is_for_whole: bool = False,
) -> tuple[T, UnfilledBuild | None]:
    """Return a module without values and its build; or an initialized one alone.

    A module that cannot be built unfilled, or that draws numbers whose order depends on
    the initializers, is built normally from the initial state of the generators. If
    ``is_for_whole``, initializers may be skipped, which matters only if not all tensors
    get values: then call it again without (`UnfilledBuild.has_left_out`).
    """
    # If the default device allocates no memory, another one is used. Older torch says
    # "cpu" inside `with torch.device("meta")`, but a new tensor has the right device.
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
            # All its draws may be for parameters, which the record replaces as well.
            build.rewind()
            build = UnfilledBuild()
            build.set_aside()
            draws = NotedDraws(build)
            module = call_unfilled(lambda: call_under(draws, factory), build)
        if not build.is_out_of_step:
            return module, build
    except Exception as error:  # building it normally shows whose error it is
        raise_of_signal(error)
    return rebuild(factory, build), None


def rebuild(factory: Callable[[], T], build: UnfilledBuild) -> T:
    """Return what ``factory`` builds normally, from where ``build`` began."""
    build.rewind()
    return call_filled(factory)


class NotedDraws(TorchFunctionMode):
    """Record the draws of ``torch.randn`` and ``torch.rand`` while a module is built.

    A parameter is often created from random numbers, which can wait as initializers do.
    This intercepts every call of torch, which takes time, so it is used for modules
    that are known to draw.
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
        """Return memory that waits for the draw, or the result of ``func``."""
        kwargs = kwargs or {}
        fill = _FILLS.get(func)
        # With any other keyword (a generator, `out`, a layout) the call differs from
        # the initializer that would replace it, so it is made now.
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
"""The build of this thread or task; in a task that outlives it, the build is over."""


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
        # Subclasses of users may do anything with their data.
        if cls is not nn.Parameter and cls is not UnfilledParameter:
            return constructor(cls, data, requires_grad)
        if not is_native and isinstance(build, UnfilledBuild):
            # The patch of another library may read the data, and must find values.
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
    """Let a build that has constructed an equal layer copy it."""

    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        build = _current.get()
        # A subclass may do more; without an active build nothing is unfilled.
        if type(build) is UnfilledBuild and not build.is_over and type(self) is cls:
            build.layers.construct(build, self, constructor, args, kwargs)
        else:
            constructor(self, *args, **kwargs)

    return __init__


def _noting_truncated_normal(initializer: Function) -> Function:
    """Record the one initializer of torch that reads what it has just drawn."""

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
    """Check the generator's state before it is restored to an earlier one."""

    def set_rng_state(*args: object, **kwargs: object) -> Any:
        build = _current.get()
        if build is not None and not build.is_over:
            build.look_at_return()
        return set_state(*args, **kwargs)

    return set_rng_state


class _Counting:
    """A fake build that measures the reference count of a parameter's data."""

    is_over = False
    n_references = 0

    def finish(self) -> None:
        """Do nothing, since no parameter was created for it."""

    def parameter(self, data: object, requires_grad: bool, n_references: int) -> None:
        """Record the count; the parameter is created normally."""
        self.n_references = n_references


def _calibrate() -> None:
    """Measure the reference count of data that only a constructor holds.

    It depends on Python and on other patches of the constructor; if data that other
    code holds has the same count, no data counts as temporary.
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
