"""Values of arguments as JSON-ready data that says itself what it was.

What JSON lacks is a dict of one key, as in ``{"__tuple__": [3, 3]}``.
"""

import functools
import math
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ....config.classes.fields import is_struct_value
from ....config.path import join
from ...hyperparameters.declared import hints_of
from ...hyperparameters.values import DTYPES, MAX_DEPTH, plain_value
from ...modules.registry import class_named, names_of
from ..edits.edits import Unbuilt
from ..errors import FormatError

_TUPLE, _SET, _ITEMS, _FLOAT = "__tuple__", "__set__", "__items__", "__float__"
_CLASS, _PARTIAL, _BLUEPRINT = "__class__", "__partial__", "__blueprint__"
_MODULE, _DTYPE, _DEVICE = "__hparams__", "__dtype__", "__device__"
_PATH, _DECLARED = "__path__", "__declared__"


def encode_arguments(
    cls: type[nn.Module], arguments: Mapping[str, object], path: str
) -> dict[str, Any]:
    """Return the arguments of ``cls`` as data; TypeError names what is none."""
    hints = {} if cls is nn.Module else hints_of(cls)
    return {
        name: encode(value, hints.get(name, Any), join(path, name))
        for name, value in arguments.items()
    }


def encode(value: Any, hint: Any, path: str, depth: int = 0) -> Any:
    """Return ``value`` as data; TypeError names what is none."""
    if depth > MAX_DEPTH:
        raise TypeError(f"{path:.120}: nested over {MAX_DEPTH} levels deep")
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if isinstance(value, Unbuilt):
        return {_BLUEPRINT: value.to_dict()}
    if isinstance(value, functools.partial):
        return {_PARTIAL: _encode_partial(value, path, depth)}
    if isinstance(value, type):
        return {_CLASS: _encode_class(value, path)}
    if isinstance(value, nn.Module):
        return {_MODULE: _encode_module(value)}
    if type(value) in (list, tuple, set, frozenset):
        # A set has no order, and equal blueprints are to be equal data.
        ordered = value if isinstance(value, list | tuple) else sorted(value)
        items = [
            encode(v, Any, join(path, i), depth + 1) for i, v in enumerate(ordered)
        ]
        if isinstance(value, list):
            return items
        return {_TUPLE if isinstance(value, tuple) else _SET: items}
    if type(value) is dict:
        return _encode_dict(value, path, depth)
    return _encode_other(value, hint, path)


class Decoder:
    """Reads what `encode` gave; classes are known ones, nothing is imported."""

    def __init__(self, blueprint: Callable[[object], Unbuilt]) -> None:
        self._blueprint = blueprint

    def arguments(
        self, cls: type[nn.Module], arguments: Mapping[str, object], path: str
    ) -> dict[str, Any]:
        """Return the arguments of ``cls``."""
        hints = {} if cls is nn.Module else hints_of(cls)
        return {
            name: self.value(value, hints.get(name, Any), join(path, name))
            for name, value in arguments.items()
        }

    def value(self, data: object, hint: Any, path: str, depth: int = 0) -> Any:
        """Return the value that ``data`` stands for, or raise `FormatError`."""
        if depth > MAX_DEPTH:
            raise FormatError(path[:120], f"nested over {MAX_DEPTH} levels deep")
        if isinstance(data, list):
            return [
                self.value(v, Any, join(path, i), depth + 1) for i, v in enumerate(data)
            ]
        if not isinstance(data, Mapping):
            return data
        if len(data) == 1:
            ((tag, tagged_data),) = data.items()
            if tag in _DECODERS or tag in (_TUPLE, _SET, _ITEMS, _PARTIAL, _BLUEPRINT):
                return self._decode_tagged(tag, tagged_data, hint, path, depth)
            if tag == _DECLARED:
                return _decode_struct(tagged_data, hint, path)
        return {
            k: self.value(v, Any, join(path, k), depth + 1) for k, v in data.items()
        }

    def _decode_tagged(
        self, tag: str, data: Any, hint: Any, path: str, depth: int
    ) -> Any:
        try:
            if tag in _DECODERS:
                return _DECODERS[tag](data)
            if tag == _BLUEPRINT:
                return self._blueprint(data)
            if tag == _PARTIAL:
                args = [self.value(v, Any, path, depth + 1) for v in data["args"]]
                keywords = self.value(dict(data["kwargs"]), Any, path, depth + 1)
                return functools.partial(class_named(data["class"]), *args, **keywords)
            items = self.value(list(data), Any, path, depth + 1)
            return {_TUPLE: tuple, _SET: set, _ITEMS: dict}[tag](items)
        # The data may come from anywhere: what a constructor does not take is a fault
        # of the file, at a known path.
        except (TypeError, KeyError, AttributeError, RuntimeError) as error:
            raise FormatError(path, f"{tag} of {data!r:.80}: {error}") from error


