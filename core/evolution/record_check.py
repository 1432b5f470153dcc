"""Whether records written by an older version of a module still load."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from ...config.rewriting.rewrite_rule import RewriteRule
from ...config.schema.change import Severity
from ...config.short_text import first_names
from ...records.entries.entries import Entries, library_part, with_parts
from ...records.errors import RecordError, RecordMismatchError
from ...records.io.progress import Progress
from ...records.open import open_record
from ...records.record_writer import writer_of_suffix
from ...records.tensors.dtypes import NAME_OF
from ..errors import HyperparameterError
from ..hyperparameters.reader import planned
from ..hyperparameters.record_metadata import recorded_hparams, stored_hparams
from ..modules.classes import declared_class
from ..modules.tree import Places, places_of, unwrapped
from ..modules.versions import recorded_versions, version_of
from .argument_changes import compare_arguments
from .record_changes import RecordChange, compare_forms
from .record_schema import (
    RecordSchema,
    Target,
    TensorForm,
    build_blank,
    load_schema,
    names_of_tensors,
    schema_of,
)
from .upgrading import upgrade_record


class RecordChecker:
    """The differences between stored records and a module, and the rules they need.

    The upgrade rules of the module's classes are applied first, so that only
    differences that they do not handle are listed.
    """

    def __init__(
        self,
        saved: RecordSchema,
        target: Target,
        hparams: Mapping[str, object] | None = None,
    ) -> None:
        self.old, self.new = saved, saved
        self.changes: list[RecordChange] = []
        cls = target if isinstance(target, type) else None
        try:
            module = build_blank(target, hparams)
        except HyperparameterError:
            # The class cannot be built without new arguments, and that is the result.
            self._compare_arguments(cls)
            if cls is None or not self.changes:
                raise
            self.new = replace(saved, version=version_of(cls))
            return
        self.new = schema_of(module)
        carried = upgrade_record(saved.as_record(), places_of(module))
        self.changes = compare_forms(_forms(carried), self.new.tensors)
        self._compare_arguments(declared_class(type(unwrapped(module))))

    def _compare_arguments(self, cls: type[nn.Module] | None) -> None:
        if cls is None:
            return
        known_rules = [repr(change.rule) for change in self.changes]
        old_schema = self.old
        changes = compare_arguments(
            old_schema.arguments, old_schema.version, cls, old_schema.tensors
        )
        self.changes += [
            c for c in changes if c.rule is None or repr(c.rule) not in known_rules
        ]

    @property
    def proposed_rules(self) -> list[RewriteRule]:
        """The rules with which older records load, in the order to apply them."""
        return [change.rule for change in self.changes if change.rule is not None]

    @property
    def compatible(self) -> bool:
        """Whether records of the stored form load into the present module."""
        worst = max((c.severity for c in self.changes), default=Severity.INFO)
        return worst == Severity.INFO

    def report(self) -> str:
        """Return the findings, and what to do about them, line by line."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from map(str, self.changes)
        if self.compatible:
            yield "Records compatible"
            return
        stale = self.old.version == self.new.version
        if stale:
            yield "warn  record changed but version identical"
        yield "Records incompatible"
        yield from self._cures(self.old.version if stale else self.new.version - 1)

    def _cures(self, step: int) -> Iterator[str]:
        yield ""
        yield "Proposed mitigations"
        if self.proposed_rules:
            yield "- add upgrade rules:"
            yield f"    {max(step, 0)}: ["
            yield from (f"        {rule!r}," for rule in self.proposed_rules)
            yield "    ],"
        if self.old.version == self.new.version:
            yield f"- bump version to {self.new.version + 1}"
        open_changes = [c for c in self.changes if c.severity is Severity.ERROR]
        if open_changes:
            yield "- decide by hand:"
            yield from (f"    {change.path}: {change.said}" for change in open_changes)


def assert_records_load(
    file: str | os.PathLike[str],
    target: Target,
    hparams: Mapping[str, object] | None = None,
) -> None:
    """Raise AssertionError with a report if old records would no longer load.

    ``file`` was written by ``burnish schema dump``; call this from one of your tests.
    """
    checker = RecordChecker(load_schema(file), target, hparams)
    if not checker.compatible:
        raise AssertionError(f"{os.fspath(file)}\n{checker.report()}")


