"""Values of arguments as self-describing, JSON-ready data.

A value that JSON lacks is a dict of one key, as in ``{"__tuple__": [3, 3]}``.
"""

import enum
import functools
import os
import pathlib
import types
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from typing import Any, cast

import torch
from torch import nn

from ....config.classes.declared_types import members
from ....config.classes.field_types import is_field_type
from ....config.classes.fields import is_struct_value
from ....config.path import join
from ....config.plain.codec import Decoding, Encoding, Kind, Language
from ....config.plain.kinds import by_value, float_name, lists, making, sequence, text
from ....config.plain.node import NON_FINITE, Node
from ....config.process.interrupts import raise_of_signal
from ....config.tree import MAX_DEPTH
from ....records.tensors.dtypes import ALL
from ...hyperparameters.declared import (
    argument_hints,
    has_one_item_hint,
    item_hint,
    needs_class,
)
from ...hyperparameters.kinds import declared_hint
from ...hyperparameters.values import plain_value
from ...modules.functions import function_named, function_names
from ...modules.registry import class_named, names_of
from ...modules.signature import parameters_of, variadic_of
from ..edits.computed import Computed
from ..edits.edits import Unbuilt
from ..errors import FormatError

_ITEMS, _DECLARED = "__items__", "__declared__"


def encode_arguments(
    cls: type[nn.Module], arguments: Mapping[str, object], path: str
) -> dict[str, Any]:
    """Return the arguments of ``cls`` as data; TypeError names those that are not."""
    hints = _hints_of(cls)
    return {
        name: encode_plain(value, _hint_of(cls, hints, name), join(path, name))
        for name, value in arguments.items()
    }


def encode_plain(value: Any, hint: Any, path: str) -> Node:
    """Return ``value`` as data; TypeError names what is not data."""
    return _BlueprintEncoding(hint).encode(value, path)


class _BlueprintEncoding(Encoding):
    """Writes the value at ``depth`` of one argument, which is declared as ``hint``."""

    def __init__(self, hint: Any, depth: int = 0) -> None:
        super().__init__(_LANGUAGE)
        self._hint, self._depth = hint, depth

    def hint(self, depth: int) -> Any:
        """Return the declared type of a value: none inside a tag."""
        return self._hint if depth == self._depth else Any

    def items(self, values: Iterable[object], path: str, depth: int) -> list[Node]:
        """Return the nodes of ``values``, each by the hint of the whole."""
        if not needs_class(self.hint(depth)):
            return super().items(values, path, depth)
        return [
            self._item(value, i, join(path, i), depth) for i, value in enumerate(values)
        ]

    def fields(
        self, values: Mapping[Any, object], path: str, depth: int
    ) -> dict[Any, Node]:
        """Return the nodes of the values of a dict, each by its hint."""
        hint = self.hint(depth)
        if not needs_class(hint) and has_one_item_hint(hint):
            return super().fields(values, path, depth)
        return {
            key: self._item(value, key, join(path, self.part(key)), depth)
            for key, value in values.items()
        }

    def _item(self, value: object, key: object, path: str, depth: int) -> Node:
        hint = item_hint(self.hint(depth), key)
        return _BlueprintEncoding(hint, depth + 1).encode(value, path, depth + 1)

    def too_deep(self, path: str) -> Exception:
        """Return the error for values that nest too deep, or contain themselves."""
        return TypeError(f"{path:.120}: nested over {self._max_depth} levels deep")


