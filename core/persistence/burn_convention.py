# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""The record of a module with Burn's tensor names and orders, and back.

Only the module knows which of its tensors are weights of linear layers, so a record is
converted here when it is written from a module, or loaded into one.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...config.process.user_warning import warn_user
from ...records.entries.conventions import (
    Convention,
    convention_of,
    with_convention,
)
from ...records.entries.entries import Entries, library_part, path_index, with_parts
from ...records.entries.entry import Entry
from ...records.entries.select import selected
from ...records.errors import RecordError, RecordMismatchError
from ..evolution.upgrading import entries_of
from ..modules.tree import Places
from ..state.loading.derived import derive
from .burn_layers import Counterpart, children_of, counterparts_of, unknown_to_burn

E = TypeVar("E", bound=Entries)


def to_burn(record: E, places: Places) -> E:
    """Return ``record`` of the module at ``places`` with Burn's names and orders.

    Its tensors are views of the module's. Tensors that Burn does not have (the counts
    of batch norms) are left out. Raises `RecordError` for a layer that Burn lacks.
    """
    names = _Names.of(places)
    table: dict[str, Entry] = {}
    pieces: dict[tuple[int, int, bool], Entry] = {}
    for path, entry in path_index(record).items():
        if path in names.unknown:
            continue
        pairing = names.pairings.get(path, Counterpart(path, (path,)))
        for i, name in enumerate(pairing.burn_names):
            # A tied tensor is one tensor in Burn's file too, unless its layers differ
            # there.
            key = (
                id(entry),
                i if len(pairing.burn_names) > 1 else -1,
                pairing.is_transposed,
            )
            piece = pieces.get(key) or _piece(entry, pairing, i)
            pieces[key] = piece
            if name in table:
                raise RecordError(
                    f"{table[name].path} and {path}: Burn would call both {name}; "
                    "give one of them another name"
                )
            table[name] = piece
    entries = _with_one_id_each(entries_of(table))
    return with_convention(with_parts(record, entries=entries), "burn")


def from_burn(record: E, places: Places) -> tuple[E, frozenset[str]]:
    """Return ``record`` with the names and orders of the module at ``places``.

    Also returns the paths of tensors that Burn does not have, and which its files lack.
    A record that is not in Burn's convention is returned unchanged. Values are computed
    when they are read. Raises `RecordMismatchError`.
    """
    if convention_of(record) != "burn":
        # Burn's own formats are in its convention; its `.safetensors` may be in either.
        is_silent = "convention" not in library_part(record.metadata)
        if is_silent and record.metadata.get("producer") == "burn":
            _warn_of_square_layers(record, places)
        return record, frozenset()
    try:
        names = _Names.of(places)
        table = _translated_table(record, names)
    except RecordError as error:
        raise RecordMismatchError(record.reading.file, [str(error)]) from error
    renamed = {**record.reading.renamed, **names.renamed(table)}
    translation = with_parts(
        record,
        entries=_with_flags_of(entries_of(table), places),
        reading=replace(record.reading, renamed=renamed),
    )
    absent = names.unknown | names.deselected(record)
    return with_convention(translation, "torch"), absent


def _with_flags_of(entries: list[Entry], places: Places) -> list[Entry]:
    """Return ``entries`` with the module's requires_grad flags; Burn stores none."""
    flags = {
        prefix + name: parameter.requires_grad
        for prefix, owner in places
        for name, parameter in owner._parameters.items()
        if parameter is not None
    }
    for entry in entries:
        entry.requires_grad = flags.get(entry.path, False)
    return entries


def _with_one_id_each(entries: list[Entry]) -> list[Entry]:
    """Return ``entries``; if a tied tensor became several, the first has the ID."""
    met_ids: set[str | None] = {None}
    for entry in entries:
        if entry.id in met_ids:
            entry.id = None
        met_ids.add(entry.id)
    return entries


