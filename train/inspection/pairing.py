"""Matching the tensors of two records: by name, ID, values or prefix."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...records.entries.entry import Entry
from ...records.inspection.comparison import content_sum
from ...records.inspection.read_ahead import read_ahead

Sum = Callable[[Entry], bytes]


@dataclass(slots=True)
class Pairing:
    """Matched entries, and those without a counterpart."""

    paired_a: list[Entry] = field(default_factory=list[Entry])
    """By name first, then the renamed ones."""
    paired_b: list[Entry] = field(default_factory=list[Entry])
    """The counterpart of each: 200,000 tuples would take 12 MiB."""
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    """Path in the first to path in the second."""
    tied_a: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    """Names of one tensor in the first one, and of several in the second."""
    tied_b: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    only_a: list[Entry] = field(default_factory=list[Entry])
    only_b: list[Entry] = field(default_factory=list[Entry])

    @property
    def pairs(self) -> Iterator[tuple[Entry, Entry]]:
        """Yield the pairs."""
        return zip(self.paired_a, self.paired_b, strict=True)

    def add_pair(self, a: Entry, b: Entry) -> None:
        """Add two entries that belong together."""
        self.paired_a.append(a)
        self.paired_b.append(b)

    @property
    def is_identity(self) -> bool:
        """Whether both have the same names, tied alike."""
        names = self.renamed or self.only_a or self.only_b
        return not (names or self.tied_a or self.tied_b)


def pair_entries(
    a: Sequence[Entry],
    b: Sequence[Entry],
    sum_of: Sum = lambda entry: content_sum(entry.blocks()),
) -> Pairing:
    """Return which entries belong together.

    A tensor with several names belongs to each that has one of these. Entries without
    an equal name are matched by their ID, then by equal values, then by the change of
    names that these matches show, or that all other names share (``model.`` before
    each). Values are read, by ``sum_of``, only where shapes and dtypes leave a choice.
    """
    result = Pairing()
    rest_a, rest_b = _pair_by_name(a, b, result)
    for find in (_by_id, _by_values(sum_of), _by_prefix(result.renamed)):
        matches = [*find(rest_a, rest_b)] if rest_a and rest_b else []
        for x, y in matches:
            result.add_pair(x, y)
        result.renamed.update((x.path, y.path) for x, y in matches)
        ids_of_pairs = {id(entry) for pair in matches for entry in pair}
        rest_a = [entry for entry in rest_a if id(entry) not in ids_of_pairs]
        rest_b = [entry for entry in rest_b if id(entry) not in ids_of_pairs]
    result.only_a, result.only_b = rest_a, rest_b
    return result


def _pair_by_name(
    a: Sequence[Entry], b: Sequence[Entry], result: Pairing
) -> tuple[list[Entry], list[Entry]]:
    """Add the entries with equal names to ``result``, and return the others."""
    # Paired entries are removed, except those with several names, which others may
    # have.
    by_path = {path: entry for entry in b for path in (entry.path, *entry.ties)}
    rest_a: list[Entry] = []
    names_of_tied: dict[int, list[str]] = defaultdict(list)
    for entry in a:
        namesakes: dict[int, tuple[str, Entry]] = {}
        for path in (entry.path, *entry.ties):
            namesake = by_path.get(path)
            if namesake is None:
                continue
            if not namesake.ties:
                del by_path[path]
            elif id(namesake) not in namesakes:
                names_of_tied[id(namesake)].append(path)
            namesakes.setdefault(id(namesake), (path, namesake))
        if not namesakes:
            rest_a.append(entry)
        for _, namesake in namesakes.values():
            result.add_pair(entry, namesake)
            if namesake.path == entry.path:
                # One string for both: of 200,000 entries the others take 12 MiB.
                namesake.path = entry.path
        if len(namesakes) > 1:
            result.tied_a.append(tuple(path for path, _ in namesakes.values()))
    result.tied_b += [tuple(names) for names in names_of_tied.values() if names[1:]]
    return rest_a, [e for e in b if e.path in by_path and id(e) not in names_of_tied]


def shared_path(a: Entry, b: Entry) -> str:
    """Return the first name of ``a`` that ``b`` has too; its path if there is none."""
    if a.path == b.path or not (a.ties or b.ties):
        return a.path
    names = {b.path, *b.ties}
    return next((path for path in (a.path, *a.ties) if path in names), a.path)


_Finder = Callable[[Sequence[Entry], Sequence[Entry]], Iterable[tuple[Entry, Entry]]]


def _by_id(
    entries_a: Sequence[Entry], entries_b: Sequence[Entry]
) -> Iterator[tuple[Entry, Entry]]:
    def key(entry: Entry) -> object:
        # In an optimizer's state several tensors have the ID of one parameter.
        field = entry.path.rpartition(".")[2] if entry.kind == "tensor" else ""
        return (entry.id, field) if entry.id is not None else None

    yield from _unique(entries_a, entries_b, key)


def _by_values(sum_of: Sum) -> _Finder:
    def find(
        entries_a: Sequence[Entry], entries_b: Sequence[Entry]
    ) -> Iterator[tuple[Entry, Entry]]:
        forms = {_form(e) for e in entries_a} & {_form(e) for e in entries_b}
        rows = ((e,) for e in (*entries_a, *entries_b) if _form(e) in forms)
        sums: dict[int, object] = {
            id(e): (_form(e), sum_of(e)) for (e,) in read_ahead(rows)
        }
        yield from _unique(entries_a, entries_b, lambda entry: sums.get(id(entry)))

    return find


def _form(entry: Entry) -> object:
    return entry.dtype, entry.shape


def _unique(
    entries_a: Sequence[Entry],
    entries_b: Sequence[Entry],
    key: Callable[[Entry], object],
) -> Iterator[tuple[Entry, Entry]]:
    """Yield pairs with equal keys; several with one key in order, if equally many."""
    groups: dict[object, tuple[list[Entry], list[Entry]]] = defaultdict(
        lambda: ([], [])
    )
    for side, entries in enumerate((entries_a, entries_b)):
        for entry in entries:
            if (value := key(entry)) is not None:
                groups[value][side].append(entry)
    for group_a, group_b in groups.values():
        if len(group_a) == len(group_b):
            yield from zip(group_a, group_b, strict=True)


def _by_prefix(renamed: Mapping[str, str]) -> _Finder:
    def find(
        entries_a: Sequence[Entry], entries_b: Sequence[Entry]
    ) -> Iterator[tuple[Entry, Entry]]:
        by_path = {entry.path: entry for entry in entries_b}
        changes = Counter(map(_change_of, renamed.items()))
        changes.update(_changes_of_beginnings(entries_a, by_path))
        unpaired = {id(entry): entry for entry in entries_a}
        for (start_a, start_b), _ in changes.most_common(8):
            for entry in [e for e in unpaired.values() if e.path.startswith(start_a)]:
                twin = by_path.get(start_b + entry.path.removeprefix(start_a))
                if twin is not None and twin.shape == entry.shape:
                    del by_path[twin.path]
                    del unpaired[id(entry)]
                    yield entry, twin

    return find


def _change_of(names: tuple[str, str]) -> tuple[str, str]:
    """Return the prefixes in which two names differ, in whole components."""
    parts_a, parts_b = (name.split(".") for name in names)
    while parts_a and parts_b and parts_a[-1] == parts_b[-1]:
        parts_a, parts_b = parts_a[:-1], parts_b[:-1]
    return "".join(f"{p}." for p in parts_a), "".join(f"{p}." for p in parts_b)


def _changes_of_beginnings(
    entries_a: Sequence[Entry], other_paths: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield the prefix of a name that ends with a whole name of the other side."""
    paths_a = {entry.path for entry in entries_a}
    paths_b = set(other_paths)
    for names, twins, is_swapped in (
        (paths_b, paths_a, False),
        (paths_a, paths_b, True),
    ):
        for name in names:
            parts = name.split(".")
            for i in range(1, len(parts)):
                if ".".join(parts[i:]) in twins:
                    beginning = "".join(f"{p}." for p in parts[:i])
                    yield (beginning, "") if is_swapped else ("", beginning)
                    break
