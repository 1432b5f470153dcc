# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Reading of hyperparameters into a plan, from which a module can be built.

All names and arguments are checked before the first constructor runs.
"""

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from typing import Any, TypeVar, overload

from torch import nn

from ...config.classes.fields import fields_of
from ...config.classes.union_choice import struct_for
from ...config.path import join
from ...config.short_text import short_repr, with_article
from ...config.spelling import did_you_mean
from ...config.tree import MAX_DEPTH
from ...records.tensors.dtypes import ALL as DTYPES
from ..errors import HyperparameterError
from ..modules.functions import function_named
from ..modules.registry import MODULE, NAME, Node, class_named
from ..modules.signature import parameters_of
from .capture import builder_of
from .checks import check_complete, check_defaults, check_no_argument, check_stored
from .declared import Hint, allows_kinds, argument_hints, is_plain_struct, needs_class
from .hparams_node import (
    CLASS,
    FUNCTION,
    KEYWORDS,
    NOTES,
    REF,
    RESERVED,
    TENSOR,
    is_child,
    is_plain_value,
)
from .kinds import (
    HintWithKinds,
    PlainItems,
    Spec,
    containers_of,
    declared_container,
    declared_hint,
    kinds_of,
    range_of,
    with_kind,
)
from .module_plan import (
    ContainerPlan,
    ModulePlan,
    PartialPlan,
    PassedArgument,
    Reference,
    StructPlan,
    has_plans,
)
from .node_readers import node_reader
from .torch_layers import Values, is_torch_layer, tuples
from .upgrade import upgraded_node
from .values import restored_key, restored_sequence, restored_value

M = TypeVar("M", bound=nn.Module)


@overload
def from_hyperparameters(hparams: Mapping[str, object]) -> nn.Module: ...
@overload
def from_hyperparameters(hparams: Mapping[str, object], cls: type[M]) -> M: ...
def from_hyperparameters(
    hparams: Mapping[str, object], cls: type[nn.Module] | None = None
) -> nn.Module:
    """Return the module that ``hparams`` describe, built by calling constructors.

    Without ``cls`` the class is the known one that they name; if given, it is trusted,
    and so is the module that it was moved to. Nothing is imported, and no constructor
    runs before all names and arguments are valid; each is called once. Raises
    `UnknownClassError` or `HyperparameterError`, with the path of the problem.
    """
    return planned(hparams, cls)()


def planned(
    hparams: Mapping[str, object], cls: type[nn.Module] | None = None
) -> Callable[[], nn.Module]:
    """Return what builds the module, once everything is valid."""
    if not isinstance(hparams, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # files say anything
        raise HyperparameterError("", f"expected a dict, found {short_repr(hparams)}")
    planner = Planner(_moved_modules(hparams, cls))
    try:
        if cls is not None:
            _check_class(cls, hparams)
        plan = planner.module(hparams, "", 0, cls)
    except RecursionError:
        raise HyperparameterError("", "nested too deeply to be a module") from None
    return lambda: plan.make({})


def _moved_modules(
    hparams: Mapping[str, object], cls: type[nn.Module] | None
) -> dict[str, str]:
    """Return the new module of the given class, in which its neighbors are searched."""
    module = hparams.get(MODULE)
    if cls is None or not isinstance(module, str):
        return {}
    return {module: cls.__module__}


def _check_class(cls: type[nn.Module], hparams: Mapping[str, object]) -> None:
    """Refuse hyperparameters that are known to be those of an unrelated class."""
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"cls must be a module class, got {short_repr(cls)}")
    if NAME not in hparams or hparams[NAME] == cls.__qualname__:
        return
    try:
        stored_class = class_named(hparams)
    except HyperparameterError:
        return
    if not issubclass(cls, stored_class):
        name = stored_class.__qualname__
        raise HyperparameterError(
            "",
            f"these are hyperparameters of {name}, not of {cls.__qualname__}. "
            f"Use {name}.from_hyperparameters, or burnish.from_hyperparameters. If the "
            "class was renamed, remove the old one, and call "
            f"burnish.register_class({cls.__qualname__}, name={name!r}).",
        )


def planned_value(value: object, hint: Hint, path: str) -> Any:
    """Return the value of plain data at ``path``, declared as ``hint``."""
    return Planner({}).value(value, hint, path, 0)


class Planner:
    """Finds the class and the arguments of each module, and runs no code of them."""

    def __init__(self, moved_modules: Mapping[str, str]) -> None:
        self._moved_modules = moved_modules
        self._planned: set[str] = set()

    def module(
        self,
        node: Node,
        path: str,
        depth: int,
        cls: type[nn.Module] | None = None,
    ) -> ModulePlan:
        """Return the plan of the module that ``node`` describes."""
        self.check_depth(path, depth)
        module_class = cls or class_named(node, path, moved_modules=self._moved_modules)
        # This is called by cls.from_hyperparameters, whose override would call it
        # again.
        read = None if cls is not None else own_reader(module_class)
        # Arguments are planned under their present names in the class.
        node = upgraded_node(module_class, node, path)
        registered = node_reader(node)
        if registered is not None:
            read = functools.partial(registered, module_class)
        arguments = {} if read else self._arguments(module_class, node, path, depth)
        # Others may refer to it only from here on, and nothing inside of it may.
        self._planned.add(path)
        return ModulePlan(module_class, path, arguments, node, read)

    def _arguments(
        self, cls: type[nn.Module], node: Node, path: str, depth: int
    ) -> dict[str, Any]:
        if builder_of(cls) is not None:
            return self._for_builder(cls, node, path, depth)
        parameters, hints = parameters_of(cls), argument_hints(cls)
        containers, kinds = _notes_of(cls, node, path)
        arguments: dict[str, Any] = {}
        for name, value in node.items():
            parameter = parameters.get(name)
            if parameter is None:
                check_no_argument(cls, node, name, path)
                continue
            where, spec = join(path, name), kinds.get(name)
            hint = declared_hint(parameter, hints.get(name, Any))
            hint = with_kind(hint, spec)
            kind = containers.get(name) or declared_container(hint, value)
            if kind is not None:
                arguments[name] = self._container(kind, value, where, depth + 1)
            elif is_torch_layer(cls):
                arguments[name] = self._for_torch(
                    cls, name, value, hint, where, depth + 1
                )
            else:
                arguments[name] = self._argument(
                    parameter, value, hint, where, depth + 1
                )
        check_complete(cls, arguments, path)
        return arguments

    def _argument(
        self, parameter: Parameter, value: object, hint: Hint, path: str, depth: int
    ) -> Any:
        if isinstance(value, PassedArgument):
            return self.value(value, hint, path, depth)
        is_list = parameter.kind is Parameter.VAR_POSITIONAL
        if is_list and not isinstance(value, list | tuple):
            raise HyperparameterError(
                path, f"expected a list, found {short_repr(value)}"
            )
        is_dict = parameter.kind is Parameter.VAR_KEYWORD
        if is_dict and not isinstance(value, Mapping):
            raise HyperparameterError(
                path, f"expected a dict, found {short_repr(value)}"
            )
        return self.value(value, hint, path, depth)

    def _for_builder(
        self, cls: type[nn.Module], node: Node, path: str, depth: int
    ) -> dict[str, Any]:
        """Plan the arguments of a registered builder: all but children."""
        parameters = parameters_of(cls)
        return {
            name: self.value(value, Any, join(path, str(name)), depth + 1)
            for name, value in node.items()
            if name in parameters or not (name in RESERVED or is_child(value))
        }

    def _for_torch(
        self,
        cls: type[nn.Module],
        name: str,
        value: object,
        hint: Hint,
        path: str,
        depth: int,
    ) -> Any:
        """Plan an argument of torch's own: sizes are tuples, whatever is declared."""
        planned = self.value(value, hint, path, depth)
        # The one argument of torch's layers that is a list and remains one.
        if name == "cutoffs":
            return planned
        if isinstance(planned, dict):
            return OrderedDict(planned)  # pyright: ignore[reportUnknownArgumentType]  # data
        if cls is nn.Sequential and name == "args":
            is_named = planned and isinstance(planned[0], dict)
            return (OrderedDict(planned[0]),) if is_named else planned
        return tuples(planned) if isinstance(planned, list) else planned

    def value(self, value: object, hint: Hint, path: str, depth: int) -> Any:
        """Return ``value`` with a plan for each module in it."""
        self.check_depth(path, depth)
        if isinstance(value, PassedArgument):
            self._planned.add(path)
            return value
        kinded = (
            hint if isinstance(hint, HintWithKinds) else HintWithKinds(hint, hint, None)
        )
        hint = kinded.hint
        # Nearly all arguments are numbers of the declared type, and need no walk.
        if type(value) is hint and is_plain_value(value):
            return value
        if isinstance(value, Mapping):
            return self._mapping(value, kinded, path, depth)
        if not isinstance(value, list | tuple):
            return _as_declared(restored_value(value, hint), hint, path)
        plain_items = PlainItems(kinded, 0)
        items = [
            item
            if plain_items.has(item)
            else self.value(item, kinded.item(i), join(path, i), depth + 1)
            for i, item in enumerate(value)
        ]
        if hint is range:
            return range_of(items, path)
        return _as_declared(restored_sequence(items, hint), hint, path)

    def _mapping(self, value: Any, kinded: HintWithKinds, path: str, depth: int) -> Any:
        hint = kinded.hint
        if REF in value:
            return self._reference(value, path)
        if CLASS in value:
            return self._class(value, path, depth)
        if FUNCTION in value:
            return _function(value, path)
        if TENSOR in value:
            return _values(value, path)
        if MODULE in value or NAME in value:
            return self.module(value, path, depth)
        struct = struct_for(hint, value)
        if is_plain_struct(struct):
            return self._struct(struct, value, kinded, path, depth)
        if needs_class(hint):
            return _as_declared(dict(value), hint, path)
        items: dict[Any, Any] = {}
        plain_items = PlainItems(kinded, "")
        for key, item in value.items():
            if not isinstance(key, str):
                raise HyperparameterError(
                    path, f"expected a string as the key, found {short_repr(key)}"
                )
            if not plain_items.has(item):
                item = self.value(item, kinded.item(key), join(path, key), depth + 1)
            items[restored_key(key, hint)] = item
        return OrderedDict(items) if allows_kinds(hint, OrderedDict) else items

    def _struct(
        self,
        cls: Any,
        value: Mapping[str, Any],
        kinded: HintWithKinds,
        path: str,
        depth: int,
    ) -> StructPlan:
        fields, values = fields_of(cls), dict[str, Any]()
        for name, item in value.items():
            where = join(path, f"{name!s:.60}")
            if name not in fields:
                hint = did_you_mean(str(name)[:80], fields)
                raise HyperparameterError(
                    where, f"{cls.__name__} has no such field.{hint}"
                )
            hint = with_kind(fields[name].annotation, kinded.spec(name))
            values[name] = self.value(item, hint, where, depth + 1)
        return StructPlan(cls, path, values)

    def _reference(self, value: Mapping[str, object], path: str) -> Reference:
        target = value[REF]
        if not isinstance(target, str) or len(value) > 1:
            raise HyperparameterError(
                path,
                f"expected {{{REF!r}: path}} alone, found {short_repr(dict(value))}",
            )
        # A module is built before it is referred to, and so it is planned before.
        if not any(
            target == p or target.startswith(f"{p}.") for p in self._planned if p
        ):
            raise HyperparameterError(
                path,
                f"refers to {short_repr(target)}, and no module before it has that "
                "path",
            )
        return Reference(path, target)

    def _class(self, value: Mapping[str, object], path: str, depth: int) -> Any:
        node = value[CLASS]
        if not isinstance(node, Mapping) or len(value) > 1:
            raise HyperparameterError(
                path, f"expected a class, found {short_repr(dict(value), 100)}"
            )
        cls = class_named(node, path, moved_modules=self._moved_modules)
        parameters, hints = parameters_of(cls), argument_hints(cls)
        kinds = kinds_of(node, path)
        arguments: dict[str, Any] = {}
        for name, item in node.items():
            if name in parameters:
                hint = with_kind(hints.get(name, Any), kinds.get(name))
                where = join(path, name)
                arguments[name] = self.value(item, hint, where, depth + 1)
            elif name not in RESERVED:
                # A class passed as an argument has constructed nothing, so that no
                # entry can have been created by its constructor.
                check_no_argument(cls, {}, name, path)
        return PartialPlan(cls, arguments) if arguments else cls

    def _container(
        self, cls: type[nn.Module], value: object, path: str, depth: int
    ) -> ContainerPlan:
        self.check_depth(path, depth)
        if isinstance(value, list | tuple) and cls is not nn.ModuleDict:
            pairs: Iterable[tuple[Any, Any]] = (
                (str(i), v) for i, v in enumerate(value)
            )
        elif isinstance(value, Mapping):
            pairs = value.items()
        else:
            raise HyperparameterError(
                path,
                f"expected the items of {with_article(cls.__name__)}, found "
                f"{short_repr(value)}",
            )
        items: dict[str, Any] = {}
        for name, item in pairs:
            where = join(path, name)
            if not isinstance(name, str) or not isinstance(item, Mapping):
                raise HyperparameterError(
                    where, f"expected a module, found {short_repr(item)}"
                )
            items[name] = self.value(item, Any, where, depth + 1)
        self._planned.add(path)
        return ContainerPlan(cls, path, items)

    def check_depth(self, path: str, depth: int) -> None:
        """Raise for data that is nested deeper than any module."""
        if depth > MAX_DEPTH:
            raise HyperparameterError(
                f"{path:.120}", f"nested over {MAX_DEPTH} levels deep"
            )


