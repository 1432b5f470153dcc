"""What a checkpoint can hold: how each kind of object becomes a record, and is filled.

A module becomes its record; an optimizer of ours, the record of its state; a generator
and all else with ``state_dict`` and ``load_state_dict``, plain data.
"""

import copy
import inspect
import random
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from ..config.process.user_warning import warn_user
from ..core.persistence.loading import load_record
from ..core.persistence.saving import into_record
from ..core.state.identity import named_params
from ..records.errors import RecordMismatchError
from ..records.flat_record import FlatRecord
from ..records.record import Record
from .plain import record_of, value_of

MODULE, RECORD, PLAIN, VALUE = "module", "record", "state", "value"
"""The kinds of parts: a module, a record of its own, a state dict, plain data."""


@runtime_checkable
class Stateful(Protocol):
    """What most objects of a training run are."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Take over what `state_dict` gave."""
        ...


@runtime_checkable
class Recorded(Protocol):
    """What turns itself into a record: our optimizers."""

    def into_record(self) -> Record | FlatRecord:
        """Return the state; it may refer to live tensors."""
        ...

    def load_record(self, source: Any) -> object:
        """Take over a record; raise and stay as it was if it does not fit."""
        ...


def kind_of(part: object) -> str:
    """Return what kind of part an object is."""
    if isinstance(part, nn.Module):
        return MODULE
    if isinstance(part, Recorded | Record):
        return RECORD
    return PLAIN if _accessors(part) is not None else VALUE


def record_of_part(name: str, part: object) -> Record | FlatRecord:
    """Return the record of ``part``; it refers to live tensors where it can.

    TypeError names the path of what is no plain data.
    """
    if isinstance(part, nn.Module):
        return into_record(part)
    if isinstance(part, Record):
        return part
    if isinstance(part, Recorded):
        return part.into_record()
    accessors = _accessors(part)
    return record_of(part if accessors is None else accessors[0](), name)


def fill(name: str, part: object, record: FlatRecord, kind: str) -> None:
    """Give ``part`` the state in ``record``, which was stored as ``kind``.

    Raises RecordMismatchError, or what the part's own ``load_state_dict`` raises.
    """
    accessors = _accessors(part)
    if isinstance(part, nn.Module) and kind == MODULE:
        load_record(part, record)
    elif isinstance(part, Recorded) and not isinstance(part, Record) and kind == RECORD:
        _load_recorded(name, part, record)
    elif isinstance(part, Record) and kind == RECORD:
        stored = record.typed(type(part))
        for field in part.fields():
            setattr(part, field, getattr(stored, field))
    elif accessors is not None and kind == PLAIN:
        accessors[1](value_of(record))
    elif accessors is not None and kind == MODULE:
        accessors[1](record.to_state_dict())
    elif isinstance(part, dict | list) and kind == VALUE:
        _refill(name, part, value_of(record), record.reading.file)
    else:
        raise _unfit(name, part, record, kind)


def other_flags(module: nn.Module, record: FlatRecord) -> dict[str, bool]:
    """Return by path which parameters were stored frozen and are not, or otherwise.

    For a module that was filled from ``record``, and so has its IDs.
    """
    stored = {e.id: e.requires_grad for e in record.entries() if e.id is not None}
    return {
        param.path: stored[param.id]
        for param in named_params(module)
        if stored.get(param.id, param.tensor.requires_grad)
        is not param.tensor.requires_grad
    }


def undo_of(part: object) -> Callable[[], object]:
    """Return what puts ``part`` back to how it is now.

    Copies are made in main memory, whatever the part's device is.
    """
    kind = kind_of(part)
    if kind == VALUE:
        before = copy.copy(part)
        return lambda: _refill("", part, before, "")
    record = record_of_part("part", part).map_tensors(
        lambda tensor: tensor.detach().to("cpu", copy=True)
    )
    return lambda: fill("part", part, record.flat(), kind)


def _load_recorded(name: str, part: Any, record: FlatRecord) -> None:
    known = inspect.signature(part.load_record).parameters
    # A checkpoint continues a run, so it brings the hyperparameters back too.
    restoring = {"hyperparameters": "restore"} if "hyperparameters" in known else {}
    report = part.load_record(record, **restoring)
    for change in getattr(report, "changed", ()):
        warn_user(f"{name}: {change}", RuntimeWarning)


def _accessors(part: Any) -> tuple[Callable[[], Any], Callable[[Any], object]] | None:
    """Return what reads and what writes the state of ``part``; None if it has none."""
    if isinstance(part, torch.Generator):
        return part.get_state, part.set_state
    if isinstance(part, random.Random):
        return part.getstate, lambda state: part.setstate(state)
    if isinstance(part, np.random.RandomState):
        return part.get_state, part.set_state
    if isinstance(part, np.random.Generator):
        bits: Any = part.bit_generator
        return lambda: bits.state, lambda state: setattr(bits, "state", state)
    if isinstance(part, Stateful) and not isinstance(part, type):
        return part.state_dict, part.load_state_dict
    return None


def _refill(name: str, part: Any, value: Any, file: str) -> None:
    if type(part) is not type(value):
        raise RecordMismatchError(
            file,
            [
                f"{name}: found a {type(value).__name__}, expected a "
                f"{type(part).__name__}"
            ],
        )
    part.clear()
    part.update(value) if isinstance(part, dict) else part.extend(value)


def _unfit(name: str, part: object, record: FlatRecord, kind: str) -> Exception:
    what = type(part).__name__
    if kind == VALUE:
        return TypeError(
            f"{name}: a {what} cannot be filled in place; read it as "
            f"checkpoints[step][{name!r}]"
        )
    stored = {
        MODULE: "the record of a module",
        RECORD: f"a {record.type_name}",
        PLAIN: "a state dict",
    }
    found = stored.get(kind, f"the unknown kind {kind!r}")
    return RecordMismatchError(
        record.reading.file, [f"{name}: found {found}, which does not fit a {what}"]
    )
