"""The parts of a state beside its text: one class for each kind of object.

Each kind decides which objects belong to it, how a file describes one beside its
record, and how the object is restored.
"""

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_origin

import numpy as np
import torch
from torch import nn

from ...config.classes.declared_types import members
from ...config.classes.field_types import (
    Serializable,
    decoded,
    encoded,
    is_field_type,
    registered_type_of,
)
from ...config.classes.fields import field_types_in
from ...config.process.interrupts import raise_of_signal
from ...config.process.transaction import Transaction, all_or_nothing
from ...config.short_text import with_article
from ...core.hyperparameters.reader import planned
from ...core.hyperparameters.record_metadata import factory_of, recorded_hparams
from ...core.modules.registry import class_named
from ...core.modules.tree import unwrapped
from ...core.persistence.loading import from_record
from ...records.entries.encoder import is_trained
from ...records.errors import RecordError, RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.open import open_record
from ...records.record import Record
from ...records.record_writer import WritableRecord, writer_for
from ..checkpoints.choice import Choice
from ..checkpoints.param_names import names_of_params
from ..checkpoints.part import MODULE, RECORD, STATE, VALUE
from ..checkpoints.part_kinds import fill, kind_of, other_flags, part_of, refused
from ..plain_records import record_of, value_of
from .object_kind import (
    BOUND,
    FILLED,
    GENERATOR,
    OWN_TYPE,
    SERIALIZED,
    Description,
    ObjectKind,
    ObjectRecord,
    StateInRestoring,
)
from .rebuild_optimizer import Modules, binding_of, is_binding, rebuild_optimizer

_GENERATORS: Mapping[str, Callable[[], Any]] = {
    "Generator": torch.Generator,
    "Random": random.Random,
    "RandomState": np.random.RandomState,
    "default_rng": np.random.default_rng,
}


class _Serialized(ObjectKind):
    """Objects that describe themselves completely, in plain data."""

    name = SERIALIZED

    def description(
        self, value: object, part: str, modules: Modules
    ) -> Description | None:
        if not isinstance(value, Serializable):
            return None
        return Description(SERIALIZED, VALUE)

    def why_not_restored(self, value: object, annotation: object) -> str | None:
        cls = _class(annotation, object)
        make = getattr(cls, "deserialize", None)
        is_abstract = make is None or getattr(make, "__isabstractmethod__", False)
        return _undeclared(value, object if is_abstract else cls)

    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        data, file = value_of(source.record), source.record.reading.file
        restored = state.deserialized(data, source.annotation, file)
        if not (source.description.about and isinstance(restored, nn.Module)):
            return restored
        if not state.is_made_by_program(source.path):
            return restored
        # Other objects of the state are bound to the program's own module.
        module = state.initial_object(source.path)
        module.load_state_dict(restored.state_dict())
        return module

    def beside_filled(self, description: Description) -> Description:
        return Description(SERIALIZED, description.part, about=True)


class _OwnType(ObjectKind):
    """Objects of registered classes, stored as plain data."""

    name = OWN_TYPE

    def description(
        self, value: object, part: str, modules: Modules
    ) -> Description | None:
        if registered_type_of(type(value)) is None:
            return None
        return Description(OWN_TYPE, VALUE)

    def why_not_restored(self, value: object, annotation: object) -> str | None:
        kinds = field_types_in(annotation)
        return _undeclared(value, *(kinds[:1] or [object]))

    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        kinds = field_types_in(source.annotation)
        if not kinds:
            problem = (
                "its field declares no class that is registered with burnish.config"
            )
            raise _mismatch(source, problem)
        data = value_of(source.record)
        try:
            return decoded(kinds[0], data, {})
        except Exception as error:  # user code, called with data of a file
            raise_of_signal(error)
            problem = f"{type(error).__name__}: {error!s:.200}"
            raise _mismatch(source, problem) from error


class _Bound(ObjectKind):
    """Optimizers that can be rebuilt over modules of the state."""

    name = BOUND

    def description(
        self, value: object, part: str, modules: Modules
    ) -> Description | None:
        if not isinstance(value, torch.optim.Optimizer):
            return None
        binding = binding_of(value, modules)
        return None if binding is None else Description(BOUND, part, binding)

    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        binding = source.description.about
        return rebuild_optimizer(binding, source.record, state.module_at)

    def beside_filled(self, description: Description) -> Description:
        # The names of the parameters are kept: filling matches them.
        return Description(FILLED, description.part, description.about)


