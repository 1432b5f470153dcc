"""Wrapper tensors of a module: comparison of their forms, and creation of new ones."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...config.short_text import with_article
from ...records.entries.entries import Entries
from ...records.entries.entry import Entry
from ...records.entries.stored_wrappers import StoredWrappers
from ...records.entries.wrapped_tensors import form_of
from ...records.entries.wrapper_forms import CLASS, form_difference, is_same_form
from ...records.errors import RecordMismatchError
from ...records.tensors.tensor_classes import allowed_tensor_class, is_wrapper
from ..modules.tree import Places


class WrapperForm:
    """The form of one wrapper in a module, which is stored as extra state."""

    def __init__(self, tensor: Tensor, path: str) -> None:
        """Describe ``tensor``, which is at ``path``."""
        self._tensor, self._path = tensor, path

    def get_extra_state(self) -> dict[str, Any]:
        """Return the form as plain data; `RecordError` if it is not plain data."""
        return form_of(self._tensor, self._path)

    def set_extra_state(self, state: object) -> None:
        """Do nothing: the plan of the load has compared the forms."""


def form_problems(extra: Mapping[str, object], record: Entries) -> list[str]:
    """Return the paths at which a record and a module have different forms.

    ``extra`` are the objects with extra state in the module, by path.
    """
    problems: list[str] = []
    for path, form in StoredWrappers(record).forms.items():
        living = extra.get(path)
        if isinstance(living, WrapperForm):
            living_form = living.get_extra_state()
            if not is_same_form(form, living_form):
                difference = form_difference(form, living_form, "the module")
                problems.append(f"{path}: {difference}")
        elif "." not in path or path.rpartition(".")[0] not in extra:
            name = ".".join(map(str, form[CLASS]))
            problems.append(
                f"{path}: stored as {with_article(name)}, the module has a plain "
                "tensor. Convert it first, as it was when saved (quantize_), or build "
                "the module from its record: with "
                f"burnish.allow_classes({form[CLASS][1]}): burnish.from_record(...)"
            )
    return problems


def make_wrappers(places: Places, record: Entries) -> None:
    """Create wrappers of allowed classes where a new module has plain parameters.

    They are created from zeros, which the record then fills. Raises
    `RecordMismatchError` for values that the class does not accept.
    """
    owners: dict[str, nn.Module] = dict(places)
    wrappers = StoredWrappers(record)
    for path, form in wrappers.forms.items():
        prefix, _, name = path.rpartition(".")
        owner = owners.get(f"{prefix}." if prefix else "")
        parameter = None if owner is None else owner._parameters.get(name)  # pyright: ignore[reportPrivateUsage]  # it has no public name
        if owner is None or parameter is None or is_wrapper(parameter):
            continue
        if allowed_tensor_class(*form[CLASS]) is None:
            continue
        tensor = wrappers.tensor(path, partial(_blank, device=parameter.device))
        if tensor.shape != parameter.shape:
            problem = (
                f"{path}: stored shape {tuple(tensor.shape)}, the module has "
                f"{tuple(parameter.shape)}"
            )
            raise RecordMismatchError(record.reading.file, [problem])
        is_trained = form["requires_grad"] is True
        setattr(owner, name, nn.Parameter(tensor, requires_grad=is_trained))


def _blank(entry: Entry, device: torch.device) -> Tensor:
    # A class may look at the values it is given, before those of the record are there.
    return torch.zeros(entry.shape, dtype=entry.dtype, device=device)
