"""The arguments a module was built with: captured by its constructor, or registered."""

import copy
import functools
import importlib
import inspect
import operator
import pickle
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn

from ...config.classes.fields import is_struct_value
from ...config.process.interrupts import raise_of_signal
from ...config.registry import Registry
from ...config.short_text import short_repr
from .descriptions import description
from .torch_layers import is_torch_layer, layer_arguments

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")

ARGUMENTS = "_burnish_arguments"
"""The attribute of a module that holds the arguments of its constructor."""

Check: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Raises for arguments that a class does not allow."""

_MARK = "_burnish_captures"


class Arguments:
    """The arguments of a constructor; copies and pickles omit those that cannot be.

    A module that was copyable before it was decorated remains so, whatever its
    arguments.
    """

    __slots__ = ("args", "kwargs", "owner")

    def __init__(
        self,
        owner: type[nn.Module],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> None:
        self.owner, self.args, self.kwargs = owner, args, kwargs

    def bound(self) -> dict[str, object]:
        """Return the arguments by name, defaults included.

        ``*args`` and ``**kwargs`` are one each: a tuple and a dict.
        """
        # The signature of the constructor that ran, which may be that of a parent
        # class.
        signature = inspect.signature(self.owner.__init__)
        bound = signature.bind(None, *self.args, **self.kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def check(self, check: Check) -> None:
        """Call ``check`` with them, if they fit the constructor at all."""
        try:
            bound = self.bound()
        except TypeError:
            return  # Python's own error is better, when the constructor is called
        check(bound)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Arguments":
        args = tuple(_copy_or_itself(value, memo) for value in self.args)
        kwargs = {
            name: _copy_or_itself(value, memo) for name, value in self.kwargs.items()
        }
        return Arguments(self.owner, args, kwargs)

    def __reduce__(self) -> tuple[object, ...]:
        args = tuple(_picklable(value) for value in self.args)
        kwargs = {name: _picklable(value) for name, value in self.kwargs.items()}
        return (Arguments, (self.owner, args, kwargs))


class Described:
    """Replaces an argument that no file can hold, and that is not kept either."""

    def __init__(self, description: str) -> None:
        self.burnish_description = description
        """A description of the argument, as in files."""

    def __repr__(self) -> str:
        return f"<{self.burnish_description}>"


def capture(
    cls: type[nn.Module],
    checker_of: Callable[[type[nn.Module]], Check | None],
    note_structure: Callable[[nn.Module], object],
) -> None:
    """Make instances of ``cls`` capture the arguments of the outermost constructor.

    ``checker_of`` returns the validator for a class, which runs before the arguments
    are used; ``note_structure`` is called with what the constructor has built.
    """
    init = cls.__init__
    if getattr(init, _MARK, None) is not None and "__init__" not in cls.__dict__:
        return
    if "__init__" not in cls.__dict__:
        init = _delegate(cls)
    if getattr(init, _MARK, None) is cls:
        return

    @functools.wraps(init)
    def __init__(self: nn.Module, /, *args: object, **kwargs: object) -> None:
        state = self.__dict__
        # It is None while a constructor runs: this is that of a parent, and only the
        # outermost one has the arguments that the module was built with.
        if state.get(ARGUMENTS, _nothing) is None:
            init(self, *args, **kwargs)
            return
        check = checker_of(type(self))
        if check is not None:
            Arguments(cls, args, kwargs).check(check)
        # A constructor may change a list that it was given, so it is copied before.
        outer_arguments = Arguments(cls, *_snapshots_of(args, kwargs))
        state[ARGUMENTS] = None
        try:
            init(self, *args, **kwargs)
        except BaseException:
            state.pop(ARGUMENTS, None)
            raise
        state[ARGUMENTS] = outer_arguments
        note_structure(self)

    setattr(__init__, _MARK, cls)
    cls.__init__ = __init__  # type: ignore[method-assign, assignment]  # that is what capturing is


def is_capturing(constructor: object) -> bool:
    """Return whether ``constructor`` captures its arguments."""
    return getattr(constructor, _MARK, None) is not None


def captured_arguments(module: nn.Module) -> dict[str, object] | None:
    """Return the captured arguments of ``module`` by name; None if there are none."""
    arguments = module.__dict__.get(ARGUMENTS)
    return None if arguments is None else arguments.bound()


_nothing = object()
_LASTING = frozenset({int, float, str, bool, type(None), type, torch.dtype})
"""Types whose values are kept as they were passed."""


def _snapshots_of(
    args: tuple[object, ...], kwargs: dict[str, object]
) -> tuple[tuple[object, ...], dict[str, object]]:
    """Return copies of the arguments, so that later changes do not affect them."""
    if not _LASTING.issuperset(map(type, args)):
        args = tuple(map(_snapshot_or_itself, args))
    if not _LASTING.issuperset(map(type, kwargs.values())):
        kwargs = {name: _snapshot_or_itself(value) for name, value in kwargs.items()}
    return args, kwargs


def _snapshot_or_itself(value: object) -> object:
    try:
        return _snapshot(value)
    except RecursionError:
        return value  # it contains itself, which no file can hold anyway


def _snapshot(value: Any) -> object:
    kind = type(value)
    if kind is tuple:
        items = tuple(map(_snapshot, value))
        return value if all(map(operator.is_, items, value)) else items
    if kind is list:
        return [_snapshot(item) for item in value]
    if kind is dict:
        return {key: _snapshot(item) for key, item in value.items()}
    if isinstance(value, torch.Tensor) or _is_array(kind):
        # The captured arguments must not keep the memory alive: the module decides
        # that.
        return Described(description(value))
    if kind is set or (not isinstance(value, nn.Module) and is_struct_value(value)):
        return _copy_or_itself(value, {})
    return value


def _is_array(kind: type) -> bool:
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray"


def _delegate(cls: type[nn.Module]) -> Any:
    """Return a constructor that passes all its arguments to the parent's."""
    inherited = cls.__init__

    @functools.wraps(inherited)
    def __init__(self: nn.Module, /, *args: object, **kwargs: object) -> None:
        if "__dataclass_fields__" in cls.__dict__:
            raise TypeError(
                f"{cls.__qualname__} became a dataclass after @burnish.module, so its "
                "constructor does not take its fields: put @burnish.module above "
                "@dataclass"
            )
        super(cls, self).__init__(*args, **kwargs)

    return __init__


