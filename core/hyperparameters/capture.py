"""The arguments of a module's constructor, noted as they were passed."""

import copy
import functools
import inspect
import operator
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...config.fields import is_struct_value
from .declared_type import checker_of
from .structure import note_structure
from .unstored import description

ARGUMENTS = "_burnish_arguments"
"""Where a module keeps what its constructor was called with."""

_MARK = "_burnish_captures"


class Arguments:
    """What a constructor was called with; copies and pickles leave out what cannot.

    A module that was copyable before it was decorated still is, whatever it was given.
    """

    __slots__ = ("args", "kwargs", "owner")

    def __init__(
        self, owner: type[nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.owner, self.args, self.kwargs = owner, args, kwargs

    def bound(self) -> dict[str, Any]:
        """Return the arguments by name, defaults included.

        ``*args`` and ``**kwargs`` are one each: a tuple and a dict.
        """
        # The signature of the one that ran, which may be a parent's of the class.
        signature = inspect.signature(self.owner.__init__)
        bound = signature.bind(None, *self.args, **self.kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def check(self, check: Callable[[dict[str, Any]], None]) -> None:
        """Let ``check`` raise for them, if they fit the constructor at all."""
        try:
            bound = self.bound()
        except TypeError:
            return
        check(bound)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Arguments":
        args = tuple(_copied(value, memo) for value in self.args)
        kwargs = {name: _copied(value, memo) for name, value in self.kwargs.items()}
        return Arguments(self.owner, args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        args = tuple(_picklable(value) for value in self.args)
        kwargs = {name: _picklable(value) for name, value in self.kwargs.items()}
        return (Arguments, (self.owner, args, kwargs))


class Described:
    """Stands for an argument that no file holds, and that is not kept either."""

    def __init__(self, description: str) -> None:
        self.burnish_description = description
        """What the argument was, as files say it."""

    def __repr__(self) -> str:
        return f"<{self.burnish_description}>"


def capture(cls: type[nn.Module]) -> None:
    """Make instances of ``cls`` note the arguments of the outermost constructor."""
    init = cls.__init__
    if getattr(init, _MARK, None) is not None and "__init__" not in cls.__dict__:
        return
    if "__init__" not in cls.__dict__:
        init = _delegate(cls)
    if getattr(init, _MARK, None) is cls:
        return

    @functools.wraps(init)
    def __init__(self: nn.Module, /, *args: Any, **kwargs: Any) -> None:
        state = self.__dict__
        if state.get(ARGUMENTS, _nothing) is None:
            init(self, *args, **kwargs)
            return
        check = checker_of(type(self))
        if check is not None:
            Arguments(cls, args, kwargs).check(check)
        noted = Arguments(cls, *_as_passed(args, kwargs))
        state[ARGUMENTS] = None
        try:
            init(self, *args, **kwargs)
        except BaseException:
            state.pop(ARGUMENTS, None)
            raise
        state[ARGUMENTS] = noted
        note_structure(self)

    setattr(__init__, _MARK, cls)
    cls.__init__ = __init__  # type: ignore[method-assign, assignment]  # that is what capturing is


def arguments_of(module: nn.Module) -> dict[str, Any] | None:
    """Return what ``module`` was built with by name; None if nobody noted it."""
    arguments = module.__dict__.get(ARGUMENTS)
    return None if arguments is None else arguments.bound()


_nothing = object()
_LASTING = frozenset({int, float, str, bool, type(None), type, torch.dtype})
"""Types whose values stay as they were passed."""


def _as_passed(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments so that nobody who changes them later changes the note."""
    if not _LASTING.issuperset(map(type, args)):
        args = tuple(map(_as_it_is_now, args))
    if not _LASTING.issuperset(map(type, kwargs.values())):
        kwargs = {name: _as_it_is_now(value) for name, value in kwargs.items()}
    return args, kwargs


def _as_it_is_now(value: Any) -> Any:
    try:
        return _snapshot(value)
    except RecursionError:
        return value  # it contains itself, which no file holds anyway


def _snapshot(value: Any) -> Any:
    kind = type(value)
    if kind is tuple:
        items = tuple(map(_snapshot, value))
        return value if all(map(operator.is_, items, value)) else items
    if kind is list:
        return [_snapshot(item) for item in value]
    if kind is dict:
        return {key: _snapshot(item) for key, item in value.items()}
    if isinstance(value, torch.Tensor) or _is_array(kind):
        # What the module keeps of it is its own affair: the note holds no memory.
        return Described(description(value))
    if kind is set or (not isinstance(value, nn.Module) and is_struct_value(value)):
        return _copied(value, {})
    return value


def _is_array(kind: type) -> bool:
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray"


def _delegate(cls: type[nn.Module]) -> Any:
    """Return a constructor that hands all over to the parent's."""
    inherited = cls.__init__

    @functools.wraps(inherited)
    def __init__(self: nn.Module, /, *args: Any, **kwargs: Any) -> None:
        if "__dataclass_fields__" in cls.__dict__:
            raise TypeError(
                f"{cls.__qualname__} became a dataclass after @burnish.module, so it "
                "has no constructor of its fields: put @burnish.module above @dataclass"
            )
        super(cls, self).__init__(*args, **kwargs)

    return __init__


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        # A connection or a generator: the module itself may not have kept it.
        return value


def _picklable(value: Any) -> Any:
    if isinstance(value, int | float | str | bool | None | nn.Module):
        return value
    try:
        pickle.dumps(value)
    except Exception:
        return Described(description(value))
    return value
