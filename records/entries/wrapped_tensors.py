"""Tensors that wrap others, as quantized weights do: stored as their parts.

A wrapper is its *form* (class, shape, and whatever else the class declares) and its
*parts* (the tensors inside). Parts in a module's record are entries below the path of
the wrapper, and the form is plain data at that path. Where nodes have no paths, in
declared fields and in nests, both are in one node.
"""

import dataclasses
import enum
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ...config.path import join
from ...config.plain.codec import Encoding, Kind, Language
from ...config.plain.kinds import PlainDecoding, lists, text
from ...config.plain.node import Node
from ...config.process.interrupts import raise_of_signal
from ...config.short_text import short_repr, with_article
from ..errors import RecordError, RecordMismatchError
from ..tensors.dtypes import ALL as DTYPES
from ..tensors.tensor_classes import allowed_tensor_class, is_wrapper
from .wrapper_forms import (
    CLASS,
    Form,
    form_difference,
    is_form,
    is_same_form,
)


class UnmadeWrapper(Tensor):
    """A wrapper that was not rebuilt, as its class may be missing: form and parts."""

    form: Form
    parts: Mapping[str, Any]

    @classmethod
    def of(
        cls, form: Form, parts: Mapping[str, object], path: str = ""
    ) -> "UnmadeWrapper":
        """Return a placeholder for a wrapper of ``form``."""
        stand_in = torch.empty(0, device="cpu").as_subclass(cls)
        stand_in.form, stand_in.parts = form, parts
        return stand_in

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        """Return the names of the parts."""
        return list(self.parts), None

    @classmethod
    def __tensor_unflatten__(
        cls, parts: object, context: object, *size: object
    ) -> Tensor:
        """Raise: no value is stored as a placeholder."""
        raise TypeError("a stand-in is not a tensor")


def form_of(tensor: Tensor, path: str) -> dict[str, Any]:
    """Return the form of a wrapper; `RecordError` if parts are not plain data."""
    if isinstance(tensor, UnmadeWrapper):
        return dict(tensor.form)
    names, context = _flattened(tensor, path)
    cls = type(tensor)
    return {
        CLASS: [cls.__module__, cls.__qualname__],
        "shape": list(tensor.shape),
        "stride": list(tensor.stride()),
        "requires_grad": tensor.requires_grad,
        "tensors": names,
        "context": _ContextEncoding(path, cls).encode(context, ""),
    }


def parts_by_name(tensor: Tensor, path: str) -> dict[str, Any]:
    """Return the tensors inside a wrapper, which may be wrappers too."""
    if isinstance(tensor, UnmadeWrapper):
        return dict(tensor.parts)
    return {name: getattr(tensor, name) for name in _flattened(tensor, path)[0]}


def tensors_within(tensor: Tensor, path: str) -> Iterator[tuple[str, Tensor]]:
    """Yield ``tensor``, and all tensors that wrappers in it contain, by path."""
    yield path, tensor
    if is_wrapper(tensor):
        for name, part in parts_by_name(tensor, path).items():
            yield from tensors_within(part, join(path, name))


def make_wrapper(
    form: Form, parts: Mapping[str, Any], path: str, *, file: str = "record"
) -> Tensor:
    """Return the wrapper of ``form`` over ``parts``, if its class is allowed.

    It is as it was stored, and has these parts. Raises `RecordMismatchError` otherwise,
    also for any error that the class raises.
    """
    try:
        cls = _allowed_class(form, parts)
        context = _ContextDecoding(cls).decode(form["context"])
        make: Callable[..., Any] = cls.__tensor_unflatten__  # type: ignore[attr-defined]
        size, stride = torch.Size(form["shape"]), tuple(form["stride"])
        tensor = make(dict(parts), context, size, stride)
        _check(form, parts, tensor, cls, path)
    except _RefusalError as refusal:
        problem = str(refusal)
    except Exception as error:  # the class may raise anything
        raise_of_signal(error)
        problem = f"{type(error).__name__}: {error}"
    else:
        return tensor  # type: ignore[no-any-return]
    line = f"{path or 'record'}: the stored data does not describe a tensor "
    raise RecordMismatchError(file, [f"{line}({problem:.300})"])


class _RefusalError(Exception):
    """A description of what is wrong with a rebuilt tensor."""


def _allowed_class(form: Form, parts: Mapping[str, object]) -> type[Tensor]:
    if not is_form(form) or form["tensors"] != [*parts]:
        raise _RefusalError(f"{short_repr(form, 100)} is not the form of a tensor")
    module, name = form[CLASS]
    cls = allowed_tensor_class(module, name)
    if cls is None:
        raise _RefusalError(
            f"it is {with_article(module)}.{name}, a class that a file may name only "
            f"if you allow it: with burnish.allow_classes({name}): ..."
        )
    return cls