def _notes_of(
    cls: type[nn.Module], node: Node, path: str
) -> tuple[dict[str, type[nn.Module]], dict[str, Spec]]:
    """Return which arguments are containers, and the kinds of others, by name.

    Raises for arguments that the node marks as impossible to store.
    """
    if NOTES.isdisjoint(node):
        return {}, {}
    check_stored(cls, node, path)
    check_defaults(cls, node, path)
    return containers_of(node, path), kinds_of(node, path)


def _as_declared(value: object, hint: Hint, path: str) -> Any:
    """Return ``value`` as the enum, dataclass or set that ``hint`` declares."""
    if value is None or not needs_class(hint) or has_plans(value):
        return value
    # Pydantic is imported for the few arguments that need it.
    from ...config.errors import ConfigError
    from ...config.validation.validate import build

    try:
        return build(hint, value)
    except (ConfigError, TypeError) as error:
        raise HyperparameterError(path, str(error)) from error


def _function(value: Mapping[str, object], path: str) -> Callable[..., Any]:
    """Return the known function that is named, or a partial of it."""
    names = value[FUNCTION]
    if not isinstance(names, Mapping) or len(value) > 1:
        raise HyperparameterError(
            path, f"expected a function, found {short_repr(dict(value), 100)}"
        )
    function, keywords = function_named(names, path), names.get(KEYWORDS, {})
    if not isinstance(keywords, Mapping) or not all(
        isinstance(key, str) and is_plain_value(item) for key, item in keywords.items()
    ):
        raise HyperparameterError(
            join(path, KEYWORDS),
            f"expected numbers and strings by name, found {short_repr(keywords)}",
        )
    return functools.partial(function, **keywords) if KEYWORDS in names else function


