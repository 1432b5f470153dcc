"""The classes that files may name: a file finds known ones, and imports nothing."""

import sys
import types
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar, overload

from torch import Tensor, nn

from ...config.registry import Registry
from ...config.short_text import short_repr
from ...config.spelling import did_you_mean
from ...records.errors import RecordError
from ...records.tensors.tensor_classes import allow_tensor_classes
from ..errors import UnknownClassError
from .classes import torch_classes
from .signature import parameters_of

_M = TypeVar("_M", bound=nn.Module)

Node: TypeAlias = Mapping[str, Any]
"""The hyperparameters of a module as plain data, with its class."""

NAME, MODULE, REGISTERED = "__name__", "__module__", "__registered__"
"""The keys of hyperparameters that hold the class."""


@overload
def register_class(cls: type[_M], *, name: str | None = None) -> type[_M]: ...
@overload
def register_class(
    cls: None = None, *, name: str | None = None
) -> Callable[[type[_M]], type[_M]]: ...
def register_class(cls: Any = None, *, name: str | None = None) -> Any:
    """Let files name ``cls``; under ``name`` too, which survives moving the class.

    Also a decorator. The previous owner of the name is unregistered from it. A class
    may have several names: with its former one, ``register_class(New, name="Old")``,
    old files are read. `@burnish.module` and `burnish.Module` do this for their
    classes.
    """
    if cls is None:
        return lambda cls: register_class(cls, name=name)
    _check(cls)
    if name is not None and (not isinstance(name, str) or not name.strip()):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"the name of a class must be a non-empty str, got {name!r}")
    _places.register((cls.__module__, cls.__qualname__), value=cls)
    if name is not None:
        _names.register(name, value=cls)
    return cls


@contextmanager
def allow_classes(*classes: type[nn.Module] | type[Tensor]) -> Generator[None]:
    """Let files name ``classes`` inside the block, in this thread or task alone.

    They are classes of modules, or of tensors that wrap others, such as quantized
    weights.
    """
    modules, tensors = dict(_allowed.get()), list[type[Tensor]]()
    for cls in classes:
        if isinstance(cls, type) and issubclass(cls, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            tensors.append(cls)
        else:
            _check(cls)
            modules[cls.__module__, cls.__qualname__] = cls
    # A context variable, since other threads and tasks must not trust these classes.
    token = _allowed.set(modules)
    try:
        with allow_tensor_classes(*tensors):
            yield
    finally:
        _allowed.reset(token)


def known_classes() -> list[type[nn.Module]]:
    """Return the classes of the program that files may name, the newest first."""
    return [*_allowed.get().values(), *reversed([*_places.values()])]


def names_of(cls: type[nn.Module]) -> dict[str, str]:
    """Return the node of ``cls`` in hyperparameters."""
    names = {MODULE: cls.__module__, NAME: cls.__qualname__}
    registered = _names.entries.items()
    name = next((name for name, its_class in registered if its_class is cls), None)
    return names if name is None else names | {REGISTERED: name}


def class_named(
    node: Node,
    path: str = "",
    *,
    moved_modules: Mapping[str, str] | None = None,
) -> type[nn.Module]:
    """Return the known class that ``node`` names.

    ``moved_modules`` maps the old modules of classes to their present ones. Otherwise
    raises `UnknownClassError`, which states what to import or to register.
    """
    registered = node.get(REGISTERED)
    if isinstance(registered, str) and registered in _names:
        return _names[registered]
    module, name = node.get(MODULE), node.get(NAME)
    if not isinstance(module, str) or not isinstance(name, str):
        raise UnknownClassError(
            path,
            f"{short_repr(dict(node), 100)} does not name a module class: it needs "
            f"{MODULE!r} and {NAME!r}, both strings",
        )
    # Locations precede former names, which another class may have taken since.
    known_class = _at(module, name)
    if known_class is None and moved_modules and module in moved_modules:
        known_class = _at(moved_modules[module], name)
    if known_class is None:
        known_class = _names.get(name) or _names.get(f"{module}.{name}")
    if known_class is None:
        raise UnknownClassError(path, _refusal(module, name, registered))
    return known_class


def is_same_class(node: Node, cls: type[nn.Module]) -> bool:
    """Return whether ``node`` is of ``cls``, wherever the class has moved."""
    ours = names_of(cls)
    if node.get(REGISTERED) is not None and REGISTERED in ours:
        # A class may have former names besides the one that it writes.
        return _known_class({REGISTERED: node[REGISTERED]}) is cls
    if node.get(NAME) != ours[NAME]:
        return _known_class(node) is cls
    if node.get(MODULE) == ours[MODULE]:
        return True
    # Another class at its old location is another one; if there is none, it has moved.
    return _known_class(node) in (None, cls)


def takes_the_same(node: Node, cls: type[nn.Module]) -> bool:
    """Return whether a relative of ``cls`` is stored that has the same arguments."""
    stored_class = _known_class(node)
    if stored_class is None or not is_related(node, cls):
        return False
    return list(parameters_of(stored_class)) == list(parameters_of(cls))


def is_related(node: Node, cls: type[nn.Module]) -> bool:
    """Return whether ``node`` is of a known parent or subclass of ``cls``."""
    stored_class = _known_class(node)
    return stored_class is not None and (
        issubclass(cls, stored_class) or issubclass(stored_class, cls)
    )


def is_of_a_parent(node: Node, cls: type[nn.Module]) -> bool:
    """Return whether ``node`` is of a known class that ``cls`` derives from."""
    stored_class = _known_class(node)
    return stored_class is not None and issubclass(cls, stored_class)


def renamed_hint(node: Node, cls: type[nn.Module]) -> str:
    """Explain how to register ``cls`` under its former name, if that is unknown."""
    name = node.get(NAME)
    if _known_class(node) is not None or not isinstance(name, str):
        return ""
    return (
        f" (if that is its former name: burnish.register_class({cls.__qualname__}, "
        f"name={name[:60]!r}))"
    )


def _known_class(node: Node) -> type[nn.Module] | None:
    try:
        return class_named(node)
    except RecordError:
        return None


def _at(module: str, name: str) -> type[nn.Module] | None:
    place = (module, name)
    return (
        _allowed.get().get(place)
        or _places.get(place)
        or _torch_places().get(place)
        or _heir(place)
    )


def _heir(place: tuple[str, str]) -> type[nn.Module] | None:
    """Return the newest subclass of a known class that is at ``place``.

    Registering a class also trusts its subclasses, since they are in the program.
    """
    heir_at_place: type[nn.Module] | None = None
    pending = [*_places.values(), *_allowed.get().values()]
    visited: set[type[nn.Module]] = set()
    while pending:
        cls = pending.pop()
        for heir in type.__subclasses__(cls):
            if heir not in visited:
                visited.add(heir)
                pending.append(heir)
                if (heir.__module__, heir.__qualname__) == place:
                    heir_at_place = heir
    return heir_at_place


def _torch_places() -> Mapping[tuple[str, str], type[nn.Module]]:
    if not _torch:
        classes = torch_classes()
        by_module = {(cls.__module__, cls.__qualname__): cls for cls in classes}
        # Files of other torch versions may name the public location of a class.
        public = {("torch.nn", cls.__qualname__): cls for cls in classes}
        _torch.register_all(by_module | public)
    return _torch


def _check(cls: object) -> None:
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"expected a module class, got {short_repr(cls)}")