class _Module(ObjectKind):
    """Modules whose record describes how to build them."""

    name = MODULE

    def description(
        self, value: object, part: str, modules: Modules
    ) -> Description | None:
        is_built = part == MODULE and _builds_itself(value)
        return Description(MODULE, part) if is_built else None

    def why_not_restored(self, value: object, annotation: object) -> str | None:
        cls = _class(annotation, nn.Module)
        is_declared = isinstance(value, cls) or (
            isinstance(value, nn.Module) and isinstance(unwrapped(value), cls)
        )
        return None if is_declared else _undeclared(value, cls)

    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        # The program may have cast the module, which no hyperparameter says: without
        # its dtypes a resumed run would go on in those of the constructor.
        record = open_record(source.record, dtype="stored")
        cls = _class(source.annotation, nn.Module)
        stored_hparams = _stored_hparams(record)
        if stored_hparams is None:
            return from_record(factory_of(cls, record), record)
        return from_record(
            planned(stored_hparams, _declared_class(cls, stored_hparams)), record
        )

    def beside_filled(self, description: Description) -> Description:
        return Description(FILLED, description.part)


class _Generator(ObjectKind):
    """Random generators that their own class makes without arguments."""

    name = GENERATOR

    def description(
        self, value: object, part: str, modules: Modules
    ) -> Description | None:
        name = _generator_name(value) if part == STATE else None
        return None if name is None else Description(GENERATOR, part, name)

    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        name = source.description.about
        if name not in _GENERATORS:
            raise _unknown(source, f"the unknown generator {name!r:.60}")
        generator = _GENERATORS[name]()
        fill(name, generator, source.record, STATE, Transaction())
        return generator


class _TypedRecord(ObjectKind):
    """Records, of the class that the field declares."""

    name = RECORD

    def description(
        self, value: object, part: str, modules: Modules
    ) -> Description | None:
        # An optimizer makes a record too, and only the program makes that optimizer.
        is_optimizer = isinstance(value, torch.optim.Optimizer)
        return (
            Description(RECORD, part) if part == RECORD and not is_optimizer else None
        )

    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        return source.record.typed(_class(source.annotation, Record))


class _PlainValue(ObjectKind):
    """Plain data: tensors, arrays, and values that a field declares as a `Blob`."""

    name = VALUE

    def description(
        self, value: object, part: str, modules: Modules
    ) -> Description | None:
        if part != VALUE or is_trained(value):
            return None  # a program's optimizer has the tensor that it trains
        return Description(VALUE, part)

    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        return value_of(source.record)


class _Filled(ObjectKind):
    """Objects that only the program can make: any other with a state."""

    name = FILLED

    def description(self, value: object, part: str, modules: Modules) -> Description:
        if part == STATE and isinstance(value, torch.optim.Optimizer):
            return Description(FILLED, part, names_of_params(value, modules))
        return Description(FILLED, part)

    def restore(self, source: ObjectRecord, state: StateInRestoring) -> Any:
        description = source.description
        if not state.has_program and description.part == VALUE:
            return value_of(source.record)
        # An object that was added during the run, such as its best module.
        kind = _kind_without_program(source)
        if kind and state.has_program and not state.is_made_by_program(source.path):
            return kind.restore(source, state)
        target = state.initial_object(source.path)
        filling = partial(
            fill,
            source.path,
            target,
            source.record,
            description.part,
            left_out=frozenset(description.left_out),
            modules=state.initial_modules(),
        )
        try:
            all_or_nothing(filling)
        except (RecordError, OSError, MemoryError):
            raise
        except Exception as error:  # an object's own load_state_dict may raise anything
            raise_of_signal(error)
            file = source.record.reading.file
            raise refused(file, source.path, target, error) from error
        if isinstance(target, nn.Module):
            for path, flag in other_flags(target, source.record).items():
                unwrapped(target).get_parameter(path).requires_grad_(flag)
        return target


_MODULE = _Module()
_BOUND = _Bound()
_FILLED = _Filled()

_KINDS: tuple[ObjectKind, ...] = (
    _Serialized(),
    _OwnType(),
    _BOUND,
    _MODULE,
    _Generator(),
    _TypedRecord(),
    _PlainValue(),
    _FILLED,
)
"""The first kind that describes an object is its kind; the last describes any."""

_KIND_NAMED: dict[str, ObjectKind] = {kind.name: kind for kind in _KINDS}


def description_of(
    value: object, modules: Modules, *, is_filled: bool = False
) -> Description:
    """Return the description of ``value`` for its file, a field beside ``modules``.

    One that ``is_filled`` is sharded over processes in a way that only the program
    knows.
    """
    part = kind_of(value)
    if is_filled:
        return _FILLED.description(value, part, modules)
    descriptions = (kind.description(value, part, modules) for kind in _KINDS)
    return next(description for description in descriptions if description is not None)