class Decoder(Decoding):
    """Reads data of `encode_plain`; classes are known ones, nothing is imported."""

    def __init__(self, blueprint: Callable[[object], Unbuilt]) -> None:
        """Read blueprints among the values with ``blueprint``."""
        super().__init__(_LANGUAGE.decoders)
        self.blueprint = blueprint
        self._hints_by_id: dict[int, Any] = {}

    def arguments(
        self, cls: type[nn.Module], arguments: Mapping[str, object], path: str
    ) -> dict[str, Any]:
        """Return the arguments of ``cls``."""
        hints = _hints_of(cls)
        return {
            name: self.value(value, _hint_of(cls, hints, name), join(path, name))
            for name, value in arguments.items()
        }

    def value(self, data: object, hint: Any, path: str) -> Any:
        """Return the value that ``data`` represents, or raise `FormatError`."""
        self._note_hints(data, hint, 0)
        try:
            return self.decode(data, path)
        finally:
            self._hints_by_id.clear()

    def decode(self, node: Node, path: str = "", depth: int = 0) -> Any:
        """Return the value of ``node``, of its declared type if there is one."""
        if isinstance(node, Mapping) and [*node] == [_DECLARED]:
            hint = self._hints_by_id.get(id(node), Any)
            return _decode_struct(node[_DECLARED], hint, path)
        return super().decode(node, path, depth)

    def _note_hints(self, node: Node, hint: Any, depth: int) -> None:
        """Remember the hint of each declared value in ``node``."""
        # Nothing is declared below Any; `decode` refuses what nests too deep.
        if depth > MAX_DEPTH or members(hint) == (Any,):
            return
        pairs: Iterable[tuple[Any, Node]] = ()
        if isinstance(node, list):
            pairs = enumerate(node)
        elif isinstance(node, Mapping):
            tag, content = self.tag_of(node)
            if tag == _DECLARED:
                self._hints_by_id[id(node)] = hint
            elif tag in ("__tuple__", "__set__") and isinstance(content, list):
                pairs = enumerate(content)
            elif tag == _ITEMS and isinstance(content, list):
                pairs = [(p[0], p[1]) for p in content if isinstance(p, list) and p[1:]]
            elif tag is None:
                pairs = node.items()
        for key, item in pairs:
            self._note_hints(item, item_hint(hint, key), depth + 1)

    def tagged(self, tag: str, content: Node, path: str, depth: int) -> Any:
        """Return the value of a tag; `FormatError` if its content is invalid."""
        try:
            return super().tagged(tag, content, path, depth)
        # The data may come from anywhere: a value that a constructor does not accept is
        # an error of the file, at a known path.
        except (TypeError, KeyError, AttributeError, RuntimeError) as error:
            raise_of_signal(error)
            message = f"{tag} of {content!r:.80}: {error}"
            raise FormatError(path, message) from error

    def too_deep(self, path: str) -> Exception:
        """Return the error for data that nests too deep."""
        return FormatError(path[:120], f"nested over {MAX_DEPTH} levels deep")


def _hints_of(cls: type[nn.Module]) -> dict[str, Any]:
    """Return the declared type of each whole argument of ``cls``."""
    if cls is nn.Module:
        return {}
    parameters = parameters_of(cls)
    return {
        name: declared_hint(parameters[name], hint)
        for name, hint in argument_hints(cls).items()
    }


def _hint_of(cls: type[nn.Module], hints: Mapping[str, Any], name: str) -> Any:
    """Return the declared type of the argument ``name``, even in ``**kwargs``."""
    keywords = variadic_of(cls).get(Parameter.VAR_KEYWORD)
    if name in hints or keywords is None:
        return hints.get(name, Any)
    return item_hint(hints.get(keywords, Any), name)


def _encode_dict(
    encoding: Encoding, value: dict[Any, Any], path: str, depth: int
) -> Node:
    # A single key that looks like a tag would be read as one, so such a dict is pairs.
    is_plain = all(isinstance(key, str) for key in value)
    if is_plain and not (len(value) == 1 and next(iter(value)).startswith("__")):
        return encoding.fields(value, path, depth)
    nodes = encoding.fields(value, path, depth).items()
    return {_ITEMS: [[encoding.encode(k, path, depth + 1), v] for k, v in nodes]}


def _encode_float(encoding: Encoding, value: float, path: str, depth: int) -> Node:
    name = float_name(value)
    return value if name is None else {"__float__": name}


def _encode_partial(
    encoding: Encoding, value: "functools.partial[Any]", path: str, depth: int
) -> Node:
    keywords = value.keywords.items()
    return {
        "__partial__": {
            **_names_of_callable(value.func, path),
            "args": [encoding.encode(v, path, depth + 1) for v in value.args],
            "kwargs": {n: encoding.encode(v, path, depth + 1) for n, v in keywords},
        }
    }


def _decode_partial(decoding: Decoder, data: Any, path: str, depth: int) -> Any:
    args = [decoding.decode(v, path, depth + 1) for v in data["args"]]
    keywords = decoding.decode(dict(data["kwargs"]), path, depth + 1)
    target = (
        function_named(data["function"])
        if "function" in data
        else class_named(data["class"])
    )
    return functools.partial(target, *args, **keywords)


def _names_of_callable(value: object, path: str) -> dict[str, dict[str, str]]:
    names = function_names(value)
    if names is not None:
        return {"function": names}
    return {"class": _names_of_class(value, path)}


def _names_of_class(value: object, path: str) -> dict[str, str]:
    if isinstance(value, type) and issubclass(value, nn.Module):
        return names_of(value)
    raise TypeError(
        f"{path}: {value!r:.80} is not plain data; of classes, only module classes "
        "are, and of functions those of torch and registered ones "
        "(burnish.register_function)."
    )


