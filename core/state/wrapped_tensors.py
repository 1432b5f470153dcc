"""Tensors that wrap others, as quantized weights do: stored as what they are made of.

The inner tensors are entries below the path of the outer one, and its *form* stands
beside them as extra state at that path: class, shape, and what else the class says.
"""

import dataclasses
import enum
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...config.path import join
from ...config.plain.codec import Encoding, Kind, Language, Node
from ...config.plain.kinds import lists, text
from ...records.entries.entries import Entries
from ...records.entries.entry import Entry
from ...records.entries.nodes import decode
from ...records.entries.plain_data import PlainDecoding
from ...records.errors import RecordError, RecordFormatError, RecordMismatchError
from ...records.tensors.dtypes import ALL as DTYPES
from ...records.tensors.memory import is_distributed
from ..modules.one_line import one_line
from ..modules.registry import allowed_tensor_class
from ..modules.tree import Places

CLASS = "__tensor_class__"
"""The key of a form under which the module and the name of the class stand."""


def is_wrapper(tensor: Tensor) -> bool:
    """Return whether the values of ``tensor`` lie in tensors that it tells."""
    cls = type(tensor)
    return (
        hasattr(cls, "__tensor_flatten__")
        and hasattr(cls, "__tensor_unflatten__")
        and not (tensor.is_nested or is_distributed(tensor))
    )


def parts_of(tensor: Tensor, path: str) -> Iterator[tuple[str, Tensor]]:
    """Yield ``tensor``, and all that wrappers in it are made of, by path."""
    yield path, tensor
    if is_wrapper(tensor):
        for name in _flattened(tensor, path)[0]:
            yield from parts_of(getattr(tensor, name), join(path, name))


class WrapperForm:
    """The form of one wrapper in a module, which is stored as extra state is."""

    def __init__(self, tensor: Tensor, path: str) -> None:
        """Tell of ``tensor``, which stands at ``path``."""
        self._tensor, self._path = tensor, path

    def get_extra_state(self) -> dict[str, Any]:
        """Return the form as plain data; `RecordError` for what is none."""
        return _form_of(self._tensor, self._path)

    def set_extra_state(self, state: object) -> None:
        """Do nothing: the plan of the load has compared the forms."""


def form_problems(extra: Mapping[str, object], record: Entries) -> list[str]:
    """Return where a record and a module have tensors of different forms.

    ``extra`` is what has extra state in the module, by path.
    """
    problems: list[str] = []
    for path, form in _stored_forms(record):
        living = extra.get(path)
        if isinstance(living, WrapperForm):
            living_form = living.get_extra_state()
            if not _is_same_form(form, living_form):
                problems.append(_difference(path, form, living_form))
        elif "." not in path or path.rpartition(".")[0] not in extra:
            name = ".".join(map(str, form[CLASS]))
            problems.append(
                f"{path}: stored as a {name}, the module has a plain tensor. Make it "
                "one first, as it was when saved (quantize_), or build the module from "
                f"its record: with burnish.allow_classes({form[CLASS][1]}): "
                "burnish.from_record(...)"
            )
    return problems


def make_wrappers(places: Places, record: Entries) -> None:
    """Put wrappers of allowed classes where a new module has plain parameters.

    They are made of empty tensors, which the record then fills. Raises
    `RecordMismatchError` for what the class does not take.
    """
    owners: dict[str, nn.Module] = dict(places)
    forms = dict(_stored_forms(record))
    for path, form in forms.items():
        prefix, _, name = path.rpartition(".")
        owner = owners.get(f"{prefix}." if prefix else "")
        parameter = None if owner is None else owner._parameters.get(name)  # pyright: ignore[reportPrivateUsage]  # it has no public name
        if owner is None or parameter is None or is_wrapper(parameter):
            continue
        cls = allowed_tensor_class(*form[CLASS])
        if cls is None:
            continue
        maker = _Maker(record, forms, parameter.device)
        tensor = maker.wrapper(path, cls)
        if tensor.shape != parameter.shape:
            problem = (
                f"{path}: stored shape {tuple(tensor.shape)}, the module has "
                f"{tuple(parameter.shape)}"
            )
            raise RecordMismatchError(record.reading.file, [problem])
        is_trained = form["requires_grad"] is True
        setattr(owner, name, nn.Parameter(tensor, requires_grad=is_trained))


