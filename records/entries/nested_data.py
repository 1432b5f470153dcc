"""Nested data and tensors as nodes of records, without declared fields.

Values that records do not hold themselves, such as a ``Counter``, are stored below
tags.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from ...config.path import join
from ...config.plain.codec import Decoding, Encoding, Kind, Language
from ...config.plain.kinds import lists, making
from ...config.plain.node import Node
from ...config.process.interrupts import raise_of_signal
from ...config.short_text import with_article
from ..errors import RecordError, RecordFormatError
from .encoder import AS_THEY_ARE, LEAVES_AND_NUMBERS, TUPLES, Encoder
from .entries import Entries, data_leaf
from .nodes import NodeDecoding
from .plain_data import (
    DICTS,
    ENUMS,
    MAX_DEPTH,
    NUMPY_NUMBERS,
    SETS,
    SIZES_AND_NAMES,
    PlainDataEncoding,
    is_named_tuple,
    no_data,
    no_named_tuple,
    value_of_node,
    warn_of_class,
)
from .state_dict_marks import (
    class_versions_of,
    is_module_state_dict,
    with_class_versions,
)
from .wrapped_tensors import make_wrapper
from .wrapper_forms import Wrap


def decoded_data(node: Any, file: str) -> Any:
    """Return the value that a `DataEncoder` wrote, whose leaves are already read.

    Raises `RecordFormatError` where tags have unexpected content.
    """
    return value_of_node(node, _LANGUAGE, file)


class DataEncoder(PlainDataEncoding, Encoder):
    """Writes data of any kind; values that records do not hold become tagged dicts.

    The tag of such a dict is an ordinary key in the records' own language.
    """

    def __init__(self) -> None:
        super().__init__(language=_LANGUAGE, max_depth=MAX_DEPTH)

    def encode(self, value: object, path: str, depth: int = 0) -> Node:
        """Return ``value`` as a node of records."""
        if isinstance(value, bytearray | memoryview):
            warn_of_class(value, path, "bytes, which are immutable")
        node = super().encode(value, path, depth)
        if isinstance(value, torch.Tensor):
            return node
        if isinstance(node, dict) and len(node) == 1:
            ((tag, content),) = node.items()
            if tag in _LANGUAGE.decoders:
                return self.tagged(tag, content)
        return node

    def tagged(self, tag: str, content: Node) -> Node:
        """Return a tag of this language as the language of records spells it."""
        return {"$dict": [[tag, content]]}

    def fields(
        self, values: Mapping[Any, object], path: str, depth: int
    ) -> dict[Any, Node]:
        """Return the nodes of a dict; the paths of a state dict continue inside it."""
        # A name that begins with a dot would leave a gap after the parent's path.
        has_gap = bool(path) and any(str(name).startswith(".") for name in values)
        if has_gap or not is_module_state_dict(values):
            return super().fields(values, path, depth)
        return {
            name: self.encode(item, join(path, name), depth + 1)
            for name, item in values.items()
        }

    def refusal(self, value: object, path: str) -> Exception:
        """Return the error of a value that is not plain data."""
        has_state = callable(getattr(value, "state_dict", None))
        cure = "store its state_dict()" if has_state else "store its parts"
        return no_data(value, path, cure)


class ExtraStateEncoder(DataEncoder):
    """Writes extra state, where a dict with the key ``$set`` has always meant itself.

    So a tag is written there without its ``$``, in the pairs of a ``$dict``.
    """

    def tagged(self, tag: str, content: Node) -> Node:
        """Return the spelling of a tag in extra state, or a dict in its usual form."""
        if tag == "$dict" and all(isinstance(key, str) for key, _ in content):
            return {"$dict": content}
        return {"$dict": [[tag.removeprefix("$"), content]]}


class ExtraStateDecoding(NodeDecoding):
    """Decodes the values that an `ExtraStateEncoder` wrote."""

    def __init__(
        self, leaf: Callable[[str, int], object], wrap: Wrap, file: str
    ) -> None:
        """Decode with the tensors of ``file``, which errors name."""
        super().__init__(leaf, wrap, None)
        self._file = file

    def pairs(self, pairs: Any, path: str, depth: int) -> object:
        """Return a dict with string keys, or the value of a tag without its ``$``."""
        name, content = pairs[0] if len(pairs) == 1 else ("$", None)
        if name.startswith("$"):
            return super().pairs(pairs, path, depth)
        try:
            return _LANGUAGE.decoders[f"${name}"](self, content, path, depth)
        except RecordError:
            raise
        except (ValueError, TypeError, LookupError, RuntimeError) as error:
            raise_of_signal(error)
            kind = with_article(name)
            problem = f"{path}: {kind} that cannot be read ({error!s:.200})"
            raise RecordFormatError(self._file, problem) from error


def extra_state(record: Entries) -> dict[str, Any]:
    """Return a module's extra state by path, decoded; empty for other records."""
    if record.is_typed or not record.tree:
        return {}
    leaf = partial(data_leaf, record)
    file = record.reading.file
    decoding = ExtraStateDecoding(leaf, partial(make_wrapper, file=file), file)
    return {path: decoding.decode(node) for path, node in record.tree.items()}


def _tuple(encoding: Encoding, value: object, path: str, depth: int) -> Node:
    if is_named_tuple(value):
        raise no_named_tuple(value, path)
    return TUPLES.encode(encoding, value, path, depth)


def _ordered_dict(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
    values = encoding.encode(dict(value), path, depth + 1)
    versions = class_versions_of(value)
    if not versions:
        return {"$OrderedDict": values}
    return {"$state_dict": [values, encoding.encode(versions, path, depth + 1)]}


def _state_dict(decoding: Decoding, content: Node, path: str, depth: int) -> Any:
    values, versions = decoding.items(content, path, depth)
    if not isinstance(values, dict) or not isinstance(versions, dict):
        raise TypeError("a state dict and the versions of its classes must be dicts")
    return with_class_versions(OrderedDict(values), versions)


_LANGUAGE = Language(
    [
        ENUMS,
        NUMPY_NUMBERS,
        *LEAVES_AND_NUMBERS,
        *SIZES_AND_NAMES,
        lists(),
        Kind(types=tuple, encode=_tuple, is_deep=True),
        Kind(
            types=OrderedDict,
            encode=_ordered_dict,
            tag="$OrderedDict",
            decode=making(OrderedDict),
            is_deep=True,
        ),
        Kind(types=(), encode=_ordered_dict, tag="$state_dict", decode=_state_dict),
        *DICTS,
        *SETS,
    ],
    as_they_are=AS_THEY_ARE,
)