def _encode_dict(value: dict[Any, Any], path: str, depth: int) -> dict[str, Any]:
    # One key that looks like a tag would be read as one: such a dict is pairs.
    is_plain = all(isinstance(key, str) for key in value)
    if is_plain and not (len(value) == 1 and next(iter(value)).startswith("__")):
        items = value.items()
        return {k: encode(v, Any, join(path, k), depth + 1) for k, v in items}
    pairs = [[k, v] for k, v in value.items()]
    return {_ITEMS: encode(pairs, Any, path, depth + 1)}


def _encode_partial(
    value: "functools.partial[Any]", path: str, depth: int
) -> dict[str, Any]:
    return {
        "class": _encode_class(value.func, path),
        "args": [encode(v, Any, path, depth + 1) for v in value.args],
        "kwargs": {
            n: encode(v, Any, path, depth + 1) for n, v in value.keywords.items()
        },
    }


def _encode_class(value: object, path: str) -> dict[str, str]:
    if isinstance(value, type) and issubclass(value, nn.Module):
        return names_of(value)
    raise TypeError(
        f"{path}: {value!r:.80} is no plain data; of classes and functions, only "
        "those of modules are."
    )


def _encode_module(value: nn.Module) -> Any:
    from ...hyperparameters.writer import get_hparams

    return get_hparams(value)


def _encode_other(value: object, hint: Any, path: str) -> Any:
    if isinstance(value, torch.dtype):
        return {_DTYPE: str(value)}
    if isinstance(value, torch.device):
        return {_DEVICE: str(value)}
    if isinstance(value, os.PathLike):
        return {_PATH: str(value)}
    try:
        data = plain_value(value, hint, path)
    except TypeError as error:
        if str(error).startswith(path):
            raise
        # An object of another library whose fields are not those of a configuration.
        name = type(value).__qualname__
        hint_text = "pass what it is made from, as numbers, texts and dicts"
        message = f"{path}: {name} is no plain data ({error}); {hint_text}"
        raise TypeError(message) from error
    return {_DECLARED: data} if is_struct_value(value) or _is_enum(value) else data


def _is_enum(value: object) -> bool:
    import enum

    return isinstance(value, enum.Enum)


def _decode_struct(data: Any, hint: Any, path: str) -> Any:
    from ....config.errors import ConfigError
    from ....config.validation.validate import build

    try:
        return build(hint, data)
    except (ConfigError, TypeError) as error:
        raise FormatError(path, str(error)) from error


def _decode_module(data: Any) -> nn.Module:
    from ...hyperparameters.reader import from_hyperparameters

    return from_hyperparameters(data)


_DECODERS: dict[str, Callable[[Any], Any]] = {
    _FLOAT: {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}.__getitem__,
    _CLASS: class_named,
    _MODULE: _decode_module,
    _DTYPE: DTYPES.__getitem__,
    _DEVICE: torch.device,
    _PATH: pathlib.Path,
}
