"""Kinds of plain data beyond those that records hold, each below a tag of its own.

Records hold dicts with str keys, lists, tuples, tensors, arrays, numbers, text and
bytes. Any other value is a dict of one key, ``"$" + kind``, which every format can
hold.
"""

import dataclasses
import enum
import functools
import types
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from ...config.path import join
from ...config.plain.codec import TAGGED_DEPTH, Encoding, Kind, Language
from ...config.plain.kinds import (
    FACTORIES,
    PlainDecoding,
    defaultdict_of,
    making,
    tagged,
    text,
)
from ...config.plain.node import Node
from ...config.process.interrupts import raise_of_signal
from ...config.process.user_warning import warn_user
from ...config.short_text import short_repr, with_article
from ..errors import RecordFormatError
from ..tensors.dtypes import dtype_named, name_of_dtype

MAX_DEPTH = TAGGED_DEPTH // 2 - 2
"""Maximal nesting of plain data: a tagged value takes two levels of its record."""


def texts_of_keys(mapping: Mapping[Any, object]) -> list[str]:
    """Return the keys' names on paths: their strings, or their positions.

    Two keys with the same string, as 1 and "1", would otherwise have the same path.
    """
    texts = [str(key) for key in mapping]
    is_unique = len({*texts}) == len(texts)
    return texts if is_unique else [str(i) for i in range(len(texts))]


def value_of_node(node: Node, language: Language, file: str) -> Any:
    """Return the value of ``node``, which was read from a record of ``file``.

    Raises `RecordFormatError` where tags have unexpected content.
    """
    try:
        return PlainDecoding(language.decoders).decode(node)
    except (ValueError, TypeError, LookupError, RuntimeError) as error:
        raise_of_signal(error)
        problem = f"plain data that cannot be read ({error!s:.200})"
        raise RecordFormatError(file, problem) from error


class PlainDataEncoding(Encoding):
    """Warns about containers that come back as another class, as files hold none."""

    def kind_of_other(self, value: object, path: str) -> Kind | None:
        """Return the kind of a value of a class that no kind names."""
        kind = super().kind_of_other(value, path)
        if kind is None or is_named_tuple(value):
            return kind  # a named tuple is refused
        if isinstance(value, PurePath) and not isinstance(value, _PATH):
            warn_of_class(value, path, "a path of the system that reads it")
        if not kind.is_deep or getattr(type(value), "_comes_back_plain", False):
            return kind  # such classes are the library's, and lose nothing
        base = next((cls for cls in _CONTAINERS if isinstance(value, cls)), None)
        if base is None and isinstance(value, Mapping):
            base = dict
        if base is not None:
            name = with_article(base.__name__)
            warn_of_class(
                value, path, f"{name}, since files do not store user-defined classes"
            )
        return kind


def warn_of_class(value: object, path: str, substitute: str) -> None:
    """Warn that ``value``, at ``path``, comes back as ``substitute``."""
    name = with_article(f"{type(value).__module__}.{type(value).__qualname__}")
    warn_user(f"{path}: {name} will be read back as {substitute}")


_PATH = type(PurePath())
"""The kind of this system's paths; a path of another system is read as one of this."""

_CONTAINERS = (OrderedDict, Counter, dict, list, tuple, set, frozenset, deque)
"""The substitute for a container of a user-defined class: the first that matches.

Any other mapping comes back as a dict.
"""


def no_data(value: object, path: str, cure: str) -> TypeError:
    """Return the error for ``value``, which no file without pickles can hold."""
    cure = usual_cure(value) or cure
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    return TypeError(
        f"{path}: {with_article(name)} is not plain data, and checkpoints hold "
        f"no pickles; {cure}, or leave it out of the checkpoint"
    )


def usual_cure(value: object) -> str:
    """Return advice for an object of a kind that is often saved; "" for others."""
    if isinstance(value, Namespace | SimpleNamespace):
        name = with_article(type(value).__name__)
        return f"store vars(value), the dict of what {name} holds"
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return "store its name"
    if isinstance(value, functools.partial):
        return "store the name of its function, and its arguments"
    if dataclasses.is_dataclass(value) and not hasattr(value, "state_dict"):
        return "store dataclasses.asdict(value)"
    if callable(getattr(value, "model_dump", None)):
        return "store value.model_dump(), the dict of its fields"
    if isinstance(value, torch.utils.data.DataLoader):
        return "use a burnish.train.ResumableLoader, which saves its position"
    if isinstance(value, torch.utils.data.Sampler):
        return "use a burnish.train.ResumableSampler, which saves its position"
    return ""


