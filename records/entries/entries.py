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
"""Not stored; every byte verified; each entry verified on access; no checksums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a record was opened, for code that loads it into an object."""

    file: str = "record"
    """The file's name, for messages."""
    format: str = ""
    """The name of its content's format; empty if it was never stored."""
    version: int | None = None
    """The format's version number; None where a file has none of ours."""
    beside: tuple[str, ...] = ()
    """Other content of the file, which is not part of the record."""
    optimizers: tuple[str, ...] = ()
    """Expressions that read the states of torch's optimizers in the file."""
    dtype: torch.dtype | Literal["stored"] | None = None
    """The precision of floating parameters; None leaves it to the loading module."""
    device: torch.device | None = None
    """The device of tensors; None means memory, or where the module is."""
    only: Patterns | None = None
    """Patterns of the entries that were selected; None for all."""
    exclude: Patterns | None = None
    """Patterns of the entries that were excluded."""
    left_out: frozenset[str] = frozenset()
    """Paths of the entries and the plain data that these patterns excluded."""
    hyperparameters: Literal["compare", "ignore"] = "compare"
    """Whether a loading module must match the record's class and hyperparameters."""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Maps a path in the file to its path after a rename."""
    progress: Progress | None = None
    """The callback that is given the progress of a load."""
    fingerprint: str = ""
    """Identifies its content; empty in a single process, or without a file."""


class EntryTable(Protocol):
    """The index of a file's entries, each of which is created on request."""

    def at(self, path: str) -> Entry | None:
        """Return the entry at ``path``; None if there is none."""
        ...

    def all(self) -> list[Entry]:
        """Return all entries; every call returns the same list."""
        ...


@dataclass(slots=True, kw_only=True)
class _Content:
    """The data of entries, which records of several types may share."""

    entries: list[Entry] | EntryTable
    tree: Node
    metadata: dict[str, Any]
    type_name: str
    typed: bool
    is_part: bool = False
    """Whether this is a selection from a record with declared fields."""
    verified: VerifiedBy = "live"
    reading: Reading = field(default_factory=Reading)
    class_versions: Mapping[str, int] | None = None
    """Used where the metadata has another value, or none."""
    source: "Source | None" = None
    check: "Callable[[Maps], None] | None" = None
    check_before_rewriting: Callable[[], None] | None = None


class Entries:
    """The entries of one record, the plain data beside them, and how they were read.

    All code between a module or a declared record and a file works on this class; users
    see a `FlatRecord` instead.
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
        """The file's metadata: the user's keys, and ours under "burnish"."""
        return self._content.metadata

    def entries(self) -> list[Entry]:
        """Return the entries in storage order."""
        entries = self._content.entries
        return entries if isinstance(entries, list) else entries.all()

    def entry_at(self, path: str) -> Entry | None:
        """Return the entry at ``path``, tied ones included; None if absent."""
        entries = self._content.entries
        # A table finds one path without creating all its entries, which an index would
        # do.
        if isinstance(entries, list) or "_by_path" in self.__dict__:
            return path_index(self).get(path)
        return entries.at(path)

    @property
    def tree(self) -> Node:
        """Plain data beside the entries (``records/entries/nodes.py``)."""
        return self._content.tree

    @property
    def is_typed(self) -> bool:
        """Whether this record has declared fields, rather than being a module's."""
        return self._content.typed

    @property
    def is_part(self) -> bool:
        """Whether this is a selection from a record with declared fields."""
        return self._content.is_part

    @property
    def type_name(self) -> str:
        """The name of the class from which the record was made."""
        return self._content.type_name

    @property
    def class_versions(self) -> Mapping[str, int]:
        """The class versions that torch puts into a state dict, by submodule path."""
        if self._content.class_versions is not None:
            return self._content.class_versions
        in_file: Any = library_part(self.metadata).get("class_versions")
        versions: Mapping[str, int] = in_file if isinstance(in_file, Mapping) else {}
        return versions

    @property
    def verified(self) -> VerifiedBy:
        """What was verified: "live" (not from a file), "all", "touched", or "none"."""
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

        ``absent`` are paths that have no entry here, and which patterns may name
        nevertheless.
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
        """Return the same record with ``fn`` applied once to each stored tensor."""
        announce_entries(self, self.entries())
        mapped = [entry.with_tensor(fn(entry.tensor())) for entry in self.entries()]
        return with_parts(self, entries=mapped)

    def clone(self) -> Self:
        """Return a snapshot: the same record in memory of its own, with its ties."""
        announce_entries(self, self.entries())
        copies = [entry.with_tensor(entry.read_own()) for entry in self.entries()]
        return with_parts(self, entries=copies)

    @property
    def reading(self) -> "Reading":
        """How the record was opened."""
        return self._content.reading

    def load_all(self) -> None:
        """Read and verify every entry, and all bytes between them.

        Used by loads that need the whole file: it is mapped where possible, so that no
        byte is copied. Raises `RecordChecksumError` or `RecordFormatError`.
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
        """Close the file; entries that were not read yet become unavailable."""
        if self._content.source is not None:
            self._content.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # An open file cannot be copied, so its tensors are read for the copy.
        announce_entries(self, self.entries())
        entries = [entry.with_tensor(entry.tensor()) for entry in self.entries()]
        # A progress callback cannot be copied either.
        reading = replace(self.reading, progress=None)
        return {
            "_flat": replace(
                self._content, entries=entries, source=None, check=None, reading=reading
            )
        }


def path_index(record: Entries) -> dict[str, Entry]:
    """Return a dict of entries by path, tied paths included; cached."""
    index: dict[str, Entry] | None = vars(record).get("_by_path")
    if index is None:
        index = {entry.path: entry for entry in record.entries()}
        for entry in record.entries():
            for path in entry.ties:
                index[path] = entry
        # Cached only when complete, because another thread may be reading it.
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
    optimizers: Sequence[str] = (),
    check_before_rewriting: Callable[[], None] | None = None,
) -> None:
    """Set where the entries are stored; ``check`` raises for damage between payloads.

    ``version`` is the format's, ``beside`` the other content of the file, with the
    expressions that read ``optimizers`` there.
    ``check_before_rewriting`` raises for damage that no read of an entry finds.
    """
    content = record._content
    if version is not None or beside:
        content.reading = replace(
            content.reading,
            version=version,
            beside=(*beside,),
            optimizers=(*optimizers,),
        )
    content.source, content.check = source, check
    content.check_before_rewriting = check_before_rewriting
    content.verified = "touched" if has_sums and source.verify else "none"


def is_checked(record: Entries) -> bool:
    """Return whether reads compare values with the checksums of their file.

    Unlike `Entries.verified`, it does not look at each entry.
    """
    return record._content.verified in ("touched", "all")


def check_gaps(record: Entries, maps: "Maps") -> None:
    """Raise for damage between the payloads, as seen by the load that owns ``maps``."""
    content = record._content
    if content.check is None or content.source is None:
        return
    if content.source.verify:
        content.check(maps)


def check_before_rewriting(record: Entries) -> None:
    """Raise for damage of the file that reads of its entries do not notice.

    Damaged values would otherwise be written with checksums that match them.
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
    """Return the same record, of the same file, with other entries or data."""
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
    """Return ``part``, a subset of the record's entries, as a record of its file."""
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
    """Return the path of every tensor and of all plain data."""
    return frozenset((*path_index(record), *(record.tree or ())))


