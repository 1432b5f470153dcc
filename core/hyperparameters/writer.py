# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Writing of live modules and their arguments as hyperparameters, plain data.

The dict has the class (``__module__``, ``__name__``), all arguments of the constructor,
defaults included, and all direct children: a dict, a list of dicts for ``Sequential``
and ``ModuleList``, a dict of dicts for ``ModuleDict``.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

from torch import Tensor, nn

from ...config.arguments import check_flag
from ...config.classes.field_types import is_field_type
from ...config.classes.fields import fields_of, is_model, is_struct_value
from ...config.path import join
from ...config.plain.kinds import in_order
from ...config.short_text import short_repr, with_article
from ..errors import HyperparameterError
from ..modules.classes import declared_class, is_decorated
from ..modules.functions import FUNCTIONS, function_names
from ..modules.module_argument import check_module
from ..modules.registry import class_named, names_of
from ..modules.signature import VARIADIC, parameters_of
from ..modules.tree import unwrapped
from ..modules.versions import version_of
from .capture import is_capturing, known_arguments
from .declared import (
    Hint,
    argument_hints,
    computed_fields,
    dict_of,
    has_one_item_hint,
    is_plain_struct,
    item_hint,
    list_of,
    may_be_members,
    needs_class,
)
from .descriptions import named_default, why_unstored
from .hparams_node import (
    ALL,
    BLUEPRINT,
    CHILDREN,
    CLASS,
    CONTAINERS,
    CONTAINERS_OF_TORCH,
    DEFAULTS,
    FUNCTION,
    KEYWORDS,
    KINDS,
    LISTS,
    ORIGIN,
    REF,
    TENSOR,
    UNSTORED,
    VERSION,
    HparamsDict,
    is_plain_value,
)
from .kinds import kind_spec, spec_of
from .reader import planned_value
from .torch_layers import Template, Values
from .values import (
    NOT_CAPTURED,
    NOT_NOTED,
    OF_LATER_DATACLASS,
    check_declared,
    check_depth,
    plain_key,
    plain_value,
)


def get_hparams(
    module: nn.Module, *, extended: bool = False, bare: bool = False
) -> HparamsDict:
    """Return the hyperparameters of ``module``, from which an equal one can be built.

    Decorated classes are known, all layers of ``torch.nn``, classes registered by
    `register_hparams`, and modules with a mapping in ``hparams``. ``extended`` adds the
    computed fields of ``Hparams``, and under ``__children__`` the children that have
    the name of an argument; ``bare`` leaves out the children of a module whose
    arguments are plain data alone. Raises NotImplementedError for another class, and
    TypeError that names the argument for a value that is not plain data.
    """
    check_module(module, "get_hparams")
    check_flag("extended", extended)
    check_flag("bare", bare)
    module = unwrapped(module)
    cls = declared_class(type(module))
    if ORIGIN not in module.__dict__ and known_arguments(module, cls) is None:
        raise NotImplementedError(_unknown(cls))
    try:
        return Writer(extended, bare=bare).node(module, "")
    except RecursionError:
        raise HyperparameterError("", "nested too deeply to be described") from None


def _why_not_captured(cls: type[nn.Module]) -> str:
    """Explain why the arguments of an instance of a decorated class are unknown."""
    constructor = vars(cls).get("__init__")
    is_of_dataclass = "__dataclass_fields__" in vars(cls) and constructor is not None
    if is_of_dataclass and not is_capturing(constructor):
        return OF_LATER_DATACLASS
    return NOT_CAPTURED


def _unknown(cls: type[nn.Module]) -> str:
    if cls.__module__.startswith("torch.jit."):
        return (
            f"{with_article(cls.__name__)} is compiled code, which does not keep "
            "its arguments. Use the module that was compiled: get_hparams(net) "
            "before torch.jit.script(net)."
        )
    if is_decorated(cls):
        why = _why_not_captured(cls)
        return (
            f"the arguments of this {cls.__qualname__} are not known: it {why}. Build "
            "it again to record them."
        )
    return (
        f"the hyperparameters of {cls.__module__}.{cls.__qualname__} are not known. "
        "Decorate the class with @burnish.module before building it, or provide them "
        "with burnish.register_hparams(cls, getter)."
    )


