"""The wrappers in a module's record or in a state dict: forms and parts by path."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from ...config.path import join
from ...config.short_text import short_repr
from ..errors import RecordFormatError, RecordMismatchError
from .entries import Entries, path_index
from .entry import Entry
from .nodes import decode
from .wrapped_tensors import make_wrapper
from .wrapper_forms import CLASS, Form, is_form

T = TypeVar("T")


class StoredWrappers:
    """The wrappers that a record describes, each known by its path."""

    def __init__(self, record: Entries) -> None:
        """Read the forms in ``record``; `RecordFormatError` for a damaged one."""
        self._record = record
        self.forms: dict[str, Form] = dict(_stored_forms(record))
        """The form of each wrapper, nested ones included."""

    def outermost(self) -> dict[str, str]:
        """Return the path of the wrapper that an entry belongs to, by its path."""
        owners: dict[str, str] = {}
        for path, form in self.forms.items():
            owners |= {join(path, name): path for name in form["tensors"]}
        return {path: _root(path, owners) for path in owners}

    def tensor(self, path: str, tensor_of: Callable[[Entry], Tensor]) -> Tensor:
        """Return the wrapper at ``path``, made of the tensors of ``tensor_of``.

        Raises `RecordMismatchError` for a class that is not allowed, a part that is
        missing, and anything else that the class refuses.
        """
        make = partial(make_wrapper, file=self._record.reading.file)
        tensor: Tensor = self.assembled(path, tensor_of, make)
        return tensor

    def assembled(
        self,
        path: str,
        part_of: Callable[[Entry], T],
        wrap: Callable[[Form, dict[str, T], str], T],
    ) -> T:
        """Return the result of ``wrap`` for the form at ``path`` and its parts."""
        form = self.forms[path]
        parts: dict[str, T] = {}
        for name in form["tensors"]:
            part = join(path, name)
            if part in self.forms:
                parts[name] = self.assembled(part, part_of, wrap)
            else:
                parts[name] = part_of(self._entry(part, path))
        return wrap(form, parts, path)

    def _entry(self, part: str, path: str) -> Entry:
        entry = path_index(self._record).get(part)
        if entry is None:
            problem = (
                f"{path}: the stored data does not describe a tensor ({part} is "
                "missing)"
            )
            raise RecordMismatchError(self._record.reading.file, [problem])
        return entry


def _root(path: str, owners: dict[str, str]) -> str:
    while path in owners:
        path = owners[path]
    return path


def _stored_forms(record: Entries) -> Iterator[tuple[str, Form]]:
    """Yield the forms in ``record`` by path; RecordFormatError for a damaged one."""
    if record.is_typed:
        return
    for path, node in (record.tree or {}).items():
        if not isinstance(node, dict) or CLASS not in node:
            continue
        form: Any = decode(node, lambda tag, number: None, make_wrapper)
        if not is_form(form):
            raise RecordFormatError(
                record.reading.file,
                f"{path}: {short_repr(form, 100)} is not the form of a tensor",
            )
        yield path, form
