"""The kinds of parts of a checkpoint, one class for each.

A module is stored as its record; an optimizer of ours as the record of its state; a
generator and any other object with ``state_dict`` and ``load_state_dict`` as plain
data.
"""

import copy
import inspect
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from ...config.process.transaction import Transaction
from ...config.process.user_warning import warn_user
from ...config.short_text import quantity, with_article
from ...core.modules.tree import places_of
from ...core.persistence.loading import fill_module
from ...core.persistence.saving import chosen_record, into_record
from ...core.state.entries import named_tensors
from ...core.state.identity import named_params, share_ids
from ...core.state.loading.allowed import Allowed
from ...optim.adaptor import (
    OptimizerAdaptor,
    own_shares_of_state,
    restore_optimizer,
    share_ids_of,
)
from ...optim.lbfgs import LBFGS, LBFGSAdaptor, restore_lbfgs
from ...optim.stored.record_types import OptimizerRecord
from ...optim.tensor_optimizer import TensorOptimizer
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.processes.messages import is_running
from ...records.record import Record
from ...records.report import LoadReport
from ...records.sharded.share_payload import with_shares
from ...records.tensors.memory import is_distributed
from ..plain_records import record_of, value_of
from .choice import WHOLE, Choice
from .class_checks import ANOTHER_OBJECT, STATE_OF, check_settings, check_stored_class
from .distributed import has_shares
from .param_names import KEY as PARAM_NAMES
from .param_names import described_in, in_order_of_params, names_of_params
from .part import MODULE, RECORD, STATE, VALUE, Part, PartRecord, record_of_part
from .process_generators import ProcessGenerators
from .rng import Generators
from .state_dtypes import cast_where_unknown, dtypes_of_params, load_in_dtypes
from .tied_parts import ties_of
from .torch_optimizer_shares import (
    check_state_shapes,
    spread_as_params,
    with_optimizer_shares,
)
from .trained_tensors import TrainedTensors


@runtime_checkable
class Stateful(Protocol):
    """The interface of most objects of a training run."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Restore the result of `state_dict`."""
        ...


@runtime_checkable
class Recorded(Protocol):
    """Objects that convert themselves to a record: our optimizers."""

    def into_record(self) -> Record | FlatRecord:
        """Return the state; it may refer to live tensors."""
        ...

    def load_record(self, source: Any) -> object:
        """Restore a record; raise and change nothing if it does not fit."""
        ...


class _ModulePart(Part):
    """A module, whose record has its IDs and hyperparameters."""

    kind = MODULE
    fillable_from = (MODULE,)

    @property
    def may_be_shared(self) -> bool:
        return True

    def share_ids(self) -> None:
        share_ids(places_of(self.value))

    def with_own_shares(self, record: FlatRecord) -> FlatRecord:
        tensors = named_tensors(places_of(self.value))
        return with_shares(record, {p: t for p, _, t in tensors if is_distributed(t)})

    @staticmethod
    def suits(value: object) -> bool:
        return isinstance(value, nn.Module)

    def record(self) -> Record | FlatRecord:
        return into_record(self.value)

    def choose(self, choice: Choice) -> Record | FlatRecord:
        only, exclude = choice.of(self.name)
        record, self.left_out = chosen_record(self.value, only, exclude)
        return record

    def fill(
        self, record: FlatRecord, stored_kind: str, transaction: Transaction
    ) -> None:
        allowed = Allowed(absent=self.left_out)
        report = fill_module(self.value, record, allowed, transaction)
        # A load allows nothing else to be missing; rules may rename it.
        warn_of_unsaved(self.name, report.missing if self.left_out else [])


