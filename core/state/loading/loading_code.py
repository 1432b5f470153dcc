# pyright: reportPrivateUsage=false
# Torch's way to fill one module has no public name.
"""Code of module classes that runs when torch loads a state dict.

Records hold the values that a module has, so that no code of its class runs when they
are loaded. A state dict is different: a class may convert older files, or its own
format (``_load_from_state_dict``, pre-hooks).
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import signature
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ....config.process.interrupts import raise_of_signal
from ....config.process.user_warning import warn_user
from ....records.entries.entries import Entries
from ....records.entries.entry import Entry
from ....records.tensors.bits import same_bits
from ....records.tensors.grad_mode import no_grad
from ....records.tensors.torch_internals import (
    load_hooks,
    state_dict_reader,
)
from ...modules.classes import is_of_torch
from ...modules.tree import Places

CURE = (
    "Load the file with torch, which runs that code, and save a record of the module: "
    "module.load_state_dict(torch.load(file)); module.save_record(...)."
)


def conversions(
    places: Places, stored_entries: Mapping[str, Entry], record: Entries
) -> Iterator[str]:
    """Return a message about entries that torch would convert to other values.

    This is tried on a copy of each module that has loading code of its own.
    """
    if not _is_state_dict(record):
        return
    reported_paths = set[str]()
    for i, (prefix, owner) in enumerate(places):
        names = list(own_loading_code(owner, is_root=i == 0))
        if not names:
            continue
        entries = {
            path.removeprefix(prefix): entry
            for path, entry in stored_entries.items()
            if path.startswith(prefix)
        }
        if i == 0 and not is_of_torch(type(owner).load_state_dict):
            load = partial(_load_whole, record.class_versions)
        else:
            load = partial(_load_part, _version(prefix, record))
        try:
            converted = _names_converted(owner, entries, load)
        except Exception as error:
            raise_of_signal(error)
            warn_user(
                f"{record.reading.file}: {' and '.join(names)} may convert what "
                "torch loads, and trying it on a copy failed "
                f"({type(error).__name__}: {error!s:.80}). Its code is not run. "
                f"{CURE}"
            )
            continue
        for name in converted:
            if prefix + name not in reported_paths:
                reported_paths.add(prefix + name)
                yield (
                    f"{prefix}{name}: found values of a state dict, which "
                    f"{' and '.join(names)} converts when torch loads it; expected "
                    "the module's own values, since such code is not run here"
                )


def _is_state_dict(record: Entries) -> bool:
    """Return whether the values are those of a state dict, rather than a record."""
    if record.type_name:
        return record.type_name == "state dict"
    # A part of a module's record has no type, but states what its entries are.
    return any(entry.kind == "tensor" for entry in record.entries())


def own_loading_code(owner: nn.Module, *, is_root: bool = False) -> Iterator[str]:
    """Return the names of overrides and hooks that may change a state dict."""
    # Torch calls this one only for the module that is loaded, not for its children.
    if is_root and not is_of_torch(type(owner).load_state_dict):
        yield type(owner).load_state_dict.__qualname__
    # Torch's own classes rename, resize and add entries, and convert no values.
    method: Any = state_dict_reader(type(owner))
    if not is_of_torch(method):
        yield str(method.__qualname__)
    for wrapped in load_hooks(owner).values():
        hook: Any = getattr(wrapped, "hook", wrapped)
        if not is_of_torch(hook):
            yield str(getattr(hook, "__qualname__", type(hook).__qualname__))


def _version(prefix: str, record: Entries) -> dict[str, Any]:
    """Return the metadata that torch wrote for the class at ``prefix``."""
    place = prefix.removesuffix(".")
    versions = record.class_versions
    return {"version": versions[place]} if place in versions else {}


_Load: TypeAlias = Callable[[nn.Module, dict[str, Tensor]], Mapping[str, Tensor | None]]
"""Loads values into a module, and returns its tensors that were to be filled."""


def _load_part(
    version: dict[str, Any], trial: nn.Module, values: dict[str, Tensor]
) -> Mapping[str, Tensor | None]:
    """Let ``trial`` load its own part of a state dict, without its children."""
    load = state_dict_reader(trial)
    load(values, "", version, True, list[str](), list[str](), list[str]())
    return {**trial._parameters, **trial._buffers}


def _load_whole(
    versions: Mapping[str, int], trial: nn.Module, values: dict[str, Tensor]
) -> Mapping[str, Tensor | None]:
    """Call the ``load_state_dict`` that the class of ``trial`` defines."""
    state: Any = OrderedDict(values)
    state._metadata = {place: {"version": v} for place, v in versions.items()}
    load: Callable[..., object] = trial.load_state_dict
    parameters = signature(load).parameters.values()
    takes_strict = any(
        p.name == "strict" or p.kind is p.VAR_KEYWORD for p in parameters
    )
    # Entries that the reader left out are missing, which is reported elsewhere.
    load(state, strict=False) if takes_strict else load(state)
    return {**dict(trial.named_parameters()), **dict(trial.named_buffers())}


def _names_converted(
    owner: nn.Module, entries: Mapping[str, Entry], load: _Load
) -> list[str]:
    """Return the names whose values differ after the call of ``load``."""
    trial = _blank_copy(owner)
    values = {name: entry.read_own().detach() for name, entry in entries.items()}
    before = dict(values)
    with no_grad():
        filled = load(trial, values)
        return [
            name
            for name, entry in entries.items()
            if _has_changed(entry, before[name], values.get(name), filled.get(name))
        ]


def _has_changed(
    entry: Entry,
    input_values: Tensor,
    output_values: Tensor | None,
    filled: Tensor | None,
) -> bool:
    """Return whether the values differ from those of ``entry``.

    A name that is gone was renamed, which is seen from the names.
    """
    if output_values is None:
        return False
    original = entry.read().detach()
    if not isinstance(output_values, Tensor) or output_values.shape != original.shape:  # pyright: ignore[reportUnnecessaryIsInstance]  # code of users puts anything there
        return True
    if output_values is not input_values or not same_bits(output_values, original):
        if output_values.dtype is not original.dtype:
            return True
        if not same_bits(output_values.detach(), original):
            return True
    if filled is None or filled.shape != original.shape:
        return False
    expected = torch.empty_like(filled).copy_(original)
    return not same_bits(filled.detach(), expected)


def _blank_copy(owner: nn.Module) -> nn.Module:
    """Return a copy of ``owner`` with new, uninitialized memory for all tensors."""
    memo: dict[int, Any] = {}
    for part in owner.modules():
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            if tensor is None:
                continue
            blank = torch.empty(tuple(tensor.shape), dtype=tensor.dtype, device="cpu")
            is_parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(blank, False) if is_parameter else blank
    return copy.deepcopy(owner, memo)
