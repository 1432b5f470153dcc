"""One object of a state as a record file, and how it comes to be again."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ...config.classes.fields import members
from ...core.hyperparameters.reader import planned
from ...core.hyperparameters.record_metadata import factory_of, recorded_hparams
from ...core.modules.registry import class_named
from ...core.persistence.loading import from_record
from ...records.errors import RecordError, RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.open import open_record
from ...records.record import Record
from ..checkpoints.part_kinds import (
    MODULE,
    RECORD,
    STATE,
    VALUE,
    fill,
    kind_of,
    part_of,
)
from ..plain import record_of, value_of
from .rebuild_optimizer import binding_of
from .serializable import Serializable

KEY = "blob"
"""Where a record's metadata says what kind of object it is of."""

SERIALIZED, BOUND, GENERATOR, FILLED = "serialized", "bound", "generator", "filled"
"""More kinds: what deserializes itself, optimizers over modules of the state,
generators, and what is filled into the object that ``initial_state`` makes."""

_GENERATORS: Mapping[str, Callable[[], Any]] = {
    "Generator": torch.Generator,
    "Random": random.Random,
    "RandomState": np.random.RandomState,
    "default_rng": np.random.default_rng,
}


@dataclass(frozen=True, slots=True)
class Described:
    """What is told about an object beside its record."""

    kind: str
    """How it comes to be again."""
    part: str
    """How its record was made: one of the kinds of `part_kinds`."""
    about: Any = None
    """The binding of an optimizer, or the name of a generator."""

    @classmethod
    def of(cls, value: object, modules: Mapping[str, nn.Module]) -> "Described":
        """Return what to tell about ``value``, a field beside ``modules``."""
        part = kind_of(value)
        if isinstance(value, Serializable):
            return cls(SERIALIZED, VALUE)
        if isinstance(value, torch.optim.Optimizer):
            binding = binding_of(value, modules)
            return cls(FILLED if binding is None else BOUND, part, binding)
        if part == MODULE:
            return cls(MODULE if _builds_itself(value) else FILLED, part)
        if part == STATE:
            name = _generator_name(value)
            return cls(FILLED if name is None else GENERATOR, part, name)
        return cls(part, part)

    @classmethod
    def read(cls, record: FlatRecord) -> "Described":
        """Return what ``record`` tells of its object."""
        description = record.metadata.get(KEY)
        if not isinstance(description, Mapping) or not isinstance(
            description.get("kind"), str
        ):
            raise RecordMismatchError(
                record.reading.file, ["found no object of a state, expected one"]
            )
        return cls(
            description["kind"], str(description.get("part")), description.get("about")
        )

    def write(
        self, name: str, value: object, file: Path, beside: Mapping[str, Any]
    ) -> None:
        """Write the record of ``value`` to ``file``. TypeError for what is no data.

        ``beside`` is metadata that all objects of a state have.
        """
        if isinstance(value, Serializable):
            record: Record | FlatRecord = record_of(value.serialize(), name)
        else:
            record = part_of(name, value).record()
        description = {"kind": self.kind, "part": self.part, "about": self.about}
        try:
            record.save(file, metadata={KEY: description, **beside})
        except RecordError as error:
            error.add_note(f"in {name} of the state")
            raise


def open_object(
    file: Path,
    name: str,
    hyperparameters: Literal["compare", "ignore"] | None = None,
) -> FlatRecord:
    """Return the record at ``file``. FileNotFoundError that names the field."""
    try:
        return open_record(file, hyperparameters=hyperparameters)
    except FileNotFoundError as error:
        error.strerror = f"the file of the state's {name!r} is missing"
        raise


def rebuild_object(kind: Described, record: FlatRecord, annotation: Any) -> Any:
    """Return the object of a record that needs nothing else; None if it does."""
    if kind.kind == VALUE:
        return value_of(record)
    if kind.kind == RECORD:
        return record.typed(_class(annotation, Record))
    if kind.kind == GENERATOR and kind.about in _GENERATORS:
        generator = _GENERATORS[kind.about]()
        fill(kind.about, generator, record, STATE)
        return generator
    if kind.kind == MODULE:
        return _module(record, _class(annotation, nn.Module))
    return None


def serializable_class(annotation: Any, file: str) -> Any:
    """Return the class of ``annotation`` that deserializes itself."""
    cls = _class(annotation, object)
    if not hasattr(cls, "deserialize"):
        name = getattr(cls, "__qualname__", str(cls))
        raise RecordMismatchError(
            file, [f"the field is a {name}, which has no deserialize"]
        )
    return cls


def _module(record: FlatRecord, cls: type[nn.Module]) -> nn.Module:
    ours = record.metadata.get("burnish", {})
    stored_hparams = ours.get("hparams") if isinstance(ours, Mapping) else None
    if stored_hparams is None:
        return from_record(factory_of(cls, record, (), {}), record)
    return from_record(planned(stored_hparams, _actual(cls, stored_hparams)), record)


def _actual(
    cls: type[nn.Module], stored_hparams: Mapping[str, Any]
) -> type[nn.Module] | None:
    """Return ``cls``, or None where the file names a known subclass of it."""
    if cls is nn.Module:
        return None
    try:
        stored_class = class_named(stored_hparams)
    except RecordError:
        return cls
    return None if issubclass(stored_class, cls) else cls


def _builds_itself(value: Any) -> bool:
    """Return whether a file of ``value`` says how to build it, and can be trusted."""
    stored_hparams = recorded_hparams(value)
    if stored_hparams is None:
        return False
    try:
        cls = class_named(stored_hparams)
        planned(stored_hparams, cls)
    except (RecordError, TypeError):
        return False
    return isinstance(value, cls)


def _generator_name(value: Any) -> str | None:
    if isinstance(value, np.random.Generator):
        is_default = type(value.bit_generator) is np.random.PCG64
        return "default_rng" if is_default else None
    if isinstance(value, torch.Generator) and value.device.type != "cpu":
        return None
    name = type(value).__name__
    classes = (torch.Generator, random.Random, np.random.RandomState)
    return name if type(value) in classes else None


def _class(annotation: Any, base: type) -> Any:
    """Return the class in ``annotation``, Optional and Blob looked through."""
    for member in members(annotation):
        cls = getattr(member, "__origin__", member)
        if isinstance(cls, type) and cls is not type(None) and issubclass(cls, base):
            return cls
    return base
