# pyright: reportPrivateUsage=false
# Functions of this file read what records consist of, which is private to others.
"""Entries: the tensors of one record by path, and the plain data beside them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, TypeVar

import torch

from ...config.patterns import Patterns
from ...config.plain.node import Node
from ...config.short_text import with_article
from ..io.lazy_payload import announce
from ..io.progress import Progress, Tally
from ..io.source import Maps, is_remote
from ..tensors.arrays import array_of_tensor
from ..tensors.memory_order import laid_out, stored_orders
from .entry import Entry
from .nodes import entry_numbers, renumbered
from .select import check_selection, chosen_alone, selected, wrappers_around
from .wrapper_forms import CLASS

if TYPE_CHECKING:
    from torch import Tensor

    from ..io.source import Source

E = TypeVar("E", bound="Entries")

VerifiedBy: TypeAlias = Literal["live", "all", "touched", "none"]
"""Not stored; every byte was checked; each entry is when it is touched; no sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a record was opened, for those who load it into something."""

    file: str = "record"
    """The file's name, for messages."""
    format: str = ""
    """What the format of its content is called; empty if it was never stored."""
    version: int | None = None
    """The number of the format's version; None where a file says none of ours."""
    beside: tuple[str, ...] = ()
    """What else stands in the file and is not part of the record."""
    dtype: torch.dtype | Literal["stored"] | None = None
    """Of floating parameters; None leaves the choice to the module that is loaded."""
    device: torch.device | None = None
    """Where tensors go; None leaves them in memory or where the module is."""
    only: Patterns | None = None
    """Patterns of the entries that were chosen; None: all."""
    exclude: Patterns | None = None
    """Patterns of the entries that were left out."""
    left_out: frozenset[str] = frozenset()
    """Paths of the entries and the plain data that these patterns left out."""
    hyperparameters: Literal["compare", "ignore"] = "compare"
    """Whether a module that is loaded has to be what the record says it is of."""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path in the file to the path that a rename gave it."""
    progress: Progress | None = None
    """Who is told how far a load of it has come."""
    fingerprint: str = ""
    """What tells its content from others; empty where one process runs, or no file."""


class EntryTable(Protocol):
    """What a file says of its entries, each made when it is asked for."""

    def at(self, path: str) -> Entry | None:
        """Return the entry that has ``path``; None if none does."""
        ...

    def all(self) -> list[Entry]:
        """Return all of them; always one list."""
        ...


@dataclass(slots=True, kw_only=True)
class _Content:
    """What entries consist of; records of several types may share it."""

    entries: list[Entry] | EntryTable
    tree: Node
    metadata: dict[str, Any]
    type_name: str
    typed: bool
    is_part: bool = False
    """Whether this is what was chosen of a record with declared fields."""
    verified: VerifiedBy = "live"
    reading: Reading = field(default_factory=Reading)
    class_versions: Mapping[str, int] | None = None
    """Where the metadata says something else, or nothing."""
    source: "Source | None" = None
    check: "Callable[[Maps], None] | None" = None
    check_before_rewriting: Callable[[], None] | None = None


class Entries:
    """The entries of one record, the plain data beside them, and how they were read.

    All that is between a module or a declared record and a file works on this; what
    users get to see of it is a `FlatRecord`.
    """

    @classmethod
    def of(
        cls,
        entries: list[Entry] | EntryTable,
        *,
        tree: Node = None,
        metadata: dict[str, Any] | None = None,
        type_name: str = "",
        typed: bool = False,
        class_versions: Mapping[str, int] | None = None,
    ) -> Self:
        """Return a record over ``entries``; if ``typed``, ``tree`` is all of it."""
        content = _Content(
            entries=entries,
            tree=tree,
            metadata=metadata if metadata is not None else {},
            type_name=type_name,
            typed=typed,
            class_versions=class_versions,
        )
        return cls._of(content)

    @classmethod
    def _of(cls, content: _Content) -> Self:
        record = cls.__new__(cls)
        vars(record)["_flat"] = content
        return record

    @property
    def _content(self) -> _Content:
        content: _Content = vars(self)["_flat"]
        return content

    @property
    def metadata(self) -> dict[str, Any]:
        """What a file says of the record: the user's keys, and ours in "burnish"."""
        return self._content.metadata

    def entries(self) -> list[Entry]:
        """Return the entries in the order in which they are stored."""
        entries = self._content.entries
        return entries if isinstance(entries, list) else entries.all()

    def entry_at(self, path: str) -> Entry | None:
        """Return the entry that has ``path``, by a tie of it too; None if none does."""
        entries = self._content.entries
        # A table finds one path without making all its entries, as an index does.
        if isinstance(entries, list) or "_by_path" in self.__dict__:
            return path_index(self).get(path)
        return entries.at(path)

    @property
    def tree(self) -> Node:
        """Plain data beside the entries (``records/entries/nodes.py``)."""
        return self._content.tree

    @property
    def is_typed(self) -> bool:
        """Whether this is a record with declared fields, rather than a module's."""
        return self._content.typed

    @property
    def is_part(self) -> bool:
        """Whether this is what was chosen of a record with declared fields."""
        return self._content.is_part

    @property
    def type_name(self) -> str:
        """What class the record was made from."""
        return self._content.type_name

    @property
    def class_versions(self) -> Mapping[str, int]:
        """What torch says in a state dict of the class of each submodule, by path."""
        if self._content.class_versions is not None:
            return self._content.class_versions
        in_file: Any = library_part(self.metadata).get("class_versions")
        versions: Mapping[str, int] = in_file if isinstance(in_file, Mapping) else {}
        return versions

    @property
    def verified(self) -> VerifiedBy:
        """What was checked: "live" (not from a file), "all", "touched", or "none"."""
        is_live = is_checked(self) and not all(e.is_stored for e in self.entries())
        return "live" if is_live else self._content.verified

    def select(
        self,
        *,
        only: Patterns | None = None,
        exclude: Patterns | None = None,
        absent: Iterable[str] = (),
    ) -> Self:
        """Return the entries that ``only`` matches and ``exclude`` does not.

        ``absent`` are paths of what could be no entry, and may yet be meant.
        """
        if only is None and exclude is None:
            return self
        tree: dict[str, Node] = {} if self.is_typed else (self.tree or {})
        try:
            check_selection(only, exclude, [*path_index(self), *tree, *absent])
        except ValueError as error:
            if not self.is_typed:
                raise
            raise ValueError(
                f"{error} Patterns select only the tensors of "
                f"{with_article(self.type_name)}, whose fields are declared; open it "
                "without them for the rest: a field is read only when it is accessed."
            ) from None
        entries, extra = selection(self.entries(), tree, only, exclude)
        return with_parts(self, entries=entries, tree=extra)

    def map_tensors(self, fn: "Callable[[Tensor], Tensor]") -> Self:
        """Return the same record with ``fn`` applied once to every stored tensor."""
        announce_entries(self, self.entries())
        mapped = [entry.with_tensor(fn(entry.tensor())) for entry in self.entries()]
        return with_parts(self, entries=mapped)

    def clone(self) -> Self:
        """Return a snapshot: the same record in memory of its own, ties kept."""
        announce_entries(self, self.entries())
        copies = [entry.with_tensor(entry.read_own()) for entry in self.entries()]
        return with_parts(self, entries=copies)

    @property
    def reading(self) -> "Reading":
        """How the record was opened."""
        return self._content.reading

    def load_all(self) -> None:
        """Read and verify every entry, and all that lies between them.

        For loads that use all of a file: mapped where possible, so that no byte is
        copied. Raises `RecordChecksumError` or `RecordFormatError`.
        """
        maps, entries = Maps(), self.entries()
        tally = Tally(self.reading.progress, (entry.nbytes for entry in entries))
        announce_entries(self, entries, maps)
        check_gaps(self, maps)
        for entry in entries:
            entry.tensor(maps)
            tally.add(entry.nbytes, entry.path)
        if self.verified == "touched":
            self._content.verified = "all"

    def close(self) -> None:
        """Let go of the file; what was not read yet can no longer be."""
        if self._content.source is not None:
            self._content.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # A file that is open cannot be copied, so its tensors are read for the copy.
        announce_entries(self, self.entries())
        entries = [entry.with_tensor(entry.tensor()) for entry in self.entries()]
        # Nor can whoever watches a load of it.
        reading = replace(self.reading, progress=None)
        return {
            "_flat": replace(
                self._content, entries=entries, source=None, check=None, reading=reading
            )
        }


