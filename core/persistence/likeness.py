# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Whether two modules, built from different arguments, have equal content.

Objects that Python cannot look into count as different, so that modules which may
compute different results never count as equal.
"""

import inspect
import types
from collections.abc import Callable, Container, Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ...config.path import join
from ...config.process.interrupts import raise_of_signal
from ...records.tensors.bits import same_bits
from ..hyperparameters.structure import MEANINGLESS
from ..modules.classes import declared_class
from ..modules.tree import places_of, unwrapped
from .comparison import ABSENT, value_difference

_OF_TORCH = frozenset(nn.Module().__dict__)
"""The attributes that torch keeps in every module."""

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""Those dicts among them whose items change what a module computes."""

_PLACEMENT = (torch.device, torch.dtype)
"""Types of values that are the reader's choice."""


def first_difference(
    stored_module: nn.Module, module: nn.Module, supplied: Container[str]
) -> str | None:
    """Return how ``module`` differs from the stored one; None if it does not.

    Buffers at ``supplied`` paths get their values from the file, and parameters are not
    compared.
    """
    return _Likeness(stored_module, module, supplied).first_difference()


class _Likeness:
    def __init__(
        self, stored_module: nn.Module, module: nn.Module, supplied: Container[str]
    ) -> None:
        self.stored, self.module = _parts(stored_module), _parts(module)
        self.supplied = supplied
        self._stored_paths = {id(part): path for path, part in self.stored.items()}
        self._paths = {id(part): path for path, part in self.module.items()}
        self._compared: dict[tuple[int, int], tuple[object, object]] = {}

    def first_difference(self) -> str | None:
        for path in dict.fromkeys([*self.stored, *self.module]):
            stored_part, part = self.stored.get(path), self.module.get(path)
            names = [_class_name(stored_part), _class_name(part)]
            if (
                stored_part is None
                or part is None
                or not _is_of_one_class(stored_part, part)
            ):
                return f"{path}: stored {names[0]}, the module has {names[1]}"
            line = self._of_part(stored_part, part, path)
            if line is not None:
                return line
        return None

    def _of_part(
        self, stored_part: nn.Module, part: nn.Module, path: str
    ) -> str | None:
        stored_attributes, attributes = _attributes(stored_part), _attributes(part)
        for name in dict.fromkeys([*stored_attributes, *attributes]):
            a, b = stored_attributes.get(name, ABSENT), attributes.get(name, ABSENT)
            if not self._are_alike(a, b):
                return value_difference(join(path, name), a, b)
        for table in _HOOKS:
            sides = (stored_part, part)
            hooks = [list(side.__dict__[table].values()) for side in sides]
            if not self._are_alike(*hooks):
                return f"{path}: the module has different hooks"
        return self._of_tensors(stored_part, part, path)

    def _of_tensors(
        self, stored_part: nn.Module, part: nn.Module, path: str
    ) -> str | None:
        for kind in ("_parameters", "_buffers"):
            stored_tensors, tensors = stored_part.__dict__[kind], part.__dict__[kind]
            for name in dict.fromkeys([*stored_tensors, *tensors]):
                where, a, b = (
                    join(path, name),
                    stored_tensors.get(name),
                    tensors.get(name),
                )
                if (a is None) is not (b is None):
                    return f"{where}: only one of the two has it"
                is_computed = kind == "_buffers" and where not in self.supplied
                if a is not None and is_computed and not self._are_alike(a, b):
                    return f"{where}: the module has different values"
        return None

    def _are_alike(self, a: object, b: object) -> bool:
        if a is b:
            return True
        if isinstance(a, nn.Module) and id(a) in self._stored_paths:
            return self._stored_paths[id(a)] == self._paths.get(id(b))
        if _is_number(a) and _is_number(b):
            return bool(a == b or (a != a and b != b))
        if isinstance(a, _PLACEMENT) and isinstance(b, _PLACEMENT):
            return True
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return _are_equal(a, b)
        if type(a) is not type(b):
            return False
        # An object that contains itself is equal if nothing else in it differs.
        if (id(a), id(b)) in self._compared:
            return True
        self._compared[id(a), id(b)] = (a, b)
        return self._are_items_alike(_contents(a), _contents(b))

    def _are_items_alike(self, a: object, b: object) -> bool:
        if a is None or b is None:
            return False
        if isinstance(a, list) and isinstance(b, list):
            pairs = zip(a, b, strict=False)
            return len(a) == len(b) and all(self._are_alike(x, y) for x, y in pairs)
        return bool(a == b)