def _refusal(module: str, name: str, registered: object) -> str:
    where = f"{module}.{name}"
    message = f"the class {short_repr(where, 200)} is not known here"
    if isinstance(registered, str):
        message = (
            f"no class is registered as {short_repr(registered, 200)}, and {message}"
        )
    message += ". Loading a file imports nothing: "
    cure = f"burnish.register_class(NewName, name={name[:60]!r})"
    renamed = f" If the class was renamed: {cure}."
    if module == "__main__":
        return message + (
            "it was defined in a program that ran as a script. If this program has the "
            f"class, call burnish.register_class({name:.60}) first; so that other "
            f"programs can load it, name it: @burnish.module(name=...).{renamed}"
        )
    if module not in sys.modules:
        hint = did_you_mean(name[:80], {n for _, n in _places})
        return message + (f"first import the module that defines it.{hint}{renamed}")
    if module.partition(".")[0] == "torch":
        hint = did_you_mean(name[:80], {n for _, n in _torch_places()})
        return message + f"register it with burnish.register_class(...).{hint}"
    hint = did_you_mean(name[:80], {n for m, n in _places if m == module})
    return message + (
        "if you trust it, decorate it with @burnish.module or pass it to "
        f"burnish.register_class(...).{hint}{renamed}"
    )


_places: Registry[tuple[str, str], type[nn.Module]] = Registry()
_names: Registry[str, type[nn.Module]] = Registry()
_torch: Registry[tuple[str, str], type[nn.Module]] = Registry()
_nothing: Mapping[tuple[str, str], type[nn.Module]] = types.MappingProxyType({})
_allowed: ContextVar[Mapping[tuple[str, str], type[nn.Module]]]
_allowed = ContextVar("_allowed", default=_nothing)
