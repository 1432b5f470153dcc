"""The edits made during a run: one line for each, in a file in the run's folder."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..path import parts, path_of
from ..storage.opening import read_file
from ..storage.replacement import write_all, write_file
from ..validation.overrides import split_override
from ..versioned import current_path, path_since, versions_in
from .changes import Change, has_place

HISTORY = "edits.jsonl"
"""The file's name, at the top of the run's folder and in each of its checkpoints."""

_MOST_BYTES = 1 << 30
"""Maximal size of a history that is read, in bytes; no person makes more edits."""

Verdict = Literal["begun", "applied", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An event in the history of a run's config."""

    id: int
    """Starts at 1, and is unique within a run."""

    verdict: Verdict
    """The outcome; ``begun`` where a run started or resumed."""

    step: int
    """The number of the state at which it happened."""

    time: str
    """The time, as ISO 8601 in UTC."""

    by: str = ""
    """The source of the change: the name of the file, or the command."""

    changes: tuple[Change, ...] = ()
    """The changed values; none for a refused edit."""

    problem: str = ""
    """The reason for a refusal."""

    overrides: tuple[str, ...] = ()
    """The overrides that a run was started with."""

    versions: Mapping[str, int] = field(default_factory=dict[str, int])
    """The versions of the config's classes, by name, where a run started or resumed.

    The edits after it use the names of these versions. Empty if they are unknown.
    """

    drops: tuple[int, ...] = ()
    """Numbers of edits ahead of the resumed state, which this edit replaces."""

    def __str__(self) -> str:
        content = "; ".join(map(str, self.changes)) or self.problem
        content = content or ", ".join(self.overrides) or "as configured"
        return f"step {self.step}, {self.time}, {self.verdict} ({self.by}): {content}"


@dataclass(slots=True)
class EditHistory:
    """The edits of one run, in the order in which they happened."""

    file: Path | None
    """The file that holds them; None if they are only in memory."""

    edits: list[Edit] = field(default_factory=list[Edit])
    """The edits up to the current state."""

    last_id: int = 0
    """The highest number of all edits in the file, those ahead included."""

    unwritten: list[Edit] = field(default_factory=list[Edit])
    """Edits that could not be written to the file, for instance on a full disk."""

    def add(self, verdict: Verdict, step: int, **facts: Any) -> Edit:
        """Record an edit made now. OSError if it was recorded but cannot be written."""
        self.last_id += 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        edit = Edit(id=self.last_id, verdict=verdict, step=step, time=now, **facts)
        self.edits.append(edit)
        if self.file is not None:
            self.unwritten.append(edit)
            append_lines(self.file, map(_line, self.unwritten))
            self.unwritten.clear()
        return edit


def write_history(file: Path, edits: Sequence[Edit]) -> None:
    """Write ``edits`` to a separate file."""
    write_file(file, b"".join(map(_line, edits)))