def path_index(record: Entries) -> dict[str, Entry]:
    """Return each entry under each of its paths, ties included; cached."""
    index: dict[str, Entry] | None = vars(record).get("_by_path")
    if index is None:
        index = {entry.path: entry for entry in record.entries()}
        for entry in record.entries():
            for path in entry.ties:
                index[path] = entry
        # Cached once it is complete: another thread may be reading it.
        vars(record)["_by_path"] = index
    return index


def set_source(
    record: Entries,
    source: "Source",
    check: "Callable[[Maps], None] | None" = None,
    *,
    has_sums: bool = True,
    version: int | None = None,
    beside: Sequence[str] = (),
    check_before_rewriting: Callable[[], None] | None = None,
) -> None:
    """Say where the entries lie; ``check`` raises for damage between payloads.

    ``version`` is that of the format, ``beside`` what else stands in the file.
    ``check_before_rewriting`` raises for damage that no read of an entry finds.
    """
    content = record._content
    if version is not None or beside:
        content.reading = replace(content.reading, version=version, beside=(*beside,))
    content.source, content.check = source, check
    content.check_before_rewriting = check_before_rewriting
    content.verified = "touched" if has_sums and source.verify else "none"


def is_checked(record: Entries) -> bool:
    """Return whether values are checked by the sums of their file when they are read.

    That is told without a look at each entry, as `Entries.verified` takes.
    """
    return record._content.verified in ("touched", "all")