@contextmanager
def explained(record: Entries, places: Places) -> Generator[None]:
    """Add to a `RecordMismatchError` that ``record`` fits in the other convention.

    ``record`` is the one that was opened, before `from_burn`.
    """
    try:
        yield
    except RecordMismatchError as error:
        cures = [error.cure, _cure(record, places, error)]
        cure = " ".join(filter(None, cures))
        raise RecordMismatchError(error.file, error.problems, cure) from error.__cause__


def _cure(record: Entries, places: Places, error: RecordMismatchError) -> str:
    """Explain how Burn's convention is related to a mismatch; empty if it is not."""
    is_burns = convention_of(record) == "burn"
    other_convention: Convention = "torch" if is_burns else "burn"
    try:
        present = from_burn(record, places)[0] if is_burns else record
        translation, _ = from_burn(with_convention(record, other_convention), places)
    except RecordError:
        return ""
    # A record that fits was refused for other reasons, and square layers fit in both.
    if _fits(translation, places) and not _fits(present, places):
        return (
            f"With the names and orders of {other_convention} it fits: "
            f"open_record(file, convention={other_convention!r})."
        )
    if is_burns and "exclude=" in error.cure:
        return "In exclude= the names are Burn's, as the file has them."
    return ""


def _fits(record: Entries, places: Places) -> bool:
    """Return whether every parameter of the module is there, with its shape."""
    entries_by_path = path_index(record)
    return all(
        prefix + name in entries_by_path
        and entries_by_path[prefix + name].shape == tuple(value.shape)
        for prefix, owner in places
        for name, value in owner._parameters.items()
        if value is not None and not nn.parameter.is_lazy(value)
    )


def _warn_of_square_layers(record: Entries, places: Places) -> None:
    """Warn of a file of Burn whose shapes do not determine its convention."""
    entries_by_path = path_index(record)
    weights = [
        entries_by_path[path]
        for path, pairing in _Names.of(places).pairings.items()
        if pairing.is_transposed and path in entries_by_path
    ]
    if weights and all(len(set(entry.shape)) == 1 for entry in weights):
        warn_user(
            f"{record.reading.file}: this is a file of Burn, and its shapes do "
            f"not show whether {weights[0].path} is stored as in torch, or "
            "transposed as in Burn; it is read as torch's. To choose: "
            "open_record(file, convention='burn') or convention='torch'.",
        )


@dataclass(slots=True)
class _Names:
    """The names of a module's tensors in Burn."""

    pairings: dict[str, Counterpart] = field(default_factory=dict[str, Counterpart])
    """The tensors that differ, by path in the module."""
    unknown: frozenset[str] = frozenset()
    """Paths of tensors that Burn does not have."""

    @classmethod
    def of(cls, places: Places) -> "_Names":
        """Return the names of all tensors at ``places``."""
        names = cls()
        unknown: set[str] = set()
        for prefix, burn_prefix, pairing in _all_pairings(places):
            path = prefix + pairing.torch_name
            burn_paths = tuple(burn_prefix + name for name in pairing.burn_names)
            if not burn_paths:
                unknown.add(path)
            elif pairing.is_transposed or burn_paths != (path,):
                names.pairings[path] = replace(
                    pairing, torch_name=path, burn_names=burn_paths
                )
        names.unknown = frozenset(unknown)
        return names

    def renamed(self, table: dict[str, Entry]) -> dict[str, str]:
        """Map Burn's names to the module's, for all in ``table`` that differ."""
        return {
            name: path
            for path, pairing in self.pairings.items()
            for name in pairing.burn_names
            if name != path and path in table
        }

    def deselected(self, record: Entries) -> frozenset[str]:
        """Return the paths that the reader chose to leave out, by Burn's names."""
        only, exclude = record.reading.only, record.reading.exclude
        return frozenset(
            path
            for path, pairing in self.pairings.items()
            if not all(selected(name, only, exclude) for name in pairing.burn_names)
        )


