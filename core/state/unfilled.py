# pyright: reportPrivateUsage=false
# Torch's switches have no public names.
"""Parameters whose initializers are noted instead of run.

While a module is built without init, ``nn.Parameter`` makes an `UnfilledParameter`. Its
in-place initializers go on the tape of its memory, its views (``p.data``, ``p[0]``) are
`UnfilledView` on the same tape, and whatever else uses one of them closes the tape: its
calls are made, and all that stands on the memory is plain from then on.

To code that does not ask through Python (functorch, TorchScript, C++) an unfilled
tensor is a blank: one of a dtype that torch moves and cannot compute with. Such code
raises, and the module is built for real.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from types import FunctionType
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from .streams import Streams
from .tensor_functions import (
    GRADE,
    INITIALIZERS,
    KINDS,
    LOOK,
    NOTED,
    RANDOM,
    SELF,
    VIEW,
    Function,
    succeeds,
)

_Step: TypeAlias = tuple[int, Function, Tensor, tuple[Any, ...], dict[str, Any]]
"""Which call of the build it is, what is called, and on what."""


class Tape:
    """The initializer calls that one memory still waits for, and who stands on it."""

    __slots__ = ("body", "build", "is_random", "shells", "steps")

    def __init__(self, build: "Build", body: Tensor) -> None:
        self.build = build
        self.body = body
        self.steps: list[_Step] = []
        self.shells: list[_Unfilled] = []
        self.is_random = False

    def note(
        self, function: Function, body: Tensor, args: Any, kwargs: dict[str, Any]
    ) -> None:
        """Put a call on the tape."""
        build = self.build
        if not self.steps:
            build.waiting.append(self)
        build.n_noted += 1
        if function in RANDOM:
            self.is_random = True
            build.skip_draw()
        self.steps.append((build.n_noted, function, body, args, kwargs))

    def play(self) -> None:
        """Make the calls; with the draws that they would have made in their turn."""
        if self.is_random and self.steps:
            self.build.play()
        else:
            self.play_alone()

    def play_alone(self) -> None:
        """Make the calls in the order in which they were noted."""
        steps, self.steps = self.steps, []
        _run(steps)

    def close(self) -> None:
        """Make the calls, and let all that stands on the memory be plain."""
        if self.steps:
            self.play()
        self.uncover()

    def uncover(self) -> None:
        """Let all that stands on the memory be plain; its values may be missing."""
        shells, self.shells = self.shells, []
        for shell in shells:
            body = shell._body
            del shell._body, shell._tape
            shell.__class__ = shell.plain  # type: ignore[assignment]  # no longer unfilled
            shell.data = body

    def n_bodies(self) -> int:
        """Return how many tensors over the memory the tape itself holds."""
        others = {id(body) for _, _, body, _, _ in self.steps if body is not self.body}
        return 1 + len(others)


class Build:
    """The unfilled tensors that one build has made."""

    n_temporary: ClassVar[int] = 0
    """How often data is referred to at most when only its parameter will hold it."""

    def __init__(self) -> None:
        self.is_over = False
        self.waiting: list[Tape] = []
        """Tapes on which something was noted."""
        self.n_noted = 0
        self._tapes: list[Tape] = []
        self._owners: dict[int, Tape] = {}
        self._blanks: dict[torch.Size, Tensor] = {}
        self._start = self._streams = Streams()
        self._seed = torch.default_generator.initial_seed()
        self._skips_draws = False
        self._has_foreign_draws = False

    def parameter(
        self, data: Tensor, requires_grad: bool, n_references: int
    ) -> nn.Parameter | None:
        """Return ``data`` as a parameter that notes its initializers.

        None if somebody else sees its memory, or may. If somebody holds the tensor
        ``data`` itself, it becomes a view of the parameter.
        """
        if not _is_ordinary(data) or not _stands_alone(data, 1):
            return None
        if requires_grad and not _can_require_grad(data):
            return None
        tape = Tape(self, data)
        self._tapes.append(tape)
        if n_references > self.n_temporary:
            tape.body = data.detach()
            self._cover(data, tape, UnfilledView)
        return self._shell(tape, tape.body, requires_grad)

    def alias(self, data: Any, requires_grad: bool) -> nn.Parameter | None:
        """Return an unfilled tensor as one more parameter on its memory and tape."""
        if not isinstance(data, _Unfilled):
            return None
        body, tape = data._body, data._tape
        if requires_grad and not _can_require_grad(body):
            tape.close()
            return None
        return self._shell(tape, body, requires_grad)

    def adopt(self, parameter: Any, data: object) -> Any:
        """Let a parameter that another library's patch made note its initializers."""
        if type(parameter) is not nn.Parameter:
            return parameter
        body = parameter.detach()
        is_alias = type(data) is Tensor and data.data_ptr() == body.data_ptr()
        if not _is_ordinary(body) or not _stands_alone(body, 2 + is_alias):
            return parameter
        tape = Tape(self, body)
        self._tapes.append(tape)
        self._cover(parameter, tape, UnfilledParameter)
        if is_alias:
            self._cover(data, tape, UnfilledView)
        return parameter

    def view(self, body: Tensor, tape: Tape) -> Tensor:
        """Return ``body``, which is memory of another tensor, as one of its tape."""
        shell: UnfilledView = _make_subclass(UnfilledView, self._blank(body), False)
        shell._body, shell._tape = body, tape
        tape.shells.append(shell)
        return shell

    def skip_draw(self) -> None:
        """Take note that an initializer which draws does not do so now."""
        self._skips_draws = True
        if torch.default_generator.initial_seed() != self._seed:
            self._has_foreign_draws = True

    def look_at_streams(self) -> None:
        """Notice draws and seeds that came from elsewhere than from initializers."""
        if self._streams.have_moved():
            self._has_foreign_draws = True

    @property
    def is_out_of_step(self) -> bool:
        """Whether somebody drew numbers that initializers would have moved."""
        return self._has_foreign_draws and self._skips_draws

    def rewind(self) -> None:
        """Put all generators back to where they stood when the build began."""
        self._start.restore()

    def play(self) -> None:
        """Make all calls that were noted, so that each draws what is its own."""
        self.look_at_streams()
        tapes, self.waiting = self.waiting, []
        steps = [step for tape in tapes for step in tape.steps]
        for tape in tapes:
            tape.steps = []
        steps.sort(key=_turn)
        _run(steps)
        self._streams = Streams()

    def finish(self) -> None:
        """Make plain parameters and tensors of all; the values may still be missing."""
        self.is_over = True
        self.look_at_streams()
        owners = self._owners
        for tape in self._tapes:
            for shell in tape.shells:
                owners[id(shell)] = tape
            tape.uncover()
        self._tapes.clear()
        self._blanks.clear()

    def supply(self, tensors: list[Tensor]) -> bool:
        """Drop what the memory of ``tensors`` waits for, since values come for it.

        Return whether nobody but ``tensors`` stands on it, so that it may be given up.
        """
        tape = self._owners.get(id(tensors[0]))
        if tape is None:
            return False
        storage = tensors[0].untyped_storage()
        # The storage object that is asked counts as one more.
        n_known = len(tensors) + tape.n_bodies() + 1
        if _n_users(storage._cdata) == n_known:
            tape.steps = []
            del tape.body
            for tensor in tensors:
                self._owners.pop(id(tensor), None)
            return True
        if tensors[0].nbytes == storage.nbytes() and _is_dense(tensors[0]):
            tape.steps = []
        else:
            tape.play_alone()
        return False

    def fill(self) -> None:
        """Make the calls for all memory on which somebody still stands.

        A parameter in a plain list is in no module's parameters, and yet is read.
        """
        tapes, self.waiting = self.waiting, []
        self._owners.clear()
        for tape in tapes:
            if not tape.steps:
                continue
            storage = tape.body.untyped_storage()
            if _n_users(storage._cdata) > tape.n_bodies() + 1:
                tape.play_alone()
            tape.steps = []

    def _shell(self, tape: Tape, body: Tensor, requires_grad: bool) -> nn.Parameter:
        shell: UnfilledParameter = _make_subclass(
            UnfilledParameter, self._blank(body), requires_grad
        )
        shell._body, shell._tape = body, tape
        tape.shells.append(shell)
        return shell

    def _cover(self, shell: Any, tape: Tape, kind: type[Tensor]) -> None:
        """Make an unfilled tensor of one that stands on the memory of ``tape``."""
        shell.data = self._blank(tape.body)
        shell.__class__ = kind
        shell._body, shell._tape = tape.body, tape
        tape.shells.append(shell)

    def _blank(self, body: Tensor) -> Tensor:
        shape = body.shape
        blank = self._blanks.get(shape)
        if blank is None:
            blank = self._blanks[shape] = _BLANK.expand(shape)
        return blank