class _TypedRecordPart(Part):
    """A `Record`, which is filled field by field."""

    kind = RECORD
    fillable_from = (RECORD,)

    @staticmethod
    def suits(value: object) -> bool:
        return isinstance(value, Record)

    def record(self) -> Record | FlatRecord:
        typed: Record = self.value
        return typed

    def fill(
        self, record: FlatRecord, stored_kind: str, transaction: Transaction
    ) -> None:
        stored_record = record.typed(type(self.value))
        values = {name: getattr(self.value, name) for name in self.value.fields()}
        content = {name: getattr(stored_record, name) for name in values}
        tensors = TrainedTensors(record.reading.file)
        filled = tensors.in_place(values, content, self.name)
        tensors.fill(transaction)
        transaction.undo_with(partial(self._set, values))
        self._set(filled)

    def _set(self, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            setattr(self.value, name, value)


class _RecordedPart(Part):
    """Objects that convert themselves to a record and load it."""

    kind = RECORD
    fillable_from = (RECORD,)

    @staticmethod
    def suits(value: object) -> bool:
        return isinstance(value, Recorded)

    def record(self) -> Record | FlatRecord:
        recorded: Recorded = self.value
        return recorded.into_record()

    def fill(
        self, record: FlatRecord, stored_kind: str, transaction: Transaction
    ) -> None:
        options = inspect.signature(self.value.load_record).parameters
        # A checkpoint resumes a run, so it restores the hyperparameters too.
        restoring = (
            {"hyperparameters": "restore"} if "hyperparameters" in options else {}
        )
        load = partial(self.value.load_record, **restoring)
        self.prepare_for_code_of_others(transaction, load)
        _warn_of_changes(self.name, load(record))


class _OptimizerPart(_RecordedPart):
    """An optimizer of ours, which restores a state or stays unchanged."""

    @staticmethod
    def suits(value: object) -> bool:
        # An object with a load method of its own is restored by that.
        return getattr(type(value), "load_record", None) in _RESTORE_OF

    @property
    def may_be_shared(self) -> bool:
        return isinstance(self.value, OptimizerAdaptor)

    def share_ids(self) -> None:
        share_ids_of(self.value)

    def with_own_shares(self, record: FlatRecord) -> FlatRecord:
        return own_shares_of_state(self.value, record)

    def fill(
        self, record: FlatRecord, stored_kind: str, transaction: Transaction
    ) -> None:
        restore = _RESTORE_OF[type(self.value).load_record]
        _warn_of_changes(self.name, restore(self.value, record, transaction))


_RESTORE_OF: dict[object, Callable[[Any, FlatRecord, Transaction], LoadReport]] = {
    OptimizerAdaptor.load_record: restore_optimizer,
    LBFGSAdaptor.load_record: restore_lbfgs,
}
"""Restores an optimizer as one of several parts, through its own load."""


class _StatePart(Part):
    """Objects with a state of plain data: generators, schedulers."""

    kind = STATE
    # A run that saved a module may resume with another object of the same state dict.
    fillable_from: ClassVar[tuple[str, ...]] = (STATE, MODULE)

    @staticmethod
    def suits(value: object) -> bool:
        is_optimizer = isinstance(value, torch.optim.Optimizer)
        return not is_optimizer and _accessors(value) is not None

    def record(self) -> Record | FlatRecord:
        read_state, _ = self._accessors()
        record = record_of(read_state(), self.name)
        record.metadata[STATE_OF] = type(self.value).__name__
        return record

    def fill(
        self, record: FlatRecord, stored_kind: str, transaction: Transaction
    ) -> None:
        read_state, write_state = self._accessors()
        is_module = stored_kind == MODULE
        if not is_module:
            check_stored_class(
                self.name,
                _class_names(self.value),
                record,
                checks_itself=isinstance(self.value, OptimizerAdaptor),
            )
        state = record.to_state_dict() if is_module else self.state_in(record)
        if type(self.value) in _GENERATORS:
            transaction.undo_with(partial(write_state, read_state()))
        else:
            self.prepare_for_code_of_others(
                transaction, lambda snapshot: write_state(value_of(snapshot))
            )
        try:
            write_state(state)
        except RecordMismatchError as error:
            # A ``load_state_dict`` does not know the file that the state comes from.
            file = record.reading.file
            raise RecordMismatchError(file, error.problems, error.cure) from error

    def state_in(self, record: FlatRecord) -> Any:
        """Return the argument for its ``load_state_dict``, from ``record``."""
        return value_of(record)

    def _accessors(self) -> tuple[Callable[[], Any], Callable[[Any], object]]:
        accessors = _accessors(self.value)
        assert accessors is not None  # since it suits
        return accessors


def _class_names(value: object) -> list[str]:
    """Return the class of an object, or the name of ours among optimizers."""
    if isinstance(value, OptimizerAdaptor):
        return [*dict.fromkeys(group["kind"] for group in value.param_groups)]
    return ["LBFGS" if isinstance(value, LBFGSAdaptor) else type(value).__name__]


class _TorchOptimizerPart(_StatePart):
    """An optimizer of torch, or of others with torch's interface."""

    fillable_from = (STATE,)

    @property
    def may_be_shared(self) -> bool:
        return True

    def with_own_shares(self, record: FlatRecord) -> FlatRecord:
        return with_optimizer_shares(record, self.value, self.modules)

    @staticmethod
    def suits(value: object) -> bool:
        return isinstance(value, torch.optim.Optimizer)

    def record(self) -> Record | FlatRecord:
        check_state_shapes(self.name, self.value)
        record = super().record()
        modules, optimizer = self.modules, self.value
        known_names = names_of_params(optimizer, modules) if modules else {}
        description = known_names or dtypes_of_params(optimizer)
        if description:
            record.metadata[PARAM_NAMES] = description
        return record

    def state_in(self, record: FlatRecord) -> Any:
        state: Any = value_of(record)
        is_of_optimizer = isinstance(state, dict) and "param_groups" in state
        if not is_of_optimizer:
            return state  # of something else, which the optimizer refuses
        stored_groups, description = state["param_groups"], described_in(record)
        state = in_order_of_params(
            self.value, self.modules, description, state, record.reading.file
        )
        state = spread_as_params(self.value, state)
        return cast_where_unknown(self.value, state, description, stored_groups)

    def fill(
        self, record: FlatRecord, stored_kind: str, transaction: Transaction
    ) -> None:
        settings = [set(group) for group in self.value.param_groups]
        super().fill(record, stored_kind, transaction)
        check_settings(self.name, self.value, settings, record)

    def _accessors(self) -> tuple[Callable[[], Any], Callable[[Any], object]]:
        read_state, write_state = super()._accessors()
        return read_state, partial(load_in_dtypes, self.value, write_state)


_GENERATORS = (
    Generators,
    torch.Generator,
    random.Random,
    np.random.RandomState,
    np.random.Generator,
)
"""Objects that look at no other part, and return a copy of their state."""


class _ValuePart(Part):
    """Plain data; a tensor, or a container of `_FILLABLE`, is filled in place."""

    kind = VALUE
    fillable_from = (VALUE,)

    @staticmethod
    def suits(value: object) -> bool:
        return True

    def record(self) -> Record | FlatRecord:
        if isinstance(self.value, TensorOptimizer):
            _warn_of_unbound(self.name, type(self.value).__name__)
        if isinstance(self.value, LBFGS):
            raise TypeError(
                f"{self.name}: found an LBFGS that is not bound to a module, and has "
                "no state; pass what bind returns: optimizer = LBFGS().bind(net, lr=1)"
            )
        return record_of(self.value, self.name)

    def fill(
        self, record: FlatRecord, stored_kind: str, transaction: Transaction
    ) -> None:
        file, content = record.reading.file, value_of(record)
        tensors = TrainedTensors(file)
        if isinstance(self.value, torch.Tensor):
            tensors.note(self.name, self.value, content)
            tensors.fill(transaction)
            return
        if isinstance(content, TensorOptimizer):
            kind = type(content).__name__
            problem = f"{self.name}: found the hyperparameters of {kind}, and no state"
            raise RecordMismatchError(file, [problem], _NOT_BOUND)
        if not isinstance(self.value, _FILLABLE):
            raise TypeError(
                f"{self.name}: {with_article(type(self.value).__name__)} cannot be "
                f"filled in place; read it as checkpoints[step][{self.name!r}]"
            )
        if type(self.value) is not type(content):
            of_file, of_part = (
                with_article(type(data).__name__) for data in (content, self.value)
            )
            problem = f"{self.name}: found {of_file}, expected {of_part}"
            raise RecordMismatchError(file, [problem])
        content = tensors.in_place(self.value, content, self.name)
        tensors.fill(transaction)
        transaction.undo_with(partial(self._refill, copy.copy(self.value)))
        self._refill(content)

    def _refill(self, content: Any) -> None:
        self.value.clear()
        is_in_row = isinstance(self.value, list | deque)
        self.value.extend(content) if is_in_row else self.value.update(content)


_FILLABLE = (dict, list, deque, set)
"""The types of plain data whose content can be replaced in place."""


_NOT_BOUND = (
    "The optimizer was not bound to a module when it was saved. Restore the other "
    "parts without it, so that it starts from scratch, and save what bind returns."
)


def _warn_of_unbound(name: str, kind: str) -> None:
    """Warn that hyperparameters alone are saved; those who want that may go on."""
    warn_user(
        f"{name}: found {with_article(kind)} that is not bound to a module, so its "
        "hyperparameters are saved and no state of a run. To resume a run, save and "
        f"restore what bind returns: optimizer = {kind}(...).bind(net, lr=1e-3)",
        RuntimeWarning,
    )


def _warn_of_changes(name: str, report: object) -> None:
    for change in getattr(report, "changed", ()):
        warn_user(f"{name}: {change}", RuntimeWarning)


_KINDS: tuple[type[Part], ...] = (
    _ModulePart,
    _TypedRecordPart,
    _OptimizerPart,
    _RecordedPart,
    _TorchOptimizerPart,
    _StatePart,
    _ValuePart,
)
"""The first that fits an object is its kind, since a module has a state dict too."""


def part_records(
    parts: Mapping[str, object], suffix: str, choice: Choice = WHOLE
) -> Iterator[PartRecord]:
    """Yield the record of each part, created when it is needed.

    ValueError for a pattern of ``choice`` that matches nothing in a module.
    """
    ties, stems = ties_of(parts), file_stems(parts)
    for part in parts_of(parts, parts):
        record = record_of_part(part, f"{stems[part.name]}{suffix}", choice)
        yield replace(record, ties=ties.get(part.name, {}))


def file_stems(names: Iterable[str]) -> dict[str, str]:
    """Return the file names of parts: those of the parts, if possible.

    On some disks, those of macOS among them, ``G`` and ``g`` name the same file.
    """
    stems: dict[str, str] = {}
    for name in names:
        taken_stems = {stem.lower() for stem in stems.values()}
        stem, n = name, 2
        while stem.lower() in taken_stems:
            stem, n = f"{name}~{n}", n + 1
        stems[name] = stem
    return stems


def part_of(
    name: str,
    value: object,
    modules: Mapping[str, nn.Module] = MappingProxyType({}),
) -> Part:
    """Return ``value`` as a part of its kind, beside ``modules``."""
    part = next(kind(name, value) for kind in _KINDS if kind.suits(value))
    part.modules = modules
    return part


def modules_in(objects: Mapping[str, object]) -> dict[str, nn.Module]:
    """Return the modules among ``objects``, by name."""
    return {name: o for name, o in objects.items() if isinstance(o, nn.Module)}


def parts_of(names: Iterable[str], objects: Mapping[str, object]) -> Iterator[Part]:
    """Yield the named ones of ``objects`` as parts, which know its modules."""
    modules = modules_in(objects)
    for name in names:
        yield part_of(name, objects[name], modules)


def kind_of(value: object) -> str:
    """Return the name of the kind of ``value`` in files."""
    return part_of("", value).kind


def shared_names(parts: Mapping[str, Any]) -> list[str]:
    """Return the names of the parts whose tensors are on several processes.

    ValueError for one of a kind that could not be filled again as it was.
    """
    if not is_running():
        return []  # checking thousands of tensors takes a third of a save
    names = [name for name, value in parts.items() if has_shares(value)]
    for name in names:
        part = part_of(name, parts[name])
        if not part.may_be_shared:
            raise ValueError(
                f"{name}: found {with_article(type(part.value).__name__)} whose "
                "tensors are sharded over processes, expected a module or an "
                "optimizer, which know the sharding when they are restored. "
                "Save the module itself, or gather the tensors first "
                "(full_tensor())"
            )
    return names


def are_restored_together(parts: Mapping[str, Any]) -> bool:
    """Return whether all processes fill ``parts`` together, each for itself.

    Each has shares of its own, or generators. Other parts may be filled by one process
    alone.
    """
    return any(isinstance(part, ProcessGenerators) for part in parts.values()) or bool(
        shared_names(parts)
    )


def fill(
    name: str,
    value: object,
    record: FlatRecord,
    stored_kind: str,
    transaction: Transaction,
    left_out: frozenset[str] = frozenset(),
    modules: Mapping[str, nn.Module] = MappingProxyType({}),
) -> None:
    """Fill ``value`` from ``record``, which was stored as ``stored_kind``.

    ``left_out`` are the paths of a module that its record may lack, ``modules`` those
    that are filled beside it, by name. Raises RecordMismatchError, or the error of the
    object's own ``load_state_dict``.
    """
    # The file decides: a module that was stored as a state dict is filled as one.
    for kind in _KINDS:
        if stored_kind in kind.fillable_from and kind.suits(value):
            part = kind(name, value, left_out)
            part.modules = modules
            return part.fill(record, stored_kind, transaction)
    raise _unfit(name, value, record, stored_kind)


def refused(
    file: str, name: str, part: object, error: Exception
) -> RecordMismatchError:
    """Return the error for a part whose own ``load_state_dict`` raised ``error``."""
    return RecordMismatchError(
        file,
        [f"{name}: the {type(part).__name__} refused its state: {error!s:.300}"],
        "Nothing was changed. Build it as it was when the checkpoint was saved, "
        "or restore only the other parts.",
    )


def warn_of_unsaved(name: str, paths: Sequence[str]) -> None:
    """Warn of tensors of a part that a load does not change, if there are any."""
    if paths:
        count = quantity(len(paths), "tensor")
        warn_user(
            f"{name}: the checkpoint was saved without {count} of it "
            f"({paths[0]}{', ...' * (len(paths) > 1)}), by only= or exclude=, "
            "so these values are unchanged. Load them before you continue training",
            RuntimeWarning,
        )


def other_flags(module: nn.Module, record: FlatRecord) -> dict[str, bool]:
    """Return, by path, parameters that were stored frozen and are not, or vice versa.

    For a module that was filled from ``record``, and so has its IDs.
    """
    was_trained = {e.id: e.requires_grad for e in record.entries() if e.id is not None}
    return {
        param.path: was_trained[param.id]
        for param in named_params(module)
        if was_trained.get(param.id, param.tensor.requires_grad)
        is not param.tensor.requires_grad
    }


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


def _unfit(
    name: str, value: object, record: FlatRecord, stored_kind: str
) -> RecordMismatchError:
    contents = {
        MODULE: "the record of a module",
        RECORD: _record_text(record),
        STATE: "a state dict",
    }
    content = contents.get(stored_kind, f"the unknown kind {stored_kind!r}")
    # An AdamW may be Burnish's or torch's.
    cls_name = with_article(f"{type(value).__module__}.{type(value).__qualname__}")
    problem = f"{name}: found {content}, which does not fit {cls_name}"
    return RecordMismatchError(record.reading.file, [problem], ANOTHER_OBJECT)


def _record_text(record: FlatRecord) -> str:
    """Describe a record; for that of an optimizer, by what restores it."""
    if record.type_name == OptimizerRecord.__name__:
        kind = record.get("kind", "...")
        return f"the state of an optimizer of Burnish, {kind}().bind(...)"
    return with_article(record.type_name)
