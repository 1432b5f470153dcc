"""One stored record as users and programs see it: names, facts, entries."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...config.patterns import Pattern, is_pattern, matchers
from ...config.spelling import did_you_mean
from ...optim.stored.by_param_name import state_by_param_name
from ...optim.stored.record_types import GroupState, OptimizerRecord
from ...records.entries.entries import library_part
from ...records.entries.entry import Entry
from ...records.entries.select import data_entry, selected
from ...records.flat_record import FlatRecord
from ...records.inspection.tree import Leaf, leaves_of
from ...records.record_view import names_on_path, plain_leaves
from ...records.tensors.dtypes import name_of_dtype
from ..checkpoints.class_checks import STATE_OF
from ..checkpoints.param_names import KEY as PARAM_NAMES
from ..checkpoints.param_names import STATE_KEY
from ..hyperstate.saved_with import KEY as SAVED_WITH
from ..plain_records import PlainData
from .named_records import StoredPart, StoredParts
from .torch_optimizers import StatesByName, states_by_name


@dataclass(frozen=True, slots=True, kw_only=True)
class PartView:
    """The view of one record; an optimizer's state is under parameters' names."""

    part: StoredPart
    entries: list[Entry]
    plain: list[tuple[str, object]]
    """Plain data beside the entries, by path."""
    groups: list[GroupState]
    """Of an optimizer; else empty."""
    params: list[list[str]]
    """The names of the parameters in each of its groups."""

    @property
    def record(self) -> FlatRecord:
        """The record itself."""
        return self.part.record

    @property
    def library(self) -> Mapping[str, Any]:
        """The metadata of the library that wrote it."""
        return library_part(self.record.metadata)

    @property
    def hparams(self) -> Mapping[str, Any] | None:
        """The hyperparameters of the class, where they are stored."""
        hparams: Mapping[str, Any] | None = self.library.get("hparams")
        return hparams

    @property
    def users_metadata(self) -> dict[str, Any]:
        """The other metadata, without what is shown elsewhere."""
        metadata = self.record.metadata
        of_groups = ["optimizer", PARAM_NAMES] if self.groups else []
        # In a HyperState's objects it describes how each is restored, for internal use.
        is_of_state = {STATE_KEY, SAVED_WITH} <= metadata.keys()
        of_state = [STATE_KEY, SAVED_WITH] if is_of_state else []
        skipped = {"burnish", STATE_OF, *of_groups, *of_state}
        return {k: v for k, v in metadata.items() if k not in skipped}

    @property
    def n_params(self) -> list[int]:
        """The number of parameters of each of its groups."""
        return [*map(len, self.params)]

    @property
    def has_sums(self) -> bool:
        """Whether each entry has a checksum."""
        return self.record.verified != "none"

    def leaves(self) -> Iterator[Leaf]:
        """Yield everything that has a name."""
        return leaves_of(self.entries, self.plain)

    def names_of(self, path: str) -> list[str]:
        """Return the names of the value at ``path``, the last with its part's name."""
        name = self.part.name
        if not name:
            return [path]
        # A user who saves `stop={"best": 0.9}` knows it as `stop.best`; the record of
        # such a part has one field, in which all of it is stored.
        is_plain_data = self.record.type_name == PlainData.__name__
        if is_plain_data:
            return [path, f"{name}.{path}", name + path.removeprefix("value")]
        return [path, f"{name}.{path}"]

    def split(self) -> Callable[[str], list[str]]:
        """Return the function that splits a path of the record."""
        is_ours = self.record.type_name == OptimizerRecord.__name__
        is_escaped = self.record.is_typed and not is_ours
        return names_on_path if is_escaped else lambda path: path.split(".")

    def nbytes_by_dtype(self) -> Counter[str]:
        """Return the number of bytes of the entries, by dtype."""
        sizes: Counter[str] = Counter()
        for entry in self.entries:
            sizes[name_of_dtype(entry.dtype)] += entry.nbytes
        return sizes

    def chosen(self, patterns: Sequence[str]) -> "PartView":
        """Return the view reduced to what the patterns match, or what is below that.

        ValueError, with the nearest name, where one matches nothing.
        """
        if not patterns:
            return self
        paths = [leaf.path for leaf in self.leaves()]
        for pattern in patterns:
            self.check_matches(pattern, paths)
        every = [p for pattern in patterns for p in _patterns_of(pattern, paths)]
        return PartView(
            part=self.part,
            entries=[e for e in self.entries if selected(e, every, None)],
            plain=[
                (path, value)
                for path, value in self.plain
                if selected(data_entry(path), every, None)
            ],
            groups=self.groups,
            params=self.params,
        )

    @staticmethod
    def check_matches(pattern: str, paths: Sequence[str]) -> None:
        """Raise ValueError unless ``pattern`` matches a path, or a prefix of one."""
        if _is_name(pattern, paths):
            return
        tests = [*matchers(pattern), *matchers(f"{pattern}.**")]
        if not any(test(path, None) for test in tests for path in paths):
            raise ValueError(
                f"the pattern {pattern!r} matches nothing.{_hint(pattern, paths)}"
            )


def part_views(source: StoredParts) -> Iterator[PartView]:
    """Yield the view of each record. Raises `RecordError` for a damaged optimizer's."""
    for part in source.parts:
        records_beside = (p.record for p in source.parts if p is not part)
        yield part_view(part, (r.entries() for r in records_beside if not r.is_typed))


def part_view(part: StoredPart, modules: Iterable[list[Entry]] = ()) -> PartView:
    """Return the view of a record, beside those of ``modules``."""
    state = state_by_param_name(part.record)
    if state is not None:
        return PartView(
            part=part,
            entries=state.entries,
            plain=state.numbers,
            groups=state.groups,
            params=state.params,
        )
    leaves = [*plain_leaves(part.record)]
    content = states_by_name(part.record, leaves, modules)
    if content is None:
        content = StatesByName(part.record.entries(), leaves)
    return PartView(
        part=part,
        entries=content.entries,
        plain=content.plain,
        groups=content.groups,
        params=content.params,
    )


def _lies_at(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}.")


def _patterns_of(pattern: str, paths: Sequence[str]) -> list[Pattern]:
    """Return the patterns for a name, and for everything below it."""
    if _is_name(pattern, paths):
        return [lambda entry: _lies_at(entry.path, pattern)]
    return [pattern, f"{pattern}.**"]


def _is_name(pattern: str, paths: Sequence[str]) -> bool:
    """Return whether ``pattern`` is literally a stored name."""
    return is_pattern(pattern) and any(_lies_at(path, pattern) for path in paths)


def _hint(pattern: str, paths: Sequence[str]) -> str:
    names = {
        path[:end]
        for path in paths
        for end in (*(i for i, c in enumerate(path) if c == "."), len(path))
    }
    hint = did_you_mean(pattern, names)
    longer = [name for name in names if name.endswith(f".{pattern}")]
    return hint if hint or not longer else f" Did you mean {min(longer)!r}?"
