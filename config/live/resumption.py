"""Resuming a run whose config is composed each time, from files and overrides.

A checkpoint of such a run has its history and no config: the values in force follow
from the overrides it was started with and from the edits made since.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import ConfigError
from ..path import parts
from ..validation.overrides import split_override
from .changes import Change, apply_changes, marked_values, values_within
from .history import Edit, edits_ahead, edits_of_now, last_overrides

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption(Generic[C]):
    """The config at the state from which a run is resumed."""

    config: C
    """In force at that state."""

    overrides: tuple[str, ...]
    """The values of all marked fields when the run was started."""

    final: C
    """In force once all edits ahead have been applied again."""

    new_paths: tuple[str, ...]
    """Marked fields whose values differ from those when the checkpoint was written."""


def resume_config(
    config: C, past: Sequence[Edit], edits: Sequence[Edit]
) -> Resumption[C]:
    """Return the values in force, where ``config`` was composed just now.

    ``past`` are the edits up to the checkpoint, ``edits`` all edits in the run's
    folder. An edited field keeps its last value unless ``config`` has a different value
    for it from the one the run was last started with.
    """
    past, edits = (edits_of_now(type(config), e, config) for e in (past, edits))
    values = marked_values(config)
    overrides = _texts(values)
    if values == values_left_behind(edits):
        # Composed from the run's own config, which includes the edits.
        overrides = last_overrides(edits)
        config = _with_values(config, _values(overrides))
    begun = Edit(id=0, verdict="begun", step=0, time="", overrides=overrides)
    in_force = _after(config, edits_ahead([*past, begun], ()))
    before = values_left_behind(past)
    now = marked_values(in_force)
    return Resumption(
        config=in_force,
        overrides=overrides,
        final=_after(in_force, edits_ahead([*edits, begun], past)),
        new_paths=tuple(p for p in now if before and before.get(p) != now[p]),
    )


def values_left_behind(edits: Sequence[Edit]) -> dict[str, str]:
    """Return the marked fields' values, as RON, after the last of ``edits``."""
    values = _values(last_overrides(edits))
    for edit in edits_ahead(edits, ()):
        for change in edit.changes:
            _replace(values, change)
    return values


def edited_values(config: object, left_behind: Mapping[str, str]) -> list[Change]:
    """Return the differences of ``config`` from the run's config when it ended."""
    return [
        Change(path=path, before=left_behind.get(path, ""), after=value)
        for path, value in marked_values(config).items()
        if left_behind.get(path) != value
    ]


def with_changes(config: C, changes: Iterable[Change]) -> C:
    """Return ``config`` after the changes among ``changes`` that fit."""
    for change in changes:
        with suppress(ConfigError):
            config = apply_changes(config, [change])
    return config


def _after(config: C, edits: Iterable[Edit]) -> C:
    for edit in edits:
        with suppress(ConfigError):
            config = apply_changes(config, edit.changes)
    return config


def _with_values(config: C, values: Mapping[str, str]) -> C:
    return with_changes(
        config, [Change(path=p, before="", after=v) for p, v in values.items()]
    )


def _texts(values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{path}={value}" for path, value in values.items())


def _values(overrides: Iterable[str]) -> dict[str, str]:
    pairs = map(split_override, overrides)
    return {path: value for path, sign, value in pairs if sign}


def _replace(values: dict[str, str], change: Change) -> None:
    """Put the value of ``change`` into the marked field that contains its path."""
    changed = parts(change.path)
    for path in [*values]:
        if parts(path)[: len(changed)] == changed:
            del values[path]
    values.update(values_within(change.path, change.after))