def _all_pairings(places: Places) -> Iterator[tuple[str, str, Counterpart]]:
    """Yield the pairing of every tensor, with its prefixes in the module and in Burn.

    A tensor without names in Burn does not exist there.
    """
    burn_prefixes = {"": ""}
    children: dict[str, Mapping[str, str]] = {}
    for prefix, owner in places:
        if prefix:
            above, name = _split(prefix)
            burn_name = children[above].get(name, name)
            burn_prefixes[prefix] = f"{burn_prefixes[above]}{burn_name}."
        # A wrapper has the same path as the module it wraps, which comes later.
        children[prefix] = children_of(owner)
        try:
            pairings = counterparts_of(owner)
        except RecordError as error:
            place = prefix.rstrip(".") or "the module"
            raise RecordError(f"{place}: {error}") from None
        unknown = unknown_to_burn(owner)
        for name in (*owner._parameters, *owner._buffers):
            pairing = Counterpart(name, () if name in unknown else (name,))
            yield prefix, burn_prefixes[prefix], pairings.get(name, pairing)


def _split(prefix: str) -> tuple[str, str]:
    """Return the prefix above, and the name below it: ("layers.", "0")."""
    above, dot, name = prefix[:-1].rpartition(".")
    return above + dot, name


def _piece(entry: Entry, pairing: Counterpart, number: int) -> Entry:
    """Return one of the tensors of Burn that make ``entry``."""
    n_pieces = len(pairing.burn_names)
    is_transposed = pairing.is_transposed and len(entry.shape) == 2
    if n_pieces == 1 and not is_transposed:
        return entry
    view = _View(number, n_pieces, is_transposed)
    if isinstance(entry.source, Tensor):
        piece = entry.with_tensor(view([entry.source.detach()]))
    else:
        piece = derive([entry], view)
    return replace(
        piece,
        id=entry.id if n_pieces == 1 else None,
        requires_grad=entry.requires_grad,
        memory_format=None,
    )


def _translated_table(record: Entries, names: _Names) -> dict[str, Entry]:
    """Return the entries of ``record`` by the module's paths, others by their own."""
    entries_by_path = path_index(record)
    read_names: set[str] = set()
    table: dict[str, Entry] = {}
    wholes: dict[tuple[int, ...], Entry] = {}
    for path, pairing in names.pairings.items():
        if not all(name in entries_by_path for name in pairing.burn_names):
            continue
        parts = [entries_by_path[name] for name in pairing.burn_names]
        key = (pairing.is_transposed, *map(id, parts))
        if key not in wholes:
            wholes[key] = _join_parts(parts, is_transposed=pairing.is_transposed)
        table[path] = wholes[key]
        read_names.update(pairing.burn_names)
    for name, entry in entries_by_path.items():
        if name in read_names:
            continue
        if name in table:
            burn_names = " and ".join(names.pairings[name].burn_names)
            raise RecordError(f"{burn_names} and {name}: both are {name} in the module")
        table[name] = entry
    return table


def _join_parts(parts: list[Entry], *, is_transposed: bool) -> Entry:
    """Return the tensor that Burn's ``parts`` form."""
    is_transposed = is_transposed and len(parts[0].shape) == 2
    if len(parts) == 1 and not is_transposed:
        return replace(parts[0])
    entry = derive(parts, _Joined(is_transposed))
    return replace(entry, id=parts[0].id if len(parts) == 1 else None)


@dataclass(frozen=True, slots=True)
class _View:
    """One of several pieces of a tensor, optionally transposed."""

    number: int
    n_pieces: int
    is_transposed: bool

    def __call__(self, tensors: list[Tensor]) -> Tensor:
        """Return it as a view."""
        size = tensors[0].shape[0] // self.n_pieces if self.n_pieces > 1 else None
        piece = (
            tensors[0]
            if size is None
            else tensors[0].narrow(0, self.number * size, size)
        )
        return piece.transpose(0, 1) if self.is_transposed else piece


@dataclass(frozen=True, slots=True)
class _Joined:
    """Several tensors concatenated, each optionally transposed."""

    is_transposed: bool

    def __call__(self, tensors: list[Tensor]) -> Tensor:
        """Return it, as a view or a new tensor."""
        parts = [t.transpose(0, 1) if self.is_transposed else t for t in tensors]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