class _Unfilled(torch.Tensor):
    """What a parameter and its views have in common while they note initializers."""

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
        if kind is LOOK:
            return func(*map(_looked_at, args), **(kwargs or {}))
        if kind is SELF or (kind is GRADE and _can_require_grad(args[0]._body)):
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        if kind is None and type(func) is FunctionType:
            # A library's wrapper may refuse to run again when the tape is played.
            func = INITIALIZERS.get(func.__name__, func)
            kind = KINDS.get(func)
        if kind is NOTED:
            target, *rest = args or (kwargs.pop("tensor", None),)
            if isinstance(target, _Unfilled) and _note(func, target, rest, kwargs):
                return target
            args = (target, *rest)
        if kind is VIEW and _is_plain(args[1:]) and isinstance(args[0], _Unfilled):
            views = _views(func, args[0], args[1:], kwargs)
            if views is not None:
                return views
        _close_all((*args, *kwargs.values()))
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


def note(function: Function, tensor: object, *args: Any) -> bool:
    """Put a call on the tape of ``tensor``; False if it must be run now."""
    return isinstance(tensor, _Unfilled) and _note(
        function, tensor, args, {}, is_tried=True
    )


def close(tensor: object) -> None:
    """Give ``tensor`` its values if it is an unfilled one."""
    if isinstance(tensor, _Unfilled):
        tensor._tape.close()