def object_record(
    description: Description,
    name: str,
    value: object,
    file: str,
    beside: Mapping[str, Any],
    choice: Choice,
) -> WritableRecord:
    """Return the record of ``value`` for ``file``. TypeError for other than data.

    ``beside`` is metadata that all objects of a state have, ``choice`` selects what of
    modules is saved; ValueError for a pattern of it that matches nothing.
    """
    note, left_out = f"in {name} of the state", frozenset[str]()
    if is_field_type(type(value)):
        record: Record | FlatRecord = record_of(encoded(value), name)
    else:
        part = part_of(name, value)
        try:
            record = part.choose(choice)
        except ValueError as error:
            error.add_note(note)
            raise
        left_out = part.left_out
    metadata = {**description.metadata(left_out), **beside}
    return writer_for(file).prepare(record, metadata=metadata, note=note)


def beside_filled(description: Description) -> Description:
    """Return how to restore an object beside one that only the program can make."""
    return _KIND_NAMED[description.kind].beside_filled(description)


def why_not_restored(
    description: Description, value: object, annotation: object
) -> str | None:
    """Return why a field of ``annotation`` could not get ``value`` back, None if so."""
    kind = _KIND_NAMED[description.kind]
    return kind.why_not_restored(value, annotation)


def _undeclared(value: object, cls: object) -> str | None:
    """Return why ``cls``, which the field declares, makes no such ``value``."""
    cls, name = get_origin(cls) or cls, type(value).__qualname__
    if cls is not object and isinstance(cls, type):
        if isinstance(value, cls):
            return None
        return (
            f"the {name} could not be rebuilt, since the first class that the field "
            f"declares, {cls.__qualname__}, is used. Declare {name}"
        )
    return (
        f"the {name} could not be rebuilt, since nothing declares its class here. "
        f"Declare it, as in dict[str, {name}] or a field of its own"
    )


def restore_object(
    record: FlatRecord,
    path: str,
    annotation: object,
    state: StateInRestoring,
    *,
    in_shares: bool = False,
) -> Any:
    """Return the object of ``record``. RecordMismatchError for an unknown kind.

    An object that is ``in_shares`` is filled into the one that the program makes.
    """
    description = Description.read(record)
    if in_shares and description.kind in (MODULE, BOUND):
        description = beside_filled(description)
    source = ObjectRecord(path, annotation, record, description)
    kind = _KIND_NAMED.get(source.description.kind)
    if kind is None:
        raise _unknown(source, f"the unknown kind {source.description.kind!r:.60}")
    return kind.restore(source, state)


def _unknown(source: ObjectRecord, content: str) -> RecordMismatchError:
    problem = f"found {content}, expected one that this version writes"
    return _mismatch(source, problem)


def _mismatch(source: ObjectRecord, problem: str) -> RecordMismatchError:
    file = source.record.reading.file
    return RecordMismatchError(file, [f"{source.path}: {problem}"])


def serializable_class(annotation: object, file: str) -> Any:
    """Return the class of ``annotation`` that deserializes itself."""
    cls = _class(annotation, object)
    if not hasattr(cls, "deserialize"):
        name = getattr(cls, "__qualname__", str(cls))
        raise RecordMismatchError(
            file, [f"the field is {with_article(name)}, which has no deserialize"]
        )
    return cls


def _declared_class(
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


def _kind_without_program(source: ObjectRecord) -> ObjectKind | None:
    """Return how a filled object can be restored by itself; None if it cannot."""
    description = source.description
    if description.part == MODULE:
        is_whole = _stored_hparams(source.record) and not description.left_out
        return _MODULE if is_whole else None
    return _BOUND if is_binding(description.about) else None


def _stored_hparams(record: FlatRecord) -> Any:
    """Return the hyperparameters of ``record``'s module, or None."""
    ours = record.metadata.get("burnish", {})
    return ours.get("hparams") if isinstance(ours, Mapping) else None


def _builds_itself(value: Any) -> bool:
    """Return whether a file of ``value`` describes how to build it, reliably."""
    stored_hparams = recorded_hparams(value)
    if stored_hparams is None:
        return False
    try:
        cls = class_named(stored_hparams)
        planned(stored_hparams, cls)
    except (RecordError, TypeError):
        return False
    return isinstance(value, cls)


def _generator_name(value: object) -> str | None:
    if isinstance(value, np.random.Generator):
        is_default = type(value.bit_generator) is np.random.PCG64
        return "default_rng" if is_default else None
    if isinstance(value, torch.Generator) and value.device.type != "cpu":
        return None
    name = type(value).__name__
    classes = (torch.Generator, random.Random, np.random.RandomState)
    return name if type(value) in classes else None


def _class(annotation: object, base: type) -> Any:
    """Return the class in ``annotation``, inside of Optional and Blob."""
    for member in members(annotation):
        cls = getattr(member, "__origin__", member)
        if isinstance(cls, type) and cls is not type(None) and issubclass(cls, base):
            return cls
    return base