def _check(
    form: Form, parts: Mapping[str, Tensor], tensor: Any, cls: type, path: str
) -> None:
    is_of_class = type(tensor) is cls
    if not (is_of_class and is_wrapper(tensor)):
        raise _RefusalError(f"it became {with_article(type(tensor).__name__)}")
    living_form = form_of(tensor, path)
    if not is_same_form(form, living_form):
        raise _RefusalError(form_difference(form, living_form, "the result"))
    for name, part in parts.items():
        living_part = getattr(tensor, name)
        if (living_part.shape, living_part.dtype) != (part.shape, part.dtype):
            raise _RefusalError(f"{name} became a different tensor")


def _flattened(tensor: Tensor, path: str) -> tuple[list[str], Any]:
    try:
        names, context = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
        return list(names), context
    except Exception as error:  # the class may raise anything
        raise_of_signal(error)
        name = type(tensor).__qualname__
        raise RecordError(
            f"{path}: {with_article(name)} does not list its parts: {error}"
        ) from error


class _ContextEncoding(Encoding):
    """Writes the context that a class gives of its tensors as plain data."""

    def __init__(self, tensor_path: str, cls: type[Tensor]) -> None:
        super().__init__(_LANGUAGE)
        self._where = f"{tensor_path}: the context of its {cls.__qualname__}"

    def refusal(self, value: object, path: str) -> Exception:
        """Return the error for a value that is not plain data."""
        return RecordError(
            f"{self._where} holds {short_repr(value, 100)}, which is not plain data, "
            "so it could not be restored. Store its inner tensors instead."
        )

    def too_deep(self, path: str) -> Exception:
        """Return the error for a context that nests too deep, or contains itself."""
        return RecordError(f"{self._where} nests deeper than {self._max_depth} levels")


class _ContextDecoding(PlainDecoding):
    """Reads a context, with enums and dataclasses of the library that has the class.

    Allowing a class of tensors means trusting the classes in its context.
    """

    def __init__(self, cls: type[Tensor]) -> None:
        super().__init__(_LANGUAGE.decoders)
        self._library = cls.__module__.partition(".")[0]

    def class_at(self, module: str, name: str) -> Any:
        """Return the class of that name. LookupError for all other classes."""
        candidate: Any = sys.modules.get(module)
        for part in name.split("."):
            candidate = getattr(candidate, part, None)
        is_plain = isinstance(candidate, type) and (
            issubclass(candidate, enum.Enum) or dataclasses.is_dataclass(candidate)
        )
        if module.partition(".")[0] != self._library or not is_plain:
            raise LookupError(
                f"{module}.{name} is not an enum or dataclass of {self._library}"
            )
        return candidate


def _mapping(
    encoding: Encoding, value: Mapping[Any, object], path: str, depth: int
) -> Node:
    if not all(type(key) is str for key in value):
        raise encoding.refusal(value, path)
    return encoding.fields(value, path, depth)


def _object(encoding: Encoding, value: object, path: str, depth: int) -> Node:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise encoding.refusal(value, path)
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    cls = type(value)
    nodes = encoding.fields(fields, path, depth)
    return {"__object__": [cls.__module__, cls.__qualname__, nodes]}


def _object_of(
    decoding: _ContextDecoding, content: Node, path: str, depth: int
) -> object:
    module, name, fields = content
    return decoding.class_at(module, name)(**decoding.decode(fields, path, depth + 1))


def _member_of(decoding: _ContextDecoding, content: Node, path: str, depth: int) -> Any:
    module, name, member = content
    return decoding.class_at(module, name)[member]


_LANGUAGE = Language(
    [
        text("__dtype__", torch.dtype, DTYPES.__getitem__),
        text("__device__", torch.device, torch.device),
        Kind(
            types=enum.Enum,
            encode=lambda encoding, member, path, depth: {
                "__member__": [
                    type(member).__module__,
                    type(member).__qualname__,
                    member.name,
                ]
            },
            tag="__member__",
            decode=_member_of,
        ),
        lists(),
        Kind(
            types=tuple,
            encode=lambda encoding, items, path, depth: tuple(
                encoding.items(items, path, depth)
            ),
            is_deep=True,
        ),
        Kind(types=Mapping, encode=_mapping, is_deep=True),
        Kind(
            types=object,
            encode=_object,
            tag="__object__",
            decode=_object_of,
            is_deep=True,
        ),
    ],
    as_they_are=(type(None), bool, int, float, str),
)
