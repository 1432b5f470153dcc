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
from ...records.entries.entries import Entries
from ...records.entries.entry import Entry
from ...records.entries.nodes import decode
from ...records.errors import RecordError, RecordFormatError, RecordMismatchError
from ...records.tensors.dtypes import ALL as DTYPES
from ...records.tensors.memory import is_distributed
from ..modules.one_line import one_line
from ..modules.registry import allowed_tensor_class
from ..modules.tree import Places

CLASS = "__tensor_class__"
"""The key of a form under which the module and the name of the class stand."""

_OBJECT, _MEMBER, _DTYPE, _DEVICE = (
    "__object__",
    "__member__",
    "__dtype__",
    "__device__",
)


def is_wrapper(tensor: Tensor) -> bool:
    """Return whether the values of ``tensor`` lie in tensors that it tells."""
    cls = type(tensor)
    return (
        hasattr(cls, "__tensor_flatten__")
        and hasattr(cls, "__tensor_unflatten__")
        and not (tensor.is_nested or is_distributed(tensor))
    )


def inner_tensors(tensor: Tensor, path: str) -> Iterator[tuple[str, Tensor]]:
    """Yield what a wrapper is made of, down to tensors with values, by path."""
    for name in _flattened(tensor, path)[0]:
        part, where = getattr(tensor, name), join(path, name)
        if is_wrapper(part):
            yield from inner_tensors(part, where)
        else:
            yield where, part


def wrappers_in(tensor: Tensor, path: str) -> Iterator[tuple[str, Tensor]]:
    """Yield ``tensor``, a wrapper, and those that it is made of, by path."""
    yield path, tensor
    for name in _flattened(tensor, path)[0]:
        if is_wrapper(getattr(tensor, name)):
            yield from wrappers_in(getattr(tensor, name), join(path, name))


class TensorForm:
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
        if isinstance(living, TensorForm):
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
            context = _context_of(form["context"], _classes_of(cls))
            make: Callable[..., Any] = cls.__tensor_unflatten__  # type: ignore[attr-defined]
            made_tensor = make(
                parts, context, torch.Size(form["shape"]), tuple(form["stride"])
            )
            self._check(path, cls, made_tensor, parts)
        except RecordError:
            raise
        except Exception as error:  # the class may raise anything
            raise self._refusal(path, f"{type(error).__name__}: {error}") from error
        return made_tensor  # type: ignore[no-any-return]

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
        text = f"{path}: no tensor can be made of what is stored ({problem:.300})"
        return RecordMismatchError(self._record.reading.file, [text])


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
        "context": _plain_context(
            context, f"{path}: the context of its {cls.__qualname__}"
        ),
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


def _plain_context(value: Any, path: str) -> Any:
    """Return what a class says of its tensors as plain data; RecordError for others."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.dtype):
        return {_DTYPE: str(value)}
    if isinstance(value, torch.device):
        return {_DEVICE: str(value)}
    if isinstance(value, enum.Enum):
        return {_MEMBER: [*_place(type(value)), value.name]}
    if isinstance(value, list | tuple):
        items = [_plain_context(item, path) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {key: _plain_context(item, path) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {_OBJECT: [*_place(type(value)), _plain_context(fields, path)]}
    raise RecordError(
        f"{path} holds {one_line(value)}, which is no plain data, so that nothing "
        "could bring it back. Store the tensors that it is made of."
    )


def _place(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def _context_of(data: Any, class_at: Callable[[str, str], Any]) -> Any:
    """Return what `_plain_context` took apart; ``class_at`` finds the classes."""
    if isinstance(data, list | tuple):
        return type(data)(_context_of(item, class_at) for item in data)
    if not isinstance(data, dict):
        return data
    if [*data] == [_DTYPE]:
        return DTYPES[data[_DTYPE]]
    if [*data] == [_DEVICE]:
        return torch.device(data[_DEVICE])
    if [*data] == [_MEMBER]:
        module, name, member = data[_MEMBER]
        return class_at(module, name)[member]
    if [*data] == [_OBJECT]:
        module, name, fields = data[_OBJECT]
        return class_at(module, name)(**_context_of(fields, class_at))
    return {key: _context_of(item, class_at) for key, item in data.items()}


def _classes_of(cls: type[Tensor]) -> Callable[[str, str], Any]:
    """Return what finds enums and dataclasses of the library that ``cls`` is of.

    Whoever allows a class of tensors vouches for what stands in its context.
    """
    library = cls.__module__.partition(".")[0]

    def class_at(module: str, name: str) -> Any:
        candidate: Any = sys.modules.get(module)
        for part in name.split("."):
            candidate = getattr(candidate, part, None)
        is_plain = isinstance(candidate, type) and (
            issubclass(candidate, enum.Enum) or dataclasses.is_dataclass(candidate)
        )
        if module.partition(".")[0] != library or not is_plain:
            raise LookupError(f"{module}.{name} is no enum or dataclass of {library}")
        return candidate

    return class_at
