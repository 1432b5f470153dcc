"""FlatRecord: entries by path, as modules give them and files hold them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..config.path import Patterns, did_you_mean
from .entry import Entry
from .nodes import Node, decode
from .reading import Reading, VerifiedBy
from .record import Record
from .record_view import Branch, ReadByName, index_of, leaf_value
from .select import check_selection, selection

if TYPE_CHECKING:
    from torch import Tensor

    from .source import Maps, Source

R = TypeVar("R", bound=Record)


@dataclass(slots=True, kw_only=True)
class _Held:
    """What a flat record consists of."""

    entries: list[Entry]
    tree: Node
    metadata: dict[str, Any]
    type_name: str
    typed: bool
    is_part: bool = False
    """Whether this is what was chosen of a record with declared fields."""
    verified: VerifiedBy = "live"
    reading: Reading = field(default_factory=Reading)
    class_versions: Mapping[str, int] = field(default_factory=dict[str, int])
    source: "Source | None" = None
    check: "Callable[[Maps], None] | None" = None


class FlatRecord(ReadByName, Record):
    """A record without declared fields: entries by path, plain data beside them.

    `rec.layers[0].weight` and `rec["layers.0.weight"]` are the same tensor. It is read
    like a dict from paths to tensors, too: ``dict(rec)``, ``rec.items()``.
    """

    @classmethod
    def of(
        cls,
        entries: list[Entry],
        *,
        tree: Node = None,
        metadata: dict[str, Any] | None = None,
        type_name: str = "",
        typed: bool = False,
        class_versions: Mapping[str, int] | None = None,
    ) -> Self:
        """Return a record over ``entries``; if ``typed``, ``tree`` is all of it."""
        held = _Held(
            entries=entries,
            tree=tree,
            metadata=metadata if metadata is not None else {},
            type_name=type_name,
            typed=typed,
            class_versions=class_versions or {},
        )
        return cls._of(held)

    @classmethod
    def _of(cls, held: _Held) -> Self:
        rec = cls.__new__(cls)
        rec.__dict__["_flat"] = held
        return rec

    @property
    def _held(self) -> _Held:
        held: _Held = self.__dict__["_flat"]
        return held

    @property
    def metadata(self) -> dict[str, Any]:
        """What a file says of the record: the user's keys, and ours in "burnish"."""
        return self._held.metadata

    def entries(self) -> list[Entry]:
        """Return the entries in the order in which they are stored."""
        return self._held.entries

    def flat(self) -> "FlatRecord":
        """Return the record itself."""
        return self

    def fields(self) -> dict[str, Any]:
        """Return the first level of the record by name."""
        return {name: self._branch[name] for name in self._branch}

    @property
    def tree(self) -> Node:
        """Plain data beside the entries, as nodes (see ``records/nodes.py``)."""
        return self._held.tree

    @property
    def is_typed(self) -> bool:
        """Whether this is a record with declared fields, rather than a module's."""
        return self._held.typed

    @property
    def is_part(self) -> bool:
        """Whether this is what was chosen of a record with declared fields."""
        return self._held.is_part

    @property
    def type_name(self) -> str:
        """What class the record was made from."""
        return self._held.type_name

    @property
    def class_versions(self) -> Mapping[str, int]:
        """What torch says in a state dict of the class of each submodule, by path."""
        ours: Any = self.metadata.get("burnish")
        stored: Any = ours.get("class_versions") if isinstance(ours, Mapping) else None
        versions: Mapping[str, int] = stored if isinstance(stored, Mapping) else {}
        return self._held.class_versions or versions

    @property
    def verified(self) -> VerifiedBy:
        """What was checked: "live" (not from a file), "all", "touched", or "none"."""
        has_sums = self._held.verified in ("touched", "all")
        is_live = has_sums and not all(entry.is_stored for entry in self.entries())
        return "live" if is_live else self._held.verified

    def by_path(self) -> dict[str, Entry]:
        """Return each entry under each of its paths, ties included; cached."""
        known: dict[str, Entry] | None = self.__dict__.get("_by_path")
        if known is None:
            known = {e.path: e for e in self.entries()}
            for entry in self.entries():
                for path in entry.ties:
                    known[path] = entry
            # Only now: other threads may be looking for it.
            self.__dict__["_by_path"] = known
        return known

    def extra(self) -> dict[str, Any]:
        """Return a module's extra state by path, decoded; empty for other records."""
        if self.is_typed or not self.tree:
            return {}
        return {path: decode(node, self._leaf) for path, node in self.tree.items()}

    def select(
        self,
        *,
        only: Patterns | None = None,
        exclude: Patterns | None = None,
        absent: Iterable[str] = (),
    ) -> "FlatRecord":
        """Return the entries that ``only`` matches and ``exclude`` does not.

        ``absent`` are paths of what could be no entry, and may yet be meant.
        """
        if only is None and exclude is None:
            return self
        tree: dict[str, Node] = {} if self.is_typed else (self.tree or {})
        try:
            check_selection(only, exclude, [*self.by_path(), *tree, *absent])
        except ValueError as error:
            if not self.is_typed:
                raise
            raise ValueError(
                f"{error} Of a {self.type_name}, whose fields are declared, patterns "
                "choose the tensors; open it whole for the rest: each field is read "
                "when it is touched."
            ) from None
        kept, extra = selection(self.entries(), tree, only, exclude)
        return self.replaced(entries=kept, tree=extra)

    def map_tensors(self, fn: "Callable[[Tensor], Tensor]") -> Self:
        """Return the same record with ``fn`` applied once to every stored tensor."""
        mapped = [entry.with_tensor(fn(entry.tensor())) for entry in self.entries()]
        return self.replaced(entries=mapped)

    def clone(self) -> Self:
        """Return a snapshot: the same record in memory of its own, ties kept."""
        copies = [entry.with_tensor(entry.own()) for entry in self.entries()]
        return self.replaced(entries=copies)

    def to_state_dict(self) -> "dict[str, Tensor]":
        """Return torch's state dict: path to tensor, without non-persistent buffers."""
        from .state_dict import state_dict_of

        return state_dict_of(self)

    def typed(self, cls: type[R]) -> R:
        """Return the record as ``cls``, its fields checked; read when touched."""
        if issubclass(cls, FlatRecord) or cls is Record:
            if not isinstance(self, cls):
                self.__class__ = cls  # type: ignore[assignment]  # same layout, a narrower name
            return self  # type: ignore[return-value]  # checked in the line above
        from .record_decoder import build

        return build(cls, self)

    def hold(
        self,
        source: "Source",
        check: "Callable[[Maps], None] | None" = None,
        *,
        has_sums: bool = True,
    ) -> None:
        """Say where the entries lie; ``check`` raises for damage between payloads."""
        held = self._held
        held.source, held.check = source, check
        held.verified = "touched" if has_sums and source.verify else "none"

    @property
    def reading(self) -> "Reading":
        """How the record was opened."""
        return self._held.reading

    def replaced(
        self,
        *,
        entries: list[Entry] | None = None,
        tree: Node = ...,
        metadata: dict[str, Any] | None = None,
        type_name: str | None = None,
        reading: Reading | None = None,
    ) -> Self:
        """Return the same record, of the same file, with other parts."""
        held = self._held
        is_whole = tree is ... or tree is held.tree
        return self._of(
            replace(
                held,
                entries=held.entries if entries is None else entries,
                tree=held.tree if tree is ... else tree,
                metadata=held.metadata if metadata is None else metadata,
                type_name=held.type_name if type_name is None else type_name,
                reading=held.reading if reading is None else reading,
                typed=held.typed and is_whole,
                is_part=held.is_part or (held.typed and not is_whole),
            )
        )

    def check(self, maps: "Maps") -> None:
        """Raise for damage between the payloads, as the load of ``maps`` reads them."""
        held = self._held
        if held.check is not None and held.source is not None and held.source.verify:
            held.check(maps)

    def load_all(self) -> None:
        """Read and verify every entry, and all that lies between them.

        For loads that use all of a file: mapped where possible, so that no byte is
        copied. Raises `RecordChecksumError` or `RecordFormatError`.
        """
        from .source import Maps

        maps = Maps()
        self.check(maps)
        for entry in self.entries():
            entry.tensor(maps)
        if self.verified == "touched":
            self._held.verified = "all"

    def close(self) -> None:
        """Let go of the file; what was not read yet can no longer be."""
        if self._held.source is not None:
            self._held.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getitem__(self, path: str | int) -> Any:
        path = str(path)
        entry = self.by_path().get(path)
        if entry is not None and not (self.is_typed and self._branch.has(path)):
            return entry.tensor()
        try:
            return self._branch.at(path)
        except KeyError:
            hint = did_you_mean(path, self.by_path())
            raise KeyError(f"nothing is stored at {path!r}.{hint}") from None

    def __contains__(self, path: object) -> bool:
        return path in self.by_path() or self._branch.has(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_path())

    def __len__(self) -> int:
        return len(self.by_path())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._branch[name]
        except KeyError:
            hint = did_you_mean(name, self._branch)
            raise AttributeError(
                f"the record has no {name!r}.{hint}", name=name, obj=self
            ) from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._branch]

    def __getstate__(self) -> dict[str, Any]:
        entries = [entry.with_tensor(entry.tensor()) for entry in self.entries()]
        held = replace(self._held, entries=entries, source=None, check=None)
        return {"_flat": held}

    def __repr__(self) -> str:
        from .show import show_entries

        return show_entries(self)

    @property
    def _branch(self) -> Branch:
        branch = self.__dict__.get("_branch_index")
        if branch is None:
            index = index_of(self.entries(), self.tree, typed=self.is_typed)
            branch = self.__dict__["_branch_index"] = Branch(index, self._leaf, self)
        return branch

    def _leaf(self, tag: str, number: int) -> object:
        return leaf_value(self.entries(), tag, number)