def read_history(file: Path) -> list[Edit]:
    """Return the edits in ``file``, none if the file does not exist.

    OSError if it cannot be read or is not a file, since a run that continued without
    its edits would lose them.
    """
    try:
        return edits_in(read_file(file, _MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return []


def edits_in(data: bytes | bytearray) -> list[Edit]:
    """Return the edits in the bytes of a history.

    A line that is incomplete after a kill, or damaged by hand, is skipped.
    """
    text = data.decode(errors="replace")
    # `splitlines` also splits at U+2028, which a value may contain.
    lines = text.split("\n")
    return [edit for line in lines if (edit := edit_of_line(line)) is not None]


def edits_ahead(edits: Iterable[Edit], past: Iterable[Edit]) -> list[Edit]:
    """Return the edits applied after the state of ``past`` that are still in force.

    A run resumed from a checkpoint applies them again at the same steps. An edit may
    replace earlier ones, and a new override replaces single changes.
    """
    all_edits = [*edits]
    ids = {edit.id for edit in past}
    dropped = {number for edit in all_edits for number in edit.drops}
    ahead: list[Edit] = []
    words: set[object] = set()
    for edit in all_edits:
        if edit.verdict == "begun":
            new_overrides = [
                text for text in edit.overrides if _meaning(text) not in words
            ]
            ahead = [_without(map(_path, new_overrides), earlier) for earlier in ahead]
            words = {*map(_meaning, edit.overrides)}
        elif edit.verdict == "applied" and edit.id not in ids | dropped:
            ahead.append(edit)
    return [edit for edit in ahead if edit.changes]


def edits_of_now(cls: type, edits: Iterable[Edit], config: object = None) -> list[Edit]:
    """Return ``edits`` in terms of ``cls``, the current class of the config.

    Each change and each override moves to the path that upgrade rules have given it
    since. If they removed its field, or compute it, its path does not exist in the
    class, and it is refused when it is due. ``config`` helps where the versions at that
    time are unknown.
    """
    versions_now, versions = versions_in(cls), dict[str, int]()
    carried: list[Edit] = []
    for edit in edits:
        if edit.verdict == "begun":
            versions = dict(edit.versions)
        now = partial(_path_of_now, cls, versions, versions_now, config)
        changes = tuple(replace(c, path=now(c.path)) for c in edit.changes)
        overrides = tuple(_override_of_now(text, now) for text in edit.overrides)
        versions_then = versions_now if edit.versions else edit.versions
        carried.append(
            replace(edit, changes=changes, overrides=overrides, versions=versions_then)
        )
    return carried


def _path_of_now(
    cls: type,
    versions: Mapping[str, int],
    versions_now: Mapping[str, int],
    config: object,
    path: str,
) -> str:
    if versions == versions_now:
        return path
    try:
        names = parts(path)
    except ValueError:
        return path  # not a path, which is refused when the edit is due
    if versions:
        new_names = path_since(cls, names, versions)
        if new_names is not None:
            return path if new_names == tuple(names) else path_of(new_names)
        is_class_of_then = versions.keys() <= versions_now.keys()
        if is_class_of_then:
            return path_of([*names[:-1], f"{names[-1]} (of an older version)"])
    if config is None or has_place(config, path):
        return path
    new_names = current_path(cls, names)
    return path if new_names is None else path_of(new_names)


def _override_of_now(text: str, now: Callable[[str], str]) -> str:
    path, sign, value = split_override(text)
    return f"{now(path)}{sign}{value}"


def last_overrides(edits: Iterable[Edit]) -> tuple[str, ...]:
    """Return the overrides that the run was last started with."""
    begun = [edit.overrides for edit in edits if edit.verdict == "begun"]
    return begun[-1] if begun else ()


def standing_overrides(overrides: Iterable[str], past: Iterable[Edit]) -> list[str]:
    """Return ``overrides`` without those that the run had, and that were edited since.

    The same command line restarts a killed run, and must not undo its edits.
    """
    is_edited: dict[_Meaning, bool] = {}
    for edit in past:
        if edit.verdict == "begun":
            words = map(_meaning, edit.overrides)
            is_edited = {word: is_edited.get(word, False) for word in words}
        elif edit.verdict == "applied":
            paths = [_path(change.path) for change in edit.changes]
            for word in is_edited:
                is_edited[word] |= any(_overlap(word[0], path) for path in paths)
    return [text for text in overrides if not is_edited.get(_meaning(text))]


_Meaning = tuple[tuple[str, ...], str]
"""The field of an override, however its path is written, and the text of its value."""


def _meaning(text: str) -> _Meaning:
    return _path(text), split_override(text)[2]


def _without(paths: Iterable[tuple[str, ...]], edit: Edit) -> Edit:
    paths = [*paths]
    changes = [
        change
        for change in edit.changes
        if not any(_overlap(_path(change.path), path) for path in paths)
    ]
    return replace(edit, changes=tuple(changes))


def _path(text: str) -> tuple[str, ...]:
    """Return the names along the path of an override, or of a change."""
    try:
        return parts(split_override(text)[0])
    except ValueError:
        return ()


def _overlap(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """Return whether one of two paths is inside the other."""
    n_common = min(len(a), len(b))
    return n_common > 0 and a[:n_common] == b[:n_common]


def append_lines(file: Path, lines: Iterable[bytes]) -> None:
    """Append whole lines, and flush them to the disk before returning."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
    fd = os.open(file, flags, 0o666)
    try:
        size = os.fstat(fd).st_size
        # A line that a kill left unfinished must not absorb this one.
        is_cut = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        write_all(fd, (b"\n" if is_cut else b"") + b"".join(lines))
        os.fsync(fd)
    finally:
        os.close(fd)


def edit_line(edit: Edit) -> str:
    """Return an edit as one line of JSON, without a line break."""
    facts = {name: value for name, value in asdict(edit).items() if value}
    return json.dumps(facts, ensure_ascii=False)


def _line(edit: Edit) -> bytes:
    text = edit_line(edit) + "\n"
    # Half of a surrogate pair, possible in file names, is written as an escape of JSON.
    return text.encode(errors="backslashreplace")


def edit_of_line(line: str) -> Edit | None:
    """Return the edit that `edit_line` wrote, None for any other text."""
    try:
        facts: Any = json.loads(line)
        return _checked(facts) if isinstance(facts, Mapping) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _checked(facts: Any) -> Edit:
    """Return the edit in a line. Raises TypeError or ValueError for any other line."""
    texts = {n: facts.get(n, "") for n in ("time", "by", "problem")}
    edit = Edit(
        id=facts["id"],
        verdict=facts["verdict"],
        step=facts.get("step", 0),
        changes=tuple(Change(**change) for change in facts.get("changes", ())),
        overrides=tuple(facts.get("overrides", ())),
        drops=tuple(facts.get("drops", ())),
        versions=dict(facts.get("versions", {})),
        **texts,
    )
    numbers = (edit.id, edit.step, *edit.drops, *edit.versions.values())
    change_texts = [text for c in edit.changes for text in asdict(c).values()]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("no number of an edit")
    if not all(
        isinstance(t, str) for t in (*texts.values(), *edit.overrides, *change_texts)
    ):
        raise ValueError("no text of an edit")
    if edit.verdict not in ("begun", "applied", "refused"):
        raise ValueError("no verdict of an edit")
    return edit