def upgrade_file(
    file: str | os.PathLike[str],
    target: Target | None = None,
    output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> bool:
    """Rewrite a record at the newest version of its classes; return if it was older.

    Tensors are streamed from the old file to the new one, which replaces it at the end.
    Without ``target`` the hyperparameters in the file determine what to build. Raises
    `RecordError` for a record that cannot be upgraded; the file is unchanged then.
    """
    name = os.fspath(file)
    with open_record(name) as record:
        module = _module_of(record, target)
        places = places_of(module)
        newer = upgrade_record(record, places)
        _check_is_of(newer, places)
        ours = dict(library_part(record.metadata))
        versions = {
            key: value
            for key, value in recorded_versions(places).items()
            if key in _OF_CLASSES
        }
        is_older = any(
            (ours.get(key) or None) != versions.get(key) for key in _OF_CLASSES
        )
        if not is_older and output is None:
            return False
        if output is None:
            _check_stands_alone(name)
        ours |= versions | _hparams(ours, module)
        upgraded_record = with_parts(
            newer, metadata={**record.metadata, "burnish": ours}
        )
        writer = writer_of_suffix(os.fspath(output or name))
        writer.save(upgraded_record, os.fspath(output or name), progress=progress)
    return is_older


def _check_stands_alone(file: str) -> None:
    """Raise `RecordError` for a part of a checkpoint, whose manifest has its digest."""
    folder = os.path.dirname(file)
    for marker in ("checkpoint.json", "state.ron"):
        if os.path.exists(os.path.join(folder, marker)):
            raise RecordError(
                f"{file} is part of a checkpoint, and {marker} beside it has its "
                "digest: a restore would refuse a file that was rewritten. A restore "
                "applies the upgrade rules by itself, so this file can stay as it is. "
                "To write a newer copy: burnish convert OLD NEW --upgrade net.py:Net"
            )


_OF_CLASSES = ("version", "versions")
"""Metadata changed by an upgrade; torch's own versions belong to the file's values."""


def _check_is_of(record: Entries, places: Places) -> None:
    """Raise RecordMismatchError for a record without any tensor of the module.

    It belongs to another class, so that it cannot be at the module's newest version.
    """
    paths = [entry.path for entry in record.entries()]
    names = names_of_tensors(places)
    # Wrappers add prefixes to paths, which a load removes.
    rests = (
        path.split(".", i)[-1] for path in paths for i in range(path.count(".") + 1)
    )
    if paths and names and names.isdisjoint(rests):
        problem = (
            f"none of its tensors, {first_names(paths, 3)}, is in "
            f"{type(unwrapped(places[0][1])).__qualname__}, which has "
            f"{first_names(sorted(names), 3)}. Pass the class that wrote the "
            "record, or give this class an upgrade rule"
        )
        raise RecordMismatchError(record.reading.file, [problem])


def _module_of(record: Entries, target: Target | None) -> Any:
    hparams = stored_hparams(record)
    if target is not None:
        return build_blank(target, hparams if isinstance(target, type) else None)
    if hparams is None:
        raise ValueError(
            f"{record.reading.file} has no hyperparameters, so its class is needed: "
            "upgrade_file(file, Net), or burnish upgrade --module net.py:Net FILE"
        )
    return build_blank(planned(hparams))


def _hparams(ours: Mapping[str, Any], module: Any) -> dict[str, Any]:
    """Return the hyperparameters at the newest version, if there were any."""
    if "hparams" not in ours:
        return {}
    hparams = recorded_hparams(module)
    return {} if hparams is None else {"hparams": hparams}


def _forms(record: Entries) -> dict[str, TensorForm]:
    return {
        entry.path: TensorForm(
            kind=entry.kind,
            dtype=NAME_OF[entry.dtype],
            shape=tuple(entry.shape),
            ties=tuple(entry.ties),
        )
        for entry in record.entries()
        if entry.kind != "transient"
    }
