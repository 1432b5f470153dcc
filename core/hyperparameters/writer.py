# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""Live modules and their arguments, written as the plain data of hyperparameters.

The dict has the class (``__module__``, ``__name__``), every argument of the
constructor, defaults filled, and every direct child: a dict, a list of dicts for
``Sequential`` and ``ModuleList``, a dict of dicts for ``ModuleDict``.
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

    Known are decorated classes, every layer of ``torch.nn``, those that
    `register_hparams` was told of, and modules with a mapping in ``hparams``.
    ``extended`` adds the computed fields of ``Hparams``, and under ``__children__``
    the children that have the name of an argument; ``bare`` leaves out the children
    of a module that is made of plain data alone.  Raises NotImplementedError for
    another class, and TypeError that names the argument for what is not plain data.
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
    """Return why nobody noted the arguments of an instance of a decorated class."""
    constructor = vars(cls).get("__init__")
    is_of_dataclass = "__dataclass_fields__" in vars(cls) and constructor is not None
    if is_of_dataclass and not is_capturing(constructor):
        return OF_LATER_DATACLASS
    return NOT_CAPTURED


def _unknown(cls: type[nn.Module]) -> str:
    if cls.__module__.startswith("torch.jit."):
        return (
            f"{with_article(cls.__name__)} is compiled code, which does not know its "
            "arguments. Ask the module that was compiled: get_hparams(net) before "
            "torch.jit.script(net)."
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
    """Writes one module; remembers where each submodule was met first."""

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

        Without ``children`` only what modules are made of themselves is written. If
        ``partial``, arguments that are not plain data are named under a key of their
        own, instead of raising.
        """
        self.extended, self.bare, self.partial = extended, bare, partial
        self.children = children
        self.paths_by_id: dict[int, str] = {} if paths_by_id is None else paths_by_id

    def node(self, module: nn.Module, path: str, depth: int = 0) -> HparamsDict:
        """Return the hyperparameters of ``module``, which stands at ``path``.

        Of a class that nobody knows, only what it is called.
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
            # A part that the edits of a blueprint changed is told by these alone.
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
        """Return what ``arguments`` are as plain data, and what else is to be told."""
        node = HparamsDict(self._plain_arguments(cls, arguments, path, depth))
        # Arguments of plain data make the same children again, so that a bare node
        # leaves them out; one that met other modules has to say where they stand.
        is_told = not self.children or (self.bare and len(self.paths_by_id) == 1)
        if cls not in CONTAINERS_OF_TORCH and not is_told:
            self._add_children(node, module, path, depth)
        if self.extended:
            node |= computed_fields(cls, node)
        return node

    def node_of(
        self, cls: type[nn.Module], arguments: Mapping[str, object]
    ) -> HparamsDict:
        """Return the hyperparameters of a ``cls`` that was made of ``arguments``."""
        return HparamsDict(
            {**names_of(cls), **self._plain_arguments(cls, arguments, "", 0)}
        )

    def _arguments(
        self, module: nn.Module, cls: type[nn.Module]
    ) -> tuple[Mapping[str, Any] | None, str | None]:
        """Return the arguments; if nobody tells those of a decorated class, why."""
        try:
            arguments = known_arguments(module, cls)
        except (TypeError, NotImplementedError) as error:
            # What a blueprint built is told by that.
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
                # The constructor supplies it again, whatever it is called by then.
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
                # An untouched default is made again by the constructor.
                if not is_default and not self.partial:
                    raise
                # What was met on the way is in no node: nothing may refer to it.
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
            return value  # what it is, its kind tells
        return self.value(value, hint, path, depth)

    def _plain_items(
        self, name: str, items: Mapping[str, object], hint: Hint, notes: "_Notes"
    ) -> HparamsDict:
        """Return those of ``**name`` that are plain data; note kinds and the others."""
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
        """Return ``value``, an argument or in one, as plain data."""
        check_depth(path, depth)
        if is_plain_value(value):
            return plain_value(value, hint, path) if may_be_members(hint) else value
        if isinstance(value, nn.Module):
            return self.node(value, path, depth)
        if isinstance(value, Template):
            # A copy of the notes: the template is not a part of the module, and what it
            # shares with a later part has to be told there in full.
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
        # Sets have another order in each process, but equal modules give equal bytes.
        ordered = in_order(items) if isinstance(items, set | frozenset) else items
        # Most items are plain: computing their paths and hints would take longest.
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
    """What a node says of its arguments beside their values, by their names."""

    containers: dict[str, str] = field(default_factory=dict[str, str])
    """The classes of torch's containers, which are written by their items."""
    kinds: dict[str, Any] = field(default_factory=dict[str, Any])
    """What values are beyond plain data."""
    unstored: dict[str, str] = field(default_factory=dict[str, str])
    """What the values were that no file can hold."""
    defaults: dict[str, str] = field(default_factory=dict[str, str])
    """The names of defaults that the constructor makes again."""

    def add_default(self, name: str, value: object) -> None:
        """Note what the default of ``name`` is called, if it has a name."""
        if default := named_default(value):
            self.defaults[name] = default

    def node(self) -> dict[str, Any]:
        """Return the notes under their keys in a node, in the order of files."""
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
    """Return the fields of a struct with those that it computes of them."""
    if not is_model(type(value)):
        return plain_struct
    from ...config.hparams import Hparams

    return value.to_dict(computed=True) if isinstance(value, Hparams) else plain_struct


def own_node(module: nn.Module) -> Mapping[str, Any]:
    """Return what ``module`` itself is made of, without the children that it makes."""
    return Writer(partial=True, children=False).node(module, "")