def check_gaps(record: Entries, maps: "Maps") -> None:
    """Raise for damage between the payloads, as the load of ``maps`` reads them."""
    content = record._content
    if content.check is None or content.source is None:
        return
    if content.source.verify:
        content.check(maps)


def check_before_rewriting(record: Entries) -> None:
    """Raise for damage of the file that its entries are read without noticing.

    What is written of damaged values would have their right sums.
    """
    content = record._content
    if content.check_before_rewriting is not None:
        content.check_before_rewriting()


def with_parts(
    record: E,
    *,
    entries: list[Entry] | None = None,
    tree: Node = ...,
    metadata: dict[str, Any] | None = None,
    type_name: str | None = None,
    reading: Reading | None = None,
    class_versions: Mapping[str, int] | None = None,
) -> E:
    """Return the same record, of the same file, with other parts."""
    content = record._content
    is_whole = tree is ... or tree is content.tree
    changed = replace(
        content,
        entries=content.entries if entries is None else entries,
        tree=content.tree if tree is ... else tree,
        metadata=content.metadata if metadata is None else metadata,
        type_name=content.type_name if type_name is None else type_name,
        reading=content.reading if reading is None else reading,
        class_versions=(
            content.class_versions if class_versions is None else class_versions
        ),
        typed=content.typed and is_whole,
        is_part=content.is_part or (content.typed and not is_whole),
    )
    return type(record)._of(changed)


def part_of_file(record: E, part: Entries) -> E:
    """Return ``part``, whose entries are some of the record's, as one of its file."""
    content = record._content
    changed = replace(
        part._content,
        metadata=content.metadata,
        verified=content.verified,
        reading=content.reading,
        source=content.source,
        check=content.check,
        check_before_rewriting=content.check_before_rewriting,
    )
    return type(record)._of(changed)


def paths_in(record: Entries) -> frozenset[str]:
    """Return every path at which a tensor or plain data stands."""
    return frozenset((*path_index(record), *(record.tree or ())))


def announce_entries(
    record: Entries,
    entries: Iterable[Entry],
    maps: Maps | None = None,
    *,
    in_blocks: bool = False,
) -> None:
    """Say which entries of ``record`` will be read now: a remote storage is asked less.

    ``maps`` are those of the load that reads them; with ``in_blocks`` it is by
    `Entry.blocks`.
    """
    if is_remote(record._content.source):
        sources = (entry.source for entry in entries if not entry.is_live)
        announce(sources, maps, in_blocks=in_blocks)