def _encode_function(encoding: Encoding, value: object, path: str, depth: int) -> Node:
    names = function_names(value)
    if names is None:
        return _encode_other(cast("_BlueprintEncoding", encoding), value, path, depth)
    return {"__function__": names}


def _encode_computed(
    encoding: Encoding, value: Computed, path: str, depth: int
) -> Node:
    names = function_names(value.function)
    if names is None:
        raise TypeError(
            f"{path}: {value} cannot be stored: of functions, only those of torch and "
            "registered ones can be stored by name. Define it at the top of a module, "
            "with @burnish.register_function."
        )
    return {
        "__computed__": {
            "function": names,
            "paths": list(value.paths),
            "placeholder": encoding.encode(value.placeholder, path, depth + 1),
        }
    }


def _decode_computed(decoding: Decoder, data: Any, path: str, depth: int) -> Computed:
    placeholder = decoding.decode(data["placeholder"], path, depth + 1)
    function = function_named(data["function"])
    return Computed(function, *data["paths"], placeholder=placeholder)


def _encode_module(encoding: Encoding, value: nn.Module, path: str, depth: int) -> Node:
    from ...hyperparameters.writer import get_hparams

    return {"__hparams__": get_hparams(value)}


def _decode_module(decoding: Decoding, data: Any, path: str, depth: int) -> nn.Module:
    from ...hyperparameters.reader import from_hyperparameters

    return from_hyperparameters(data)


def _encode_other(
    encoding: _BlueprintEncoding, value: object, path: str, depth: int
) -> Node:
    try:
        data = plain_value(value, encoding.hint(depth), path)
    except TypeError as error:
        if str(error).startswith(path):
            raise
        # An object of another library whose fields are not those of a configuration.
        name = type(value).__qualname__
        hint_text = "pass what it is made from, as numbers, strings and dicts"
        message = f"{path}: {name} is not plain data ({error}); {hint_text}"
        raise TypeError(message) from error
    cls = type(value)
    is_declared = is_struct_value(value) or issubclass(cls, enum.Enum)
    is_declared = is_declared or is_field_type(cls)
    return {_DECLARED: data} if is_declared else data


def _decode_struct(data: Any, hint: Any, path: str) -> Any:
    from ....config.errors import ConfigError
    from ....config.validation.validate import build

    try:
        return build(hint, data)
    except (ConfigError, TypeError) as error:
        raise FormatError(path, str(error)) from error


_LANGUAGE = Language(
    [
        Kind(
            types=float,
            encode=_encode_float,
            tag="__float__",
            decode=lambda decoding, name, path, depth: NON_FINITE[name],
            is_exact=True,
        ),
        Kind(
            types=Unbuilt,
            encode=lambda encoding, value, path, depth: {
                "__blueprint__": value.to_dict()
            },
            tag="__blueprint__",
            decode=lambda decoding, data, path, depth: decoding.blueprint(data),
        ),
        Kind(
            types=Computed,
            encode=_encode_computed,
            tag="__computed__",
            decode=_decode_computed,
            is_deep=True,
        ),
        Kind(
            types=functools.partial,
            encode=_encode_partial,
            tag="__partial__",
            decode=_decode_partial,
            is_deep=True,
        ),
        Kind(
            types=type,
            encode=lambda encoding, cls, path, depth: {
                "__class__": _names_of_class(cls, path)
            },
            tag="__class__",
            decode=lambda decoding, names, path, depth: class_named(names),
        ),
        Kind(
            types=(types.FunctionType, types.BuiltinFunctionType),
            encode=_encode_function,
            tag="__function__",
            decode=lambda decoding, names, path, depth: function_named(names),
        ),
        Kind(
            types=nn.Module,
            encode=_encode_module,
            tag="__hparams__",
            decode=_decode_module,
        ),
        lists(is_exact=True),
        sequence("__tuple__", tuple, tuple, is_exact=True),
        # A set has no order, and equal blueprints must have equal data.
        sequence("__set__", (set, frozenset), set, by_value, is_exact=True),
        Kind(
            types=dict,
            encode=_encode_dict,
            tag=_ITEMS,
            decode=making(dict),
            is_deep=True,
            is_exact=True,
        ),
        text("__dtype__", torch.dtype, ALL.__getitem__),
        text("__device__", torch.device, torch.device),
        text("__path__", os.PathLike, pathlib.Path),
        Kind(
            types=object,
            encode=_encode_other,
            tag=_DECLARED,
            decode=lambda decoding, data, path, depth: _decode_struct(data, Any, path),
        ),
    ],
    as_they_are=(type(None), bool, int, str),
)
