"""How a run goes on that puts its config together anew each time, from files and words.

A checkpoint of such a run has its history and no config: what is in force follows from
the words that it began with, and from what was edited since.
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
    """What holds at the state that a run goes on from."""

    config: C
    """In force there."""

    overrides: tuple[str, ...]
    """The values of all marked fields, as the run was begun with."""

    final: C
    """In force when all edits that lie ahead were met again."""

    new_paths: tuple[str, ...]
    """Marked fields whose values are others than when the checkpoint was written."""


def resume_config(
    config: C, past: Sequence[Edit], edits: Sequence[Edit]
) -> Resumption[C]:
    """Return what is in force, where ``config`` is what was put together now.

    ``past`` are the edits up to the checkpoint, ``edits`` all of the run's folder. A
    field that was edited keeps its last value unless ``config`` says something else
    than when the run began before.
    """
    past, edits = (edits_of_now(type(config), e, config) for e in (past, edits))
    values = marked_values(config)
    overrides = _texts(values)
    if values == values_left_behind(edits):
        # Put together from the run's own config, which says what was edited.
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
    """Return what marked fields had, as RON, when the last of ``edits`` was made."""
    values = _values(last_overrides(edits))
    for edit in edits_ahead(edits, ()):
        for change in edit.changes:
            _replace(values, change)
    return values


def edited_values(config: object, left_behind: Mapping[str, str]) -> list[Change]:
    """Return what ``config`` says otherwise than the run when it ended."""
    return [
        Change(path=path, before=left_behind.get(path, ""), after=value)
        for path, value in marked_values(config).items()
        if left_behind.get(path) != value
    ]


def with_changes(config: C, changes: Iterable[Change]) -> C:
    """Return ``config`` after those of ``changes`` that fit."""
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
    """Put the value of ``change`` where it, or what is inside of it, has its place."""
    changed = parts(change.path)
    for path in [*values]:
        if parts(path)[: len(changed)] == changed:
            del values[path]
    values.update(values_within(change.path, change.after))