def selection(
    entries: Sequence[Entry],
    tree: Mapping[str, Node],
    only: Patterns | None,
    exclude: Patterns | None,
) -> tuple[list[Entry], dict[str, Node]]:
    """Return the entries, by their chosen names, and the plain data that is chosen."""
    wrappers = wrappers_in(tree)
    narrowed = [chosen_alone(entry, only, exclude, wrappers) for entry in entries]
    chosen = [entry for entry in narrowed if entry is not None]
    # A wrapper is of use with all that it is made of, and is chosen with it.
    chosen_wrappers = _whole_wrappers(wrappers, entries, chosen)
    # Numbers in the plain data count entries, so those it names must all stay.
    extra = {
        path: node
        for path, node in tree.items()
        if (
            path in chosen_wrappers
            if path in wrappers
            else selected(path, only, exclude)
        )
    }
    chosen_numbers = (i for i, entry in enumerate(narrowed) if entry is not None)
    number = {i: place for place, i in enumerate(chosen_numbers)}

    def refusal(path: str, i: int) -> Exception:
        return ValueError(
            f"{path}: this plain data is selected, but {entries[i].path}, a tensor "
            "in it, is not; select both or neither"
        )

    return chosen, renumbered_tree(extra, number, refusal)


def renumbered_tree(
    tree: Mapping[str, Node],
    number: Mapping[int, int],
    refusal: Callable[[str, int], Exception],
) -> dict[str, Node]:
    """Return plain data, by path, for entries that have other numbers now.

    Whoever drops, adds or moves entries owes it this. ``refusal`` makes the error of
    an entry that the data at a path needs and that has no number any more.
    """
    for path, node in tree.items():
        for i in entry_numbers(node):
            if i not in number:
                raise refusal(path, i)
    return {path: renumbered(node, number) for path, node in tree.items()}


def wrappers_in(tree: Mapping[str, Node]) -> frozenset[str]:
    """Return the paths in ``tree`` at which stands what is said of wrappers."""
    return frozenset(
        path for path, node in tree.items() if isinstance(node, dict) and CLASS in node
    )


def _whole_wrappers(
    wrappers: frozenset[str], entries: Sequence[Entry], chosen: Sequence[Entry]
) -> set[str]:
    """Return those of ``wrappers`` of which all parts are chosen."""
    if not wrappers:
        return set()
    chosen_paths = {path for entry in chosen for path in (entry.path, *entry.ties)}
    has_part: dict[bool, set[str]] = {True: set(), False: set()}
    for entry in entries:
        for path in (entry.path, *entry.ties):
            around = wrappers_around(path, wrappers)
            has_part[path in chosen_paths].update(around)
    return has_part[True] - has_part[False]


def library_part(metadata: Mapping[str, object]) -> Mapping[str, Any]:
    """Return what the library itself says in ``metadata``, whatever a file has there.

    Of a module's record: versions, hyperparameters, and whether it is a part.
    """
    section: Any = metadata.get("burnish")
    return section if isinstance(section, Mapping) else {}


def data_leaf(record: Entries, tag: str, number: int) -> object:
    """Return what `typed_leaf` does, as no field declares it: trained if it was.

    An optimizer takes a tensor that is not trained without a word.
    """
    value, entry = typed_leaf(record, tag, number), record.entries()[number]
    is_trained = tag == "$tensor" and entry.requires_grad
    if is_trained and isinstance(value, torch.Tensor) and not value.is_inference():
        value.requires_grad_()
    return value


def typed_leaf(record: Entries, tag: str, number: int) -> object:
    """Return what `leaf_value` does, in the order of memory that it had."""
    entries = record.entries()
    entry = entries[number]
    order = stored_orders(library_part(record.metadata)).get(entry.path)
    # What is live is somebody's, who goes on with it as it is.
    if order is not None and not isinstance(entry.source, torch.Tensor):
        entry.touched = laid_out(entry.tensor(), order)
    return leaf_value(entries, tag, number)


def leaf_value(entries: list[Entry], tag: str, number: int) -> object:
    """Return entry ``number`` as the tensor, array or bytes that its tag says."""
    entry = entries[number]
    tensor = entry.tensor()
    if tag == "$tensor":
        return tensor
    array = array_of_tensor(tensor, entry.path)
    return array.tobytes() if tag == "$bytes" else array