def _note(
    function: Function,
    target: _Unfilled,
    args: Any,
    kwargs: dict[str, Any],
    *,
    is_tried: bool = False,
) -> bool:
    if (args and not _is_plain(args)) or (kwargs and not _is_plain(kwargs.values())):
        return False
    args, body = tuple(args), target._body
    if not is_tried and not succeeds(function, body, args, kwargs):
        return False
    if function not in _WITHOUT_GRAD and torch.is_grad_enabled():
        # Torch forbids changes of a leaf that requires grad, and says so at the call.
        with torch._C.DisableTorchFunctionSubclass():
            if target.requires_grad:
                return False
    target._tape.note(function, body, args, kwargs)
    return True


def _views(
    func: Function, source: _Unfilled, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return views of the memory of ``source``; None if it has to be a real tensor."""
    if func not in _DETACHING and torch.is_grad_enabled():
        with torch._C.DisableTorchFunctionSubclass():
            if source.requires_grad:
                return None
    body, tape = source._body, source._tape
    bodies = func(body, *args, **kwargs)
    address = body.untyped_storage()._cdata
    parts = [bodies] if isinstance(bodies, Tensor) else bodies
    if any(part.untyped_storage()._cdata != address for part in parts):
        return None
    views = [source if p is body else tape.build.view(p, tape) for p in parts]
    return views[0] if isinstance(bodies, Tensor) else type(bodies)(views)


def _looked_at(value: Any) -> Any:
    return value._body if isinstance(value, _Unfilled) else value


def _is_plain(values: Iterable[Any]) -> bool:
    """Return whether no tensor is among ``values``, nor a list that may hold some."""
    for value in values:
        if type(value) is tuple:
            if not _is_plain(value):
                return False
        elif not isinstance(value, _PLAIN):
            return False
    return True


def _can_require_grad(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _is_ordinary(data: Tensor) -> bool:
    return (
        data.layout is torch.strided
        and data.numel() > 0
        and not data.requires_grad
        and not data.is_meta
        and not data.is_inference()
        and not data.is_neg()
        and not data.is_conj()
        and (data.is_cpu or torch._has_compatible_shallow_copy_type(_BLANK, data))
    )


def _stands_alone(data: Tensor, n_tensors: int) -> bool:
    """Return whether ``n_tensors`` are all that stand on the memory of ``data``.

    Memory that torch cannot resize is another's: numpy's, a file's, a process's.
    """
    storage = data.untyped_storage()
    # The storage object that is asked counts as one more.
    return _n_users(storage._cdata) == n_tensors + 1 and storage.resizable()


def _is_dense(tensor: Tensor) -> bool:
    """Return whether ``tensor`` has each element of its memory once."""
    if tensor.is_contiguous():
        return True
    strides = tensor.stride()
    order = sorted(range(tensor.ndim), key=strides.__getitem__, reverse=True)
    return tensor.permute(order).is_contiguous()


def _close_all(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, _Unfilled):
            value._tape.close()
        elif isinstance(value, list | tuple | set | frozenset):
            _close_all(value)
        elif isinstance(value, dict):
            _close_all(value.values())


def _run(steps: Iterable[_Step]) -> None:
    with torch.no_grad():
        for _, function, body, args, kwargs in steps:
            function(body, *args, **kwargs)


def _turn(step: _Step) -> int:
    return step[0]


def _blank() -> Tensor:
    """Return an element of a dtype with which torch computes least; NaN if it does."""
    dtype = getattr(torch, "float4_e2m1fn_x2", torch.float8_e5m2)
    return torch.full((), 0x7F, dtype=torch.uint8).view(dtype)


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
_BLANK = _blank()
BLANK = _BLANK.dtype
"""The dtype that an unfilled tensor has for code past Python."""
_make_subclass: Any = torch.Tensor._make_subclass
_n_users: Callable[[int], int] = torch._C._storage_Use_Count


def _method(name: str) -> Function:
    """Return the initializer as a method, which Python finds before torch does."""
    function: Function = getattr(torch.Tensor, name)

    def noted(self: _Unfilled, *args: Any, **kwargs: Any) -> Any:
        if _note(function, self, args, kwargs):
            return self
        self._tape.close()
        return function(self, *args, **kwargs)

    return noted


def _looking(name: str) -> Function:
    """Return a method that needs no values, asked of the body at once."""
    function: Function = getattr(torch.Tensor, name)
    return lambda self, *args: function(self._body, *args)


for _name in ("normal_", "uniform_", "fill_", "zero_"):
    setattr(_Unfilled, _name, _method(_name))
for _name in ("size", "dim", "numel"):
    setattr(_Unfilled, _name, _looking(_name))
for _name in ("shape", "dtype", "device", "ndim"):
    setattr(_Unfilled, _name, property(attrgetter(f"_body.{_name}")))
