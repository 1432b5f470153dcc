"""Trained tensors in plain data, which are filled in place: an optimizer holds them."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch

from ...config.path import join
from ...config.process.transaction import Transaction
from ...config.short_text import with_article
from ...core.state.tensor_writes import copy_into
from ...records.entries.encoder import is_trained
from ...records.errors import RecordMismatchError
from ...records.tensors.memory import snapshot


class TrainedTensors:
    """Fills the trained tensors of one part in place, all of them or none."""

    def __init__(self, file: str) -> None:
        """``file`` is the source of the stored values."""
        self._file = file
        self._fills: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def in_place(self, value: object, content: Any, path: str) -> Any:
        """Return ``content`` with the trained tensors of ``value`` in their places.

        Their new values are recorded for `fill`. Raises RecordMismatchError for a
        tensor that does not fit, or for which nothing is stored.
        """
        n_before = len(self._fills)
        merged = self._merged(value, content, path)
        noted = {id(tensor) for _, tensor, _ in self._fills[n_before:]}
        for where, tensor in trained_in(value, path):
            if id(tensor) not in noted:
                raise self._mismatch(where, "nothing", tensor)
        return merged

    def note(self, path: str, tensor: torch.Tensor, content: object) -> None:
        """Record the new value of ``tensor``, trained or not."""
        if not isinstance(content, torch.Tensor):
            raise self._mismatch(path, with_article(type(content).__name__), tensor)
        if content.shape != tensor.shape or content.dtype is not tensor.dtype:
            raise self._mismatch(path, _form(content), tensor)
        self._fills.append((path, tensor, content))

    def fill(self, transaction: Transaction) -> None:
        """Set the recorded values; the transaction can undo it."""
        for path, tensor, content in self._fills:
            transaction.undo_with(partial(copy_into, tensor, snapshot(tensor, path)))
            copy_into(tensor, content)

    def _merged(self, value: object, content: Any, path: str) -> Any:
        if is_trained(value):
            self.note(path, value, content)
            return value
        if isinstance(value, Mapping) and isinstance(content, dict):
            for key in content.keys() & value.keys():
                content[key] = self._merged(value[key], content[key], join(path, key))
            return content
        if not isinstance(value, list | tuple) or not isinstance(content, list | tuple):
            return content
        pairs = enumerate(zip(value, content, strict=False))
        items = [self._merged(a, b, join(path, i)) for i, (a, b) in pairs]
        if isinstance(content, list):
            content[: len(items)] = items
            return content
        return (*items, *content[len(items) :])

    def _mismatch(
        self, path: str, description: str, tensor: torch.Tensor
    ) -> RecordMismatchError:
        problem = f"{path}: found {description}, expected {_form(tensor)}"
        return RecordMismatchError(self._file, [problem])


def trained_in(value: object, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the trained tensors in dicts, lists and tuples, by path."""
    if is_trained(value):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from trained_in(item, join(path, key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from trained_in(item, join(path, i))


def _form(tensor: torch.Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)}"
