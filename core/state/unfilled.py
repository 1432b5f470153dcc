# pyright: reportPrivateUsage=false
# Torch's switches have no public names.
"""Parameters whose initializers are noted instead of run.

While a module is built without init, ``nn.Parameter`` makes an `UnfilledParameter`.
It is a parameter in all but its values: its in-place initializers go on a tape, and
the first use of its values plays the tape, so that nothing is ever computed from
memory that no initializer has filled. Its views (``p.data``, ``p[0]``) share the tape.
"""

import sys
from collections.abc import Iterable
from types import FunctionType
from typing import Any, ClassVar

import torch
from torch import nn

from .tensor_functions import (
    INITIALIZERS,
    KINDS,
    NO_VALUES,
    NOTED,
    SET_DATA,
    VIEW,
    Function,
)


class Tape:
    """The initializer calls that the memory of a parameter still waits for."""

    __slots__ = ("build", "steps")

    def __init__(self, build: "Build") -> None:
        self.build = build
        self.steps: list[tuple[Function, tuple[Any, ...], dict[str, Any]]] = []

    def play(self) -> None:
        """Run the initializers in the order in which they were called."""
        steps, self.steps = self.steps, []
        with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
            for function, args, kwargs in steps:
                function(*args, **kwargs)

    def holds(self, tensor: torch.Tensor) -> int:
        """Return how often the noted calls refer to ``tensor``."""
        return sum(
            argument is tensor
            for _, args, kwargs in self.steps
            for argument in (*args, *kwargs.values())
        )


class Build:
    """The unfilled tensors that one build has made."""

    def __init__(self) -> None:
        self._born: list[_Unfilled] = []
        self._waiting: dict[int, tuple[torch.Tensor, Tape]] = {}

    def parameter(self, data: torch.Tensor, requires_grad: bool) -> nn.Parameter:
        """Return ``data`` as a parameter that notes its initializers."""
        made: UnfilledParameter = _make_subclass(UnfilledParameter, data, requires_grad)
        made._tape = Tape(self)
        self._born.append(made)
        return made

    def alias(self, data: Any, requires_grad: bool) -> nn.Parameter:
        """Return an unfilled tensor as a parameter on the same memory and tape."""
        with torch._C.DisableTorchFunctionSubclass():
            made: Any = self.parameter(data, requires_grad)
        made._tape = data._tape
        parameter: nn.Parameter = made
        return parameter

    def view(self, tensor: torch.Tensor, tape: Tape) -> torch.Tensor:
        """Return ``tensor``, which is memory of another one, made to share its tape."""
        tensor.__class__ = UnfilledView
        made: Any = tensor
        made._tape = tape
        self._born.append(made)
        return tensor

    def finish(self) -> None:
        """Make plain parameters and tensors of all; the values may still be missing."""
        born, self._born = self._born, []
        for tensor in born:
            tape = tensor._tape
            if tape.steps:
                self._waiting[id(tensor)] = (tensor, tape)
            make_plain(tensor)

    def forget(self, supplied: Iterable[torch.Tensor]) -> None:
        """Drop the notes of tensors whose values come from elsewhere."""
        for tensor in supplied:
            waiting = self._waiting.get(id(tensor))
            if waiting is not None:
                waiting[1].steps.clear()
        self._waiting = {k: (t, w) for k, (t, w) in self._waiting.items() if w.steps}

    def fill(self) -> None:
        """Run what is noted for every tensor that somebody else still holds.

        A parameter in a plain list is in no module's parameters, and yet is read.
        """
        for key in list(self._waiting):
            tensor, tape = self._waiting.pop(key)
            # This name and the argument of getrefcount are two.
            if sys.getrefcount(tensor) > 2 + tape.holds(tensor):
                tape.play()