def _parts(module: nn.Module) -> dict[str, nn.Module]:
    """Return the module at each path, with wrappers removed."""
    places = reversed(places_of(module))
    return {prefix[:-1]: unwrapped(part) for prefix, part in places}


def _is_of_one_class(a: nn.Module, b: nn.Module) -> bool:
    return declared_class(type(a)) is declared_class(type(b))


def _class_name(part: nn.Module | None) -> str:
    return "nothing" if part is None else declared_class(type(part)).__qualname__


def _attributes(part: nn.Module) -> dict[str, Any]:
    """Return the attributes that a constructor may have set on ``part``."""
    return {
        name: value
        for name, value in part.__dict__.items()
        if name not in _OF_TORCH
        and name not in MEANINGLESS
        and not _is_kept_by_us(name, value)
        and not _is_cached(type(part), name)
    }


def _is_kept_by_us(name: str, value: object) -> bool:
    ours = __name__.partition(".")[0]
    return name.startswith("_burnish") or (
        type(value).__module__.partition(".")[0] == ours
        and not isinstance(value, nn.Module)
    )


def _is_cached(cls: type, name: str) -> bool:
    return isinstance(inspect.getattr_static(cls, name, None), cached_property)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_equal(a: Tensor, b: Tensor) -> bool:
    if a.dtype is not b.dtype or a.shape != b.shape:
        return False
    try:
        return same_bits(a.detach(), b.detach())
    except (RuntimeError, NotImplementedError) as error:
        raise_of_signal(error)
        return False  # on the meta device, or of a layout without bytes


def _contents(value: Any) -> Any:
    """Return a list of the parts of ``value``, or a value that can be compared.

    None if it cannot be looked into.
    """
    if isinstance(value, str | bytes | bool | complex):
        return str(value) if isinstance(value, complex) else value
    if type(value) in (list, tuple):
        return list(value)
    if type(value) is dict:
        return _of_mapping(value)
    if type(value) in (set, frozenset):
        return sorted(map(repr, value)) if _is_plain(value) else None
    if isinstance(value, types.FunctionType):
        return _of_function(value)
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, type | types.BuiltinFunctionType | types.ModuleType):
        return None  # these are unique objects in the process
    return _of_object(value)


def _of_mapping(value: Mapping[Any, object]) -> list[Any] | None:
    if not _is_plain(value):
        return None
    keys = sorted(value, key=repr)
    return [[repr(key), value[key]] for key in keys]


def _is_plain(values: Any) -> bool:
    kinds = (str, int, float, bytes, type(None))
    return all(isinstance(value, kinds) for value in values)


def _of_function(function: types.FunctionType) -> list[Any] | None:
    try:
        closure = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:
        return None  # a name that is not bound yet
    defaults = [function.__defaults__, function.__kwdefaults__, function.__dict__]
    return [function.__code__, closure, *defaults]


def _of_object(value: object) -> Any:
    """Return how pickle would reduce ``value``, as lists."""
    reduce: Callable[[int], Any] = value.__reduce_ex__
    try:
        reduced = reduce(2)
    except Exception as error:
        raise_of_signal(error)
        return None
    if isinstance(reduced, str):
        return reduced
    return [list(part) if isinstance(part, Iterator) else part for part in reduced]  # pyright: ignore[reportUnknownArgumentType]  # anything