def announce_entries(
    record: Entries,
    entries: Iterable[Entry],
    maps: Maps | None = None,
    *,
    in_blocks: bool = False,
) -> None:
    """Announce which entries of ``record`` will be read, so remote reads are merged.

    ``maps`` belong to the load that reads them; ``in_blocks`` means through
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
    """Return the selected entries, by their selected names, and selected plain data."""
    wrappers = wrappers_in(tree)
    narrowed = [chosen_alone(entry, only, exclude, wrappers) for entry in entries]
    chosen = [entry for entry in narrowed if entry is not None]
    # A wrapper needs all of its parts, so they are selected with it.
    chosen_wrappers = _whole_wrappers(wrappers, entries, chosen)
    # Plain data refers to entries by number, so all those it refers to must stay.
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
    """Return plain data, by path, for entries that have been renumbered.

    Code that drops, adds or moves entries must call this. ``refusal`` makes the error
    for an entry that the data at a path needs and that is no longer there.
    """
    for path, node in tree.items():
        for i in entry_numbers(node):
            if i not in number:
                raise refusal(path, i)
    return {path: renumbered(node, number) for path, node in tree.items()}


def wrappers_in(tree: Mapping[str, Node]) -> frozenset[str]:
    """Return the paths in ``tree`` that hold the form of a wrapper."""
    return frozenset(
        path for path, node in tree.items() if isinstance(node, dict) and CLASS in node
    )


def _whole_wrappers(
    wrappers: frozenset[str], entries: Sequence[Entry], chosen: Sequence[Entry]
) -> set[str]:
    """Return those of ``wrappers`` whose parts are all selected."""
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
    """Return the library's own keys in ``metadata``, whatever a file has there.

    For a module's record: versions, hyperparameters, and whether it is a part.
    """
    section: Any = metadata.get("burnish")
    return section if isinstance(section, Mapping) else {}


def data_leaf(record: Entries, tag: str, number: int) -> object:
    """Return the undeclared value of a leaf, which requires a gradient if it did.

    Otherwise as `typed_leaf`. An optimizer silently accepts a tensor that is not
    trained.
    """
    value, entry = typed_leaf(record, tag, number), record.entries()[number]
    is_trained = tag == "$tensor" and entry.requires_grad
    if is_trained and isinstance(value, torch.Tensor) and not value.is_inference():
        value.requires_grad_()
    return value


def typed_leaf(record: Entries, tag: str, number: int) -> object:
    """Return what `leaf_value` does, with the memory layout that it had."""
    entries = record.entries()
    entry = entries[number]
    order = stored_orders(library_part(record.metadata)).get(entry.path)
    # A live tensor belongs to its owner, who continues to use it as it is.
    if order is not None and not isinstance(entry.source, torch.Tensor):
        entry.touched = laid_out(entry.tensor(), order)
    return leaf_value(entries, tag, number)


def leaf_value(entries: list[Entry], tag: str, number: int) -> object:
    """Return entry ``number`` as the tensor, array or bytes that its tag names."""
    entry = entries[number]
    tensor = entry.tensor()
    if tag == "$tensor":
        return tensor
    array = array_of_tensor(tensor, entry.path)
    return array.tobytes() if tag == "$bytes" else array