class _Unfilled(torch.Tensor):
    """What a parameter and its views have in common while they note initializers."""

    plain: ClassVar[type[torch.Tensor]]
    _tape: Tape

    @classmethod
    def __torch_function__(
        cls,
        func: Function,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kind = KINDS.get(func)
        if kind is NO_VALUES:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        if kind is None and type(func) is FunctionType:
            # A library's wrapper may refuse to run again when the tape is played.
            func = INITIALIZERS.get(func.__name__, func)
            kind = KINDS.get(func)
        if kind is NOTED and _is_plain((*args[1:], *_options(args, kwargs))):
            target: _Unfilled = args[0] if args else kwargs["tensor"]
            target._tape.steps.append((func, args, kwargs))
            return target
        if kind is VIEW and _is_plain(args[1:]) and isinstance(args[0], _Unfilled):
            return _view(func, args, kwargs)
        if kind is SET_DATA:
            return _set_data(args[0], args[1])
        _play_all((*args, *kwargs.values()))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)


class UnfilledParameter(_Unfilled, nn.Parameter):
    """A parameter whose values nobody has needed yet."""

    plain = nn.Parameter
    # nn.Module asks for these two at every parameter: answered here, they are cheap.
    _is_param = True
    grad_fn = None


class UnfilledView(_Unfilled):
    """Memory of an unfilled parameter under another name or shape."""

    plain = torch.Tensor


def note(function: Function, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> bool:
    """Put a call on the tape of ``tensor``; False when it has none and must be run."""
    if not isinstance(tensor, _Unfilled):
        return False
    tensor._tape.steps.append((function, (tensor, *args), kwargs))
    return True


def build_of(tensor: object) -> Build | None:
    """Return the build in which ``tensor`` was made; None if it is no unfilled one."""
    return tensor._tape.build if isinstance(tensor, _Unfilled) else None


def make_plain(tensor: Any) -> None:
    """Make the unfilled ``tensor`` what it would have been, with the memory it has."""
    del tensor._tape
    tensor.__class__ = tensor.plain


def _options(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    # The initializers of torch.nn.init hand their tensor over by its name.
    return [v for k, v in kwargs.items() if args or k != "tensor"]


def _is_plain(values: Iterable[Any]) -> bool:
    """Return whether no tensor is among ``values``, nor a list that may hold some."""
    for value in values:
        if type(value) is tuple:
            if not _is_plain(value):
                return False
        elif not isinstance(value, _PLAIN):
            return False
    return True


def _view(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    source: _Unfilled = args[0]
    tape = source._tape
    with torch._C.DisableTorchFunctionSubclass():
        result = func(*args, **kwargs)
    if isinstance(result, torch.Tensor):
        return result if result is source else tape.build.view(result, tape)
    return type(result)(tape.build.view(part, tape) for part in result)


def _set_data(target: torch.Tensor, data: torch.Tensor) -> None:
    if isinstance(data, _Unfilled) and not isinstance(target, _Unfilled):
        data._tape.play()
    with torch._C.DisableTorchFunctionSubclass():
        target.data = data
    if isinstance(target, _Unfilled):
        build = target._tape.build
        target._tape = data._tape if isinstance(data, _Unfilled) else Tape(build)


def _play_all(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, _Unfilled):
            value._tape.play()
        elif isinstance(value, list | tuple):
            _play_all(value)
        elif isinstance(value, dict):
            _play_all(value.values())


_PLAIN = (
    int,
    float,
    complex,
    bool,
    str,
    type(None),
    slice,
    type(...),
    torch.dtype,
    torch.device,
    torch.Generator,
    torch.Size,
    torch.memory_format,
)

_make_subclass: Any = torch.Tensor._make_subclass


def _method(name: str) -> Function:
    """Return the initializer as a method, which Python finds before torch does."""
    function: Function = getattr(torch.Tensor, name)

    def noted(self: _Unfilled, *args: Any, **kwargs: Any) -> torch.Tensor:
        # Torch turns its functions off for subclasses while a tape is played.
        if not torch._C._is_torch_function_enabled() or not _is_plain(
            (*args, *kwargs.values())
        ):
            result: torch.Tensor = function(self, *args, **kwargs)
            return result
        self._tape.steps.append((function, (self, *args), kwargs))
        return self

    return noted


for _name in ("normal_", "uniform_", "fill_", "zero_"):
    setattr(_Unfilled, _name, _method(_name))