def is_named_tuple(value: object) -> bool:
    """Return whether the class of ``value`` names its items, which no file keeps."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


def no_named_tuple(value: object, path: str) -> TypeError:
    """Return the error for a tuple that would come back without its names."""
    return no_data(value, path, "store it as a plain tuple or dict")


def _enum(encoding: Encoding, value: object, path: str, depth: int) -> Node:
    raise no_data(value, path, "store its .value")


def _defaultdict(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    name = FACTORIES.get(value.default_factory)
    if name is None:
        if value.default_factory is not None:
            warn_user(
                f"{path}: a defaultdict will be read back as a dict, since files "
                "do not store its default_factory, "
                f"{short_repr(value.default_factory, 60)}; those of "
                f"{', '.join(FACTORIES.values())} are read back unchanged"
            )
        return _mapping(encoding, value, path, depth)
    return {"$defaultdict": [name, encoding.encode(dict(value), path, depth + 1)]}


def _mapping(
    encoding: Encoding, value: Mapping[Any, object], path: str, depth: int
) -> Node:
    if all(isinstance(k, str) and not k.startswith("$") for k in value):
        return {str(k): v for k, v in encoding.fields(value, path, depth).items()}
    names = [encoding.part(text) for text in texts_of_keys(value)]
    pairs = [
        [
            encoding.encode(key, path, depth + 1),
            encoding.encode(item, join(path, name), depth + 1),
        ]
        for name, (key, item) in zip(names, value.items(), strict=True)
    ]
    return {"$dict": pairs}


def _deque(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    items = encoding.encode(list(value), path, depth + 1)
    if value.maxlen is None:
        return {"$deque": items}
    return {"$bounded_deque": [value.maxlen, items]}


def _bounded_deque(pair: Any) -> object:
    maxlen, items = pair
    return deque(items, maxlen)


def _numpy_number(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    name = value.dtype.name
    if name not in _NUMPY_TYPES:
        raise no_data(value, path, "store plain numbers")
    return {"$numpy": [name, encoding.encode(value.item(), path, depth + 1)]}


def _number_of_numpy(pair: Any) -> object:
    name, number = pair
    if not isinstance(number, int | float):
        raise TypeError(f"not a number: {number!r:.60}")
    # An array accepts only values that fit its type, in every version of numpy.
    value: object = np.array([number]).astype(_NUMPY_TYPES[name], casting="unsafe")[0]
    if value != number and number == number:
        raise ValueError(f"{number!r:.60} is not {with_article(name)}")
    return value


_NUMPY_TYPES: dict[str, Any] = {
    name: np.dtype(name).type
    for name in (
        *("bool", "float16", "float32", "float64"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
}

NUMPY_NUMBERS = Kind(
    types=(np.number, np.bool_),
    encode=_numpy_number,
    tag="$numpy",
    decode=making(_number_of_numpy),
    is_deep=True,
)
"""Scalars of numpy, whose arithmetic differs from Python's: in float32, for example."""

ENUMS = Kind(types=enum.Enum, encode=_enum)
"""Members of enums, which are refused: no declaration says how to restore them."""

SIZES_AND_NAMES: tuple[Kind, ...] = (
    tagged("$size", torch.Size, list, torch.Size),
    text("$dtype", torch.dtype, dtype_named, name_of_dtype),
    text("$device", torch.device, torch.device),
    text("$path", PurePath, Path),
)
"""Kinds of arguments of layers and data loaders."""

DICTS: tuple[Kind, ...] = (
    tagged("$Counter", Counter, dict, Counter),
    Kind(
        types=defaultdict,
        encode=_defaultdict,
        tag="$defaultdict",
        decode=making(defaultdict_of),
        is_deep=True,
    ),
    Kind(
        types=(dict, Mapping),
        encode=_mapping,
        tag="$dict",
        decode=making(dict),
        is_deep=True,
    ),
)
"""Dicts with any keys, including keys with a ``$``."""

ORDERED_DICTS = tagged("$OrderedDict", OrderedDict, dict, OrderedDict)
"""A separate kind, because torch's state dicts use it and carry more."""

SETS: tuple[Kind, ...] = (
    tagged("$set", set, list, set),
    tagged("$frozenset", frozenset, list, frozenset),
    Kind(
        types=deque,
        encode=_deque,
        tag="$deque",
        decode=making(deque),
        is_deep=True,
    ),
    Kind(
        types=(),  # the same kind: an older file, or one without a bound, has $deque
        encode=_deque,
        tag="$bounded_deque",
        decode=making(_bounded_deque),
        is_deep=True,
    ),
)
"""Containers whose items have no names."""