class _Maker:
    """Makes wrappers of one record, of empty tensors of the stored forms."""

    def __init__(
        self, record: Entries, forms: Mapping[str, Any], device: torch.device
    ) -> None:
        self._record, self._forms, self._device = record, forms, device

    def wrapper(self, path: str, cls: type[Tensor]) -> Tensor:
        form = self._forms[path]
        parts = {name: self._tensor_at(join(path, name)) for name in form["tensors"]}
        try:
            context = _ContextDecoding(cls).decode(form["context"])
            make: Callable[..., Any] = cls.__tensor_unflatten__  # type: ignore[attr-defined]
            tensor = make(
                parts, context, torch.Size(form["shape"]), tuple(form["stride"])
            )
            self._check(path, cls, tensor, parts)
        except RecordError:
            raise
        except Exception as error:  # the class may raise anything
            raise self._refusal(path, f"{type(error).__name__}: {error}") from error
        return tensor  # type: ignore[no-any-return]

    def _tensor_at(self, path: str) -> Tensor:
        form = self._forms.get(path)
        if form is not None:
            cls = allowed_tensor_class(*form[CLASS])
            if cls is None:
                raise self._refusal(path, f"the class {form[CLASS]} is not allowed")
            return self.wrapper(path, cls)
        entry: Entry | None = self._record.by_path().get(path)
        if entry is None:
            raise self._refusal(path, "there is no such tensor")
        return torch.empty(entry.shape, dtype=entry.dtype, device=self._device)

    def _check(
        self, path: str, cls: type[Tensor], tensor: object, parts: Mapping[str, Tensor]
    ) -> None:
        if type(tensor) is not cls or not is_wrapper(tensor):
            raise self._refusal(path, f"it became a {type(tensor).__name__}")
        form = _form_of(tensor, path)
        if not _is_same_form(self._forms[path], form):
            raise self._refusal(path, _difference(path, self._forms[path], form))
        for name, part in parts.items():
            living_part = getattr(tensor, name)
            if (living_part.shape, living_part.dtype) != (part.shape, part.dtype):
                raise self._refusal(path, f"{name} became another tensor")

    def _refusal(self, path: str, problem: str) -> RecordMismatchError:
        line = f"{path}: no tensor can be made of what is stored ({problem:.300})"
        return RecordMismatchError(self._record.reading.file, [line])


def _flattened(tensor: Tensor, path: str) -> tuple[list[str], Any]:
    try:
        names, context = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
        return list(names), context
    except Exception as error:  # the class may raise anything
        name = type(tensor).__qualname__
        raise RecordError(
            f"{path}: a {name} does not tell its parts: {error}"
        ) from error


def _form_of(tensor: Tensor, path: str) -> dict[str, Any]:
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


def _is_same_form(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(a[key] == b[key] for key in a if key != "requires_grad")


def _difference(
    path: str, stored_form: Mapping[str, Any], living_form: Mapping[str, Any]
) -> str:
    keys = [key for key in stored_form if stored_form[key] != living_form[key]]
    return f"{path}: " + "; ".join(
        f"stored {key.strip('_')} {one_line(stored_form[key])}, the module has "
        f"{one_line(living_form[key])}"
        for key in keys
        if key != "requires_grad"
    )


def _stored_forms(record: Entries) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the forms in ``record`` by path; RecordFormatError for a damaged one."""
    if record.is_typed:
        return
    for path, node in (record.tree or {}).items():
        if not isinstance(node, dict) or CLASS not in node:
            continue
        form = decode(node, lambda tag, number: None)
        if not _is_form(form):
            raise RecordFormatError(
                record.reading.file, f"{path}: {one_line(form)} is no form of a tensor"
            )
        yield path, form


def _is_form(form: Mapping[str, Any]) -> bool:
    def are(kind: type, items: object) -> bool:
        return isinstance(items, list) and all(type(item) is kind for item in items)

    return (
        [*form] == [CLASS, "shape", "stride", "requires_grad", "tensors", "context"]
        and are(str, form[CLASS])
        and len(form[CLASS]) == 2
        and are(int, form["shape"])
        and are(int, form["stride"])
        and are(str, form["tensors"])
    )


class _ContextEncoding(Encoding):
    """Writes what a class says of its tensors as plain data."""

    def __init__(self, tensor_path: str, cls: type[Tensor]) -> None:
        super().__init__(_LANGUAGE)
        self._where = f"{tensor_path}: the context of its {cls.__qualname__}"

    def refusal(self, value: object, path: str) -> Exception:
        """Return the error of what is no plain data."""
        return RecordError(
            f"{self._where} holds {one_line(value)}, which is no plain data, so that "
            "nothing could bring it back. Store the tensors that it is made of."
        )

    def too_deep(self, path: str) -> Exception:
        """Return the error of a context that nests too deep, or in itself."""
        return RecordError(f"{self._where} nests deeper than {self._max_depth} levels")


class _ContextDecoding(PlainDecoding):
    """Reads it again, with enums and dataclasses of the library that has the class.

    Whoever allows a class of tensors vouches for what stands in its context.
    """

    def __init__(self, cls: type[Tensor]) -> None:
        super().__init__(_LANGUAGE.decoders)
        self._library = cls.__module__.partition(".")[0]

    def class_at(self, module: str, name: str) -> Any:
        """Return the class of that name. LookupError for any but these."""
        candidate: Any = sys.modules.get(module)
        for part in name.split("."):
            candidate = getattr(candidate, part, None)
        is_plain = isinstance(candidate, type) and (
            issubclass(candidate, enum.Enum) or dataclasses.is_dataclass(candidate)
        )
        if module.partition(".")[0] != self._library or not is_plain:
            raise LookupError(
                f"{module}.{name} is no enum or dataclass of {self._library}"
            )
        return candidate


def _mapping(
    encoding: Encoding, value: Mapping[Any, Any], path: str, depth: int
) -> Node:
    if not all(type(key) is str for key in value):
        raise encoding.refusal(value, path)
    return encoding.fields(value, path, depth)


def _object(encoding: Encoding, value: Any, path: str, depth: int) -> Node:
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