class Writer:
    """Writes one module; remembers the first path of each submodule."""

    def __init__(
        self,
        extended: bool = False,
        paths_by_id: dict[int, str] | None = None,
        *,
        bare: bool = False,
        partial: bool = False,
        children: bool = True,
    ) -> None:
        """Write computed fields too if ``extended``, no needless children if ``bare``.

        Without ``children`` only the arguments of modules are written. If ``partial``,
        arguments that are not plain data are described under a separate key, instead of
        raising.
        """
        self.extended, self.bare, self.partial = extended, bare, partial
        self.children = children
        self.paths_by_id: dict[int, str] = {} if paths_by_id is None else paths_by_id

    def node(self, module: nn.Module, path: str, depth: int = 0) -> HparamsDict:
        """Return the hyperparameters of ``module``, which is at ``path``.

        For an unknown class they are only its name.
        """
        module = unwrapped(module)
        if id(module) in self.paths_by_id:
            return HparamsDict({REF: self.paths_by_id[id(module)]})
        self.paths_by_id[id(module)] = path
        check_depth(path, depth)
        cls = declared_class(type(module))
        node = HparamsDict(names_of(cls))
        if version := version_of(cls):
            node[VERSION] = version
        arguments, unknown = self._arguments(module, cls)
        origin: Any = module.__dict__.get(ORIGIN) if self.children else None
        if origin is not None:
            node |= origin.hparams_entry(module, is_call_known=arguments is not None)
        if unknown is not None and origin is None:
            node[UNSTORED] = {ALL: unknown}
        if arguments is None:
            return node
        n_met = len(self.paths_by_id)
        try:
            call = self._call(module, cls, arguments, path, depth)
        except NotImplementedError:
            # A part changed by the edits of a blueprint is described by these alone.
            if BLUEPRINT not in node:
                raise
            self._forget(n_met)
            return node
        return HparamsDict(node | call)

    def _call(
        self,
        module: nn.Module,
        cls: type[nn.Module],
        arguments: Mapping[str, Any],
        path: str,
        depth: int,
    ) -> HparamsDict:
        """Return ``arguments`` as plain data, and further facts about them."""
        node = HparamsDict(self._plain_arguments(cls, arguments, path, depth))
        # Arguments of plain data build the same children again, so that a bare node
        # leaves them out; one that met other modules has to state their paths.
        is_told = not self.children or (self.bare and len(self.paths_by_id) == 1)
        if cls not in CONTAINERS_OF_TORCH and not is_told:
            self._add_children(node, module, path, depth)
        if self.extended:
            node |= computed_fields(cls, node)
        return node

    def node_of(
        self, cls: type[nn.Module], arguments: Mapping[str, object]
    ) -> HparamsDict:
        """Return the hyperparameters of a ``cls`` built from ``arguments``."""
        return HparamsDict(
            {**names_of(cls), **self._plain_arguments(cls, arguments, "", 0)}
        )

    def _arguments(
        self, module: nn.Module, cls: type[nn.Module]
    ) -> tuple[Mapping[str, Any] | None, str | None]:
        """Return the arguments; if those of a decorated class are unknown, why."""
        try:
            arguments = known_arguments(module, cls)
        except (TypeError, NotImplementedError) as error:
            # A module built by a blueprint is described by it.
            if not self.partial and ORIGIN not in module.__dict__:
                raise
            return None, f"does not provide them: {error}"[:300]
        if arguments is not None or not self.partial or not parameters_of(cls):
            return arguments, None
        return None, _why_not_captured(cls) if is_decorated(cls) else NOT_NOTED

    def _plain_arguments(
        self, cls: type[nn.Module], arguments: Mapping[str, Any], path: str, depth: int
    ) -> dict[str, Any]:
        hints, parameters = argument_hints(cls), parameters_of(cls)
        node: dict[str, Any] = {}
        notes = _Notes()
        for name, value in arguments.items():
            parameter = parameters.get(name)
            kind = Parameter.KEYWORD_ONLY if parameter is None else parameter.kind
            if kind in VARIADIC and not value:
                continue
            is_default = parameter is not None and value is parameter.default
            if is_default and isinstance(value, FUNCTIONS | functools.partial):
                # The constructor supplies it again, whatever its name is by then.
                if self.partial:
                    notes.add_default(name, value)
                continue
            hint, n_met = hints.get(name, Any), len(self.paths_by_id)
            where = join(path, name)
            try:
                plain_argument = self._argument(value, kind, hint, where, depth + 1)
                spec = kind_spec(
                    cls, parameter, value, hint, plain_argument, where, planned_value
                )
            except (TypeError, HyperparameterError) as error:
                # An untouched default is created again by the constructor.
                if not is_default and not self.partial:
                    raise
                # Modules met on the way are in no node, so nothing may refer to them.
                self._forget(n_met)
                if kind is Parameter.VAR_KEYWORD:
                    node[name] = self._plain_items(name, value, hint, notes)
                elif not is_default:
                    notes.unstored[name] = why_unstored(value, where, error)
                elif self.partial:
                    notes.add_default(name, value)
                continue
            node[name] = plain_argument
            if type(value) in CONTAINERS_OF_TORCH and REF not in plain_argument:
                notes.containers[name] = type(value).__name__
            if spec is not None:
                notes.kinds[name] = spec
        return node | notes.node()

    def _argument(
        self, value: Any, kind: Any, hint: Hint, path: str, depth: int
    ) -> Any:
        if kind is Parameter.VAR_POSITIONAL:
            return self._items(value, list_of(hint), path, depth)
        if kind is Parameter.VAR_KEYWORD:
            return self._mapping(value, dict_of(hint), path, depth)
        if type(value) in CONTAINERS_OF_TORCH:
            return self._container(value, path, depth)
        if is_plain_value(value):
            return value  # its kind describes it
        return self.value(value, hint, path, depth)

    def _plain_items(
        self, name: str, items: Mapping[str, object], hint: Hint, notes: "_Notes"
    ) -> HparamsDict:
        """Return the items of ``**name`` that are plain data; record the others."""
        plain_items, specs = HparamsDict(), dict[str, Any]()
        whole_hint = dict_of(hint)
        for key, item in items.items():
            item_declared = item_hint(whole_hint, key)
            n_met = len(self.paths_by_id)
            try:
                plain_key(key, hint, join(name, key))
                plain_item = self.value(item, item_declared, join(name, key), 1)
                spec = spec_of(
                    item, item_declared, plain_item, join(name, key), planned_value
                )
            except (TypeError, HyperparameterError) as error:
                self._forget(n_met)
                notes.unstored[key] = why_unstored(item, join(name, key), error)
                continue
            plain_items[key] = plain_item
            if spec is not None:
                specs[key] = spec
        if specs:
            notes.kinds[name] = [None, specs]
        return plain_items

    def _forget(self, n_met: int) -> None:
        """Drop the modules that were met after the first ``n_met``."""
        for key in list(self.paths_by_id)[n_met:]:
            del self.paths_by_id[key]

    def _add_children(
        self, node: HparamsDict, module: nn.Module, path: str, depth: int
    ) -> None:
        hidden: dict[str, Any] = {}
        for name, child in module._modules.items():
            if child is None:
                continue
            if name not in node:
                node[name] = self._child(child, join(path, name), depth + 1)
            elif self.extended and id(unwrapped(child)) not in self.paths_by_id:
                hidden[name] = self._child(child, join(path, name), depth + 1)
        if hidden:
            node[CHILDREN] = hidden

    def _child(self, child: nn.Module, path: str, depth: int) -> Any:
        if type(child) in CONTAINERS_OF_TORCH:
            return self._container(child, path, depth, is_argument=False)
        return self.node(child, path, depth)

    def _container(
        self, container: nn.Module, path: str, depth: int, *, is_argument: bool = True
    ) -> Any:
        """Return a container by its items; its names count if ``is_argument``."""
        if id(container) in self.paths_by_id:
            return HparamsDict({REF: self.paths_by_id[id(container)]})
        self.paths_by_id[id(container)] = path
        check_depth(path, depth)
        items = {name: m for name, m in container._modules.items() if m is not None}
        write = self.node if is_argument else self._child
        nodes = {n: write(m, join(path, n), depth + 1) for n, m in items.items()}
        is_numbered = list(items) == [str(i) for i in range(len(items))]
        if isinstance(container, LISTS) and (is_numbered or not is_argument):
            return list(nodes.values())
        return HparamsDict(nodes)

    def value(self, value: object, hint: Hint, path: str, depth: int) -> Any:
        """Return ``value``, an argument or a part of one, as plain data."""
        check_depth(path, depth)
        if is_plain_value(value):
            return plain_value(value, hint, path) if may_be_members(hint) else value
        if isinstance(value, nn.Module):
            return self.node(value, path, depth)
        if isinstance(value, Template):
            # A copy of the paths is used: the template is not a part of the module, and
            # what it shares with a later part has to be written there in full.
            writer = Writer(
                self.extended,
                dict(self.paths_by_id),
                partial=self.partial,
                children=self.children,
            )
            return writer.node(value.module, path, depth)
        if isinstance(value, Values):
            return _tensor(value)
        if (function := _function_node(value, path)) is not None:
            return function
        if isinstance(value, type | functools.partial):
            return self._class(value, path, depth)  # pyright: ignore[reportUnknownArgumentType]  # any class
        if is_plain_struct(type(value)):
            return self._struct(value, hint, path, depth)
        if is_field_type(type(value)):
            return plain_value(value, hint, path)
        if is_struct_value(value) or isinstance(value, Tensor):
            plain_struct = plain_value(value, hint, path)
            return _add_computed(value, plain_struct) if self.extended else plain_struct
        if isinstance(value, Mapping):
            return self._mapping(value, hint, path, depth)
        if isinstance(value, list | tuple | set | frozenset | range):
            return self._items(value, hint, path, depth)
        return plain_value(value, hint, path)

    def _items(self, items: Any, hint: Hint, path: str, depth: int) -> list[Any]:
        # Sets are ordered differently in each process, but equal modules must give
        # equal bytes.
        ordered = in_order(items) if isinstance(items, set | frozenset) else items
        # Most items are plain, and computing their paths and hints would be slow.
        may_differ = needs_class(hint)
        return [
            item
            if is_plain_value(item) and not may_differ
            else self.value(item, item_hint(hint, i), join(path, i), depth + 1)
            for i, item in enumerate(ordered)
        ]

    def _mapping(
        self, mapping: Mapping[Any, object], hint: Hint, path: str, depth: int
    ) -> HparamsDict:
        plain_items = HparamsDict()
        may_differ = needs_class(hint) or not has_one_item_hint(hint)
        for key, item in mapping.items():
            name = plain_key(key, hint, path)
            if is_plain_value(item) and not may_differ:
                plain_items[name] = item
                continue
            inner_hint = item_hint(hint, key)
            plain_items[name] = self.value(
                item, inner_hint, join(path, name), depth + 1
            )
        return plain_items

    def _struct(self, value: object, hint: Hint, path: str, depth: int) -> HparamsDict:
        check_declared(value, hint, path)
        plain_fields = HparamsDict()
        for name, declared_field in fields_of(type(value)).items():
            item, annotation = getattr(value, name), declared_field.annotation
            where = join(path, name)
            plain_fields[name] = self.value(item, annotation, where, depth + 1)
        return plain_fields

    def _class(self, value: object, path: str, depth: int) -> HparamsDict:
        cls: Any = value.func if isinstance(value, functools.partial) else value
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            raise TypeError(
                f"{path}: {short_repr(value)} is not plain data. Of classes and "
                "functions, only module classes, registered functions "
                "(burnish.register_function) and partials of them by keyword can be "
                "stored."
            )
        node = HparamsDict(names_of(cls))
        if class_named(node, path) is not cls:
            raise HyperparameterError(path, f"{dict(node)} names another class")
        if isinstance(value, functools.partial):
            if value.args:
                raise TypeError(f"{path}: pass the arguments of a partial by keyword")
            node |= self._plain_arguments(cls, value.keywords, path, depth)
        return HparamsDict({CLASS: node})