def _copy_or_itself(value: T, memo: dict[int, Any]) -> T:
    try:
        return copy.deepcopy(value, memo)
    except Exception as error:
        raise_of_signal(error)
        # A connection or a generator: the module itself may not have kept it.
        return value


def _picklable(value: object) -> object:
    if isinstance(value, int | float | str | bool | None | nn.Module):
        return value
    try:
        pickle.dumps(value)
    except Exception as error:
        raise_of_signal(error)
        return Described(description(value))
    return value


Getter = Callable[[Any], Mapping[str, Any]]
"""Returns the arguments that build a module like the one it is given."""

Builder = Callable[[type[Any], Mapping[str, Any]], nn.Module]
"""Builds a module of a class from its arguments, if a call of the class does not."""


def register_hparams(
    cls: type[M],
    getter: Getter,
    *,
    build: Builder | None = None,
    subclasses: bool = False,
) -> None:
    """Register ``getter`` for the hyperparameters of modules of ``cls``.

    It returns the arguments of the constructor: plain data and modules. ``build``
    builds a module from them if ``cls(**arguments)`` does not. Files may name ``cls``
    once `register_class` was called for it too.
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(
            f"only module classes have hyperparameters, got {short_repr(cls)}"
        )
    _getters.register(cls, value=(getter, build, subclasses))


def builder_of(cls: type[nn.Module]) -> Builder | None:
    """Return what builds modules of ``cls`` instead of a call, if anything does."""
    registration = _inherited_registration(cls)
    return registration[1] if registration is not None else None


def known_arguments(
    module: nn.Module, cls: type[nn.Module]
) -> Mapping[str, Any] | None:
    """Return the arguments of ``module``, an instance of ``cls``; None if unknown."""
    # A registration for this very class wins; compared with one for a parent, the
    # captured arguments of the constructor are more precise.
    registration = _getters.entries.get(cls)
    if registration is None:
        registration = _inherited_registration(cls)
        passed_arguments = captured_arguments(module)
        # The arguments of a library's constructors are not plain data, and its getter
        # can describe them, including those that a decorated subclass has captured.
        if passed_arguments is not None and library_bases.isdisjoint(cls.__mro__):
            return passed_arguments
    if registration is not None:
        return registration[0](module)
    if is_torch_layer(cls):
        return layer_arguments(module)
    # Our own property would call this function again, without end.
    if _asks_back(module):
        return None
    hparams = getattr(module, "hparams", None)
    return hparams if isinstance(hparams, Mapping) else None  # pyright: ignore[reportUnknownVariableType]  # a user's mapping


def ask_back(attribute: object) -> None:
    """Register a class attribute ``hparams`` that itself calls `known_arguments`."""
    _attributes_that_ask.append(attribute)


def _asks_back(module: nn.Module) -> bool:
    if "hparams" in module.__dict__:
        return False
    attribute = inspect.getattr_static(type(module), "hparams", None)
    return any(
        attribute is asking_attribute for asking_attribute in _attributes_that_ask
    )


_attributes_that_ask: list[object] = []


_getters: Registry[type[nn.Module], tuple[Getter, Builder | None, bool]] = Registry()


_libraries = {"transformers.modeling_utils": ".transformers_models"}
"""Modules of other libraries, and ours with known arguments."""


def _know_other_libraries() -> None:
    """Register the classes of libraries that the program has loaded."""
    # Another thread may do this at the same time, which does no harm.
    for theirs, name in [*_libraries.items()]:
        if theirs not in sys.modules:
            continue
        ours = importlib.import_module(name, __package__)
        if ours.register_models():
            _libraries.pop(theirs, None)


library_bases: set[type] = set()
"""The base classes of libraries whose modules have known arguments.

Their builders accept what constructors do, and the form in which files hold it.
"""


def _inherited_registration(
    cls: type[nn.Module],
) -> tuple[Getter, Builder | None, bool] | None:
    """Return the registration of ``cls``, or of a parent that includes subclasses."""
    if any(theirs in sys.modules for theirs in [*_libraries]):
        _know_other_libraries()
    for base in cls.__mro__:
        registration = _getters.entries.get(base)
        if registration is not None and (base is cls or registration[2]):
            return registration
    return None