def _values(value: Mapping[str, object], path: str) -> Values:
    stored_form = value[TENSOR]
    form: Mapping[str, Any] = stored_form if isinstance(stored_form, Mapping) else {}
    shape, dtype = form.get("shape"), DTYPES.get(str(form.get("dtype")))
    # Absurd sizes are an error here, rather than one of the allocator later.
    is_shape = isinstance(shape, list | tuple) and all(
        type(n) is int and 0 <= n < 2**40 for n in shape
    )
    if shape is None or not is_shape or dtype is None or len(value) > 1:
        raise HyperparameterError(
            path,
            f"expected a tensor's shape and dtype, found {short_repr(dict(value))}",
        )
    return Values(tuple(shape), dtype, form.get("parameter") is True)


_CORE = (__package__ or "burnish.core.hyperparameters").rpartition(".")[0]
"""The module that defines the method of every decorated class."""


def own_reader(cls: type[nn.Module]) -> Callable[[Any], nn.Module] | None:
    """Return ``from_hyperparameters`` of ``cls`` if its author defined it."""
    for base in cls.__mro__:
        method = base.__dict__.get("from_hyperparameters")
        if method is not None:
            function = getattr(method, "__func__", method)
            is_of_author = not str(getattr(function, "__module__", "")).startswith(
                _CORE
            )
            reading_class: Any = cls
            return reading_class.from_hyperparameters if is_of_author else None
    return None
