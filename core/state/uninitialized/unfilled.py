# pyright: reportPrivateUsage=false
# The body and the tape of an unfilled tensor are private to users, and shown here.
"""Parameters whose initializers are recorded instead of run.

While a module is built without initialization, ``nn.Parameter`` creates an
`UnfilledParameter`. Its in-place initializers are recorded on the tape of its memory,
its views (``p.data``, ``p[0]``) are `UnfilledView` on the same tape, and any other use
of one of them closes the tape: its calls are made, and all tensors on the memory are
plain from then on. To code outside of Python (functorch, TorchScript, C++) an unfilled
tensor is a blank: one of a dtype that torch can move and cannot compute with. Such code
raises, and the module is then built with its initializers.
"""

from collections.abc import Iterable
from operator import attrgetter
from types import FunctionType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ....records.tensors.dtypes import can_require_grad
from ....records.tensors.torch_internals import storage_address, without_subclasses
from .tape import Tape
from .tensor_functions import (
    GRADE,
    INITIALIZERS,
    KINDS,
    LOOK,
    NOTED,
    SELF,
    VIEW,
    Function,
    succeeds,
)


class Unfilled(torch.Tensor):
    """The common base of a parameter and its views while initializers are recorded."""

    plain: ClassVar[type[torch.Tensor]]
    _body: Tensor
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
        # nn.Module and initializers mostly ask for shapes, which the body has.
        if kind is LOOK:
            return func(*map(_body_of, args), **(kwargs or {}))
        # Autograd's state belongs to the tensor object, which the body does not share.
        if kind is SELF or (kind is GRADE and can_require_grad(args[0]._body)):
            with without_subclasses():
                return func(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        if kind is None and type(func) is FunctionType:
            # A library's wrapper may refuse to run again when the tape is played.
            func = INITIALIZERS.get(func.__name__, func)
            kind = KINDS.get(func)
        if kind is NOTED:
            target, *arguments = args or (kwargs.pop("tensor", None),)
            if isinstance(target, Unfilled) and _note(func, target, arguments, kwargs):
                return target
            args = (target, *arguments)
        if kind is VIEW and _is_plain(args[1:]) and isinstance(args[0], Unfilled):
            views = _views(func, args[0], args[1:], kwargs)
            if views is not None:
                return views
        # The function may read values, so all its arguments are filled first.
        _close_all((*args, *kwargs.values()))
        return func(*args, **kwargs)


class UnfilledParameter(Unfilled, nn.Parameter):
    """A parameter whose values were not needed yet."""

    plain: ClassVar[type[torch.Tensor]] = nn.Parameter
    # nn.Module reads these two for every parameter: answered here, they are cheap.
    _is_param = True
    grad_fn = None


class UnfilledView(Unfilled):
    """Memory of an unfilled parameter under another name or shape."""

    plain: ClassVar[type[torch.Tensor]] = torch.Tensor


def note_call(function: Function, tensor: object, *args: object) -> bool:
    """Record a call on the tape of ``tensor``; False if it must be run now."""
    return isinstance(tensor, Unfilled) and _note(
        function, tensor, args, {}, is_tried=True
    )


def close(tensor: object) -> None:
    """Fill ``tensor`` if it is an unfilled one."""
    if isinstance(tensor, Unfilled):
        tensor._tape.close()


def _note(
    function: Function,
    target: Unfilled,
    args: Any,
    kwargs: dict[str, Any],
    *,
    is_tried: bool = False,
) -> bool:
    # A tensor among the arguments may change before the tape is played, and then differ
    # from what the initializer was called with.
    if (args and not _is_plain(args)) or (kwargs and not _is_plain(kwargs.values())):
        return False
    args, body = tuple(args), target._body
    if not is_tried and not succeeds(function, body, args, kwargs):
        return False
    if function not in _WITHOUT_GRAD and torch.is_grad_enabled():
        # Torch forbids changes of a leaf that requires grad, with an error at the call.
        with without_subclasses():
            if target.requires_grad:
                return False
    target._tape.note(function, body, args, kwargs)
    return True


def _views(
    func: Function, source: Unfilled, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return views of the memory of ``source``; None if it has to be filled."""
    # A view of a leaf that requires grad is part of a graph, which a shell cannot be.
    if func not in _DETACHING and torch.is_grad_enabled():
        with without_subclasses():
            if source.requires_grad:
                return None
    body, tape = source._body, source._tape
    bodies = func(body, *args, **kwargs)
    address = storage_address(body.untyped_storage())
    parts = [bodies] if isinstance(bodies, Tensor) else bodies
    # Some functions copy if no view is possible, and a copy needs the values.
    if any(storage_address(part.untyped_storage()) != address for part in parts):
        return None
    views = [source if p is body else tape.build.view(p, tape) for p in parts]
    return views[0] if isinstance(bodies, Tensor) else type(bodies)(views)


def _body_of(value: object) -> Any:
    return value._body if isinstance(value, Unfilled) else value


def _is_plain(values: Iterable[object]) -> bool:
    """Return whether ``values`` contain no tensor, and no list that may hold some."""
    for value in values:
        if type(value) is tuple:
            if not _is_plain(value):
                return False
        elif not isinstance(value, _PLAIN):
            return False
    return True


def _close_all(values: Iterable[object]) -> None:
    for value in values:
        if isinstance(value, Unfilled):
            value._tape.close()
        elif isinstance(value, list | tuple | set | frozenset):
            _close_all(value)
        elif isinstance(value, dict):
            _close_all(value.values())


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
    torch.Size,
    torch.memory_format,
)

_WITHOUT_GRAD = frozenset(INITIALIZERS.values())
_DETACHING = frozenset({torch.Tensor.data.__get__, torch.Tensor.detach, torch.detach})  # type: ignore[attr-defined]  # a descriptor


def _method(name: str) -> Function:
    """Return the initializer as a method, which Python finds before torch's."""
    function: Function = getattr(torch.Tensor, name)

    def noted(self: Unfilled, *args: object, **kwargs: object) -> Any:
        if _note(function, self, args, kwargs):
            return self
        self._tape.close()
        return function(self, *args, **kwargs)

    return noted


def _looking(name: str) -> Function:
    """Return a method that needs no values, called on the body directly."""
    function: Function = getattr(torch.Tensor, name)
    return lambda self, *args: function(self._body, *args)


for _name in ("normal_", "uniform_", "fill_", "zero_"):
    setattr(Unfilled, _name, _method(_name))
for _name in ("size", "dim", "numel"):
    setattr(Unfilled, _name, _looking(_name))
for _name in ("shape", "dtype", "device", "ndim"):
    setattr(Unfilled, _name, property(attrgetter(f"_body.{_name}")))