@dataclass(slots=True)
class _Notes:
    """Facts in a node about its arguments besides their values, by name."""

    containers: dict[str, str] = field(default_factory=dict[str, str])
    """The classes of torch's containers, which are written by their items."""
    kinds: dict[str, Any] = field(default_factory=dict[str, Any])
    """The kinds of values that plain data does not show."""
    unstored: dict[str, str] = field(default_factory=dict[str, str])
    """Descriptions of values that no file can hold."""
    defaults: dict[str, str] = field(default_factory=dict[str, str])
    """The names of defaults that the constructor creates again."""

    def add_default(self, name: str, value: object) -> None:
        """Record the name of the default of ``name``, if it has one."""
        if default := named_default(value):
            self.defaults[name] = default

    def node(self) -> dict[str, Any]:
        """Return the facts under their keys in a node, in the order of files."""
        notes = {
            CONTAINERS: self.containers,
            KINDS: self.kinds,
            UNSTORED: self.unstored,
            DEFAULTS: self.defaults,
        }
        return {key: note for key, note in notes.items() if note}


def _function_node(value: object, path: str) -> HparamsDict | None:
    """Return a known function, or a partial of one, by its names; None for others."""
    partial = value if isinstance(value, functools.partial) else None
    names = function_names(value if partial is None else partial.func)
    if names is None:
        return None
    node = HparamsDict(names)
    if partial is not None:
        if partial.args or not all(map(is_plain_value, partial.keywords.values())):
            raise TypeError(
                f"{path}: a partial of a function takes numbers and strings, by keyword"
            )
        node[KEYWORDS] = HparamsDict(partial.keywords)
    return HparamsDict({FUNCTION: node})


def _tensor(values: Values) -> HparamsDict:
    form = {"shape": list(values.shape), "dtype": str(values.dtype)}
    return HparamsDict({TENSOR: form | {"parameter": values.is_parameter}})


def _add_computed(value: object, plain_struct: object) -> Any:
    """Return the fields of a struct with its computed ones."""
    if not is_model(type(value)):
        return plain_struct
    from ...config.hparams import Hparams

    return value.to_dict(computed=True) if isinstance(value, Hparams) else plain_struct


def own_node(module: nn.Module) -> Mapping[str, Any]:
    """Return the arguments of ``module``, without the children that it builds."""
    return Writer(partial=True, children=False).node(module, "")
