"""FlatRecord: entries by path, as modules give them and files hold them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import torch

from ..config.path import Patterns, did_you_mean
from .branch import Branch, index_of
from .entry import Entry
from .record import Record
from .select import check_selection, selected
from .tree import Encoder, Node, decode, renumbered, tie_key

if TYPE_CHECKING:
    from types import TracebackType

    from torch import Tensor

    from .source import Source

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a record was opened, for those who load it into something."""

    file: str = "record"
    """The file's name, for messages."""
    dtype: "torch.dtype | Literal['stored'] | None" = None
    """Of floating parameters; None leaves the choice to the module that is loaded."""
    device: torch.device | None = None
    """Where tensors go; None leaves them in memory or where the module is."""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path in the file to the path that a rename gave it."""


class FlatRecord(Record):
    """A record without declared fields: entries by path, plain data beside them.

    `rec.layers[0].weight` and `rec["layers.0.weight"]` are the same tensor.
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
    ) -> Self:
        """Return a record over ``entries``; ``typed`` says that the tree is all of it."""
        rec = cls.__new__(cls)
        rec.__dict__.update(
            _entries=entries,
            _tree=tree,
            _metadata=metadata if metadata is not None else {},
            _type_name=type_name,
            _typed=typed,
            _verified="live",
            _source=None,
            _check=None,
            _reading=None,
        )
        return rec

    @classmethod
    def of_state_dict(cls, state_dict: Mapping[str, Any]) -> "FlatRecord":
        """Return the record of a state dict; values that are no tensors stay beside."""
        encoder, extra = Encoder(), dict[str, Node]()
        known: dict[tuple[object, ...], Entry] = {}
        entries: list[Entry] = []
        for path, value in state_dict.items():
            if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
                raise TypeError(f"a state dict has str keys, found {path!r}")
            if not isinstance(value, torch.Tensor):
                extra[path] = encoder.encode(value, path)
                continue
            key = tie_key(value)
            if key is not None and key in known:
                known[key].ties += (path,)
                continue
            is_parameter = isinstance(value, torch.nn.Parameter)
            kind = "parameter" if is_parameter else "tensor"
            entry = Entry(path, kind, value.dtype, tuple(value.shape), value)
            entry.requires_grad = is_parameter and value.requires_grad
            entries.append(entry)
            if key is not None:
                known[key] = entry
        if encoder.entries:
            raise TypeError(
                f"{encoder.entries[0].path}: a tensor inside the plain data of a state "
                "dict; give it a key of its own"
            )
        return cls.of(entries, tree=extra, type_name="state dict")

    def entries(self) -> list[Entry]:
        """Return the entries in the order in which they are stored."""
        return self._get("_entries")

    def flat(self) -> "FlatRecord":
        """Return the record itself."""
        return self

    def fields(self) -> dict[str, Any]:
        """Return the first level of the record by name."""
        return {name: self._branch[name] for name in self._branch}

    @property
    def tree(self) -> Node:
        """Plain data beside the entries, as nodes (see ``records/tree.py``)."""
        return self._get("_tree")

    @property
    def is_typed(self) -> bool:
        """Whether this is a record with declared fields, rather than a module's."""
        return self._get("_typed")

    @property
    def type_name(self) -> str:
        """What class the record was made from."""
        return self._get("_type_name")

    @property
    def verified(self) -> str:
        """What was checked: "live" (never stored), "all", "touched", or "none"."""
        return self._get("_verified")

    def by_path(self) -> dict[str, Entry]:
        """Return each entry under each of its paths, ties included; cached."""
        known = self.__dict__.get("_by_path")
        if known is None:
            known = self.__dict__["_by_path"] = {e.path: e for e in self.entries()}
            for entry in self.entries():
                for path in entry.ties:
                    known[path] = entry
        return known

    def extra(self) -> dict[str, Any]:
        """Return a module's extra state by path, decoded; empty for other records."""
        if self.is_typed or not self.tree:
            return {}
        return {path: decode(node, self._leaf) for path, node in self.tree.items()}

    def select(
        self, *, only: Patterns | None = None, exclude: Patterns | None = None
    ) -> "FlatRecord":
        """Return the entries that ``only`` matches and ``exclude`` does not."""
        if only is None and exclude is None:
            return self
        paths = [p for e in self.entries() for p in (e.path, *e.ties)]
        tree: dict[str, Node] = {} if self.is_typed else (self.tree or {})
        check_selection(only, exclude, [*paths, *tree], self.entries())
        kept = [e for e in self.entries() if selected(e, only, exclude)]
        # Numbers in the plain data count entries, so those it names must all stay.
        extra = {p: n for p, n in tree.items() if selected(p, only, exclude)}
        place = {id(entry): i for i, entry in enumerate(kept)}
        number = {
            i: place[id(e)] for i, e in enumerate(self.entries()) if id(e) in place
        }
        return self._with(kept, {p: renumbered(n, number) for p, n in extra.items()})

    def map_tensors(self, fn: "Callable[[Tensor], Tensor]") -> Self:
        """Return the same record with ``fn`` applied once to every stored tensor."""
        mapped = []
        for e in self.entries():
            tensor = fn(e.tensor())
            mapped.append(
                Entry(
                    e.path,
                    e.kind,
                    tensor.dtype,
                    tuple(tensor.shape),
                    tensor,
                    e.id,
                    e.requires_grad,
                    e.ties,
                    e.memory_format,
                )
            )
        return self._with(mapped, self.tree)

    def to_state_dict(self) -> "dict[str, Tensor]":
        """Return torch's state dict: path to tensor, without non-persistent buffers."""
        state: dict[str, Any] = {}
        for entry in self.entries():
            if entry.kind in ("transient", "extra"):
                continue
            tensor = entry.tensor().detach()
            for path in (entry.path, *entry.ties):
                state[path] = tensor
        state.update(self.extra())
        return state

    def typed(self, cls: type[R]) -> R:
        """Return the record as ``cls``, its fields checked; read when touched."""
        if issubclass(cls, FlatRecord) or cls is Record:
            if not isinstance(self, cls):
                self.__class__ = cls  # type: ignore[assignment]  # same layout, a narrower name
            return self  # type: ignore[return-value]  # checked in the line above
        from .typed import build

        return build(cls, self)

    def hold(
        self,
        source: "Source",
        check: Callable[[], None] | None = None,
        *,
        has_sums: bool = True,
    ) -> None:
        """Say where the entries lie; ``check`` raises for damage between payloads."""
        verified = "touched" if has_sums and source.verify else "none"
        self.__dict__.update(_source=source, _check=check, _verified=verified)

    @property
    def reading(self) -> "Reading":
        """How the record was opened."""
        return self.__dict__.get("_reading") or Reading()

    def with_metadata(self, metadata: dict[str, Any]) -> Self:
        """Return the same record with other metadata."""
        other = self._with(self.entries(), self.tree)
        other.__dict__["_metadata"] = metadata
        return other

    def replaced(self, entries: list[Entry], tree: Node) -> Self:
        """Return a record of the same file and metadata with other content."""
        return self._with(entries, tree)

    def opened(self, reading: Reading) -> Self:
        """Return the same record, opened as ``reading`` says."""
        other = self._with(self.entries(), self.tree)
        other.__dict__["_reading"] = reading
        return other

    def check(self) -> None:
        """Map the file, and raise for damage between its payloads."""
        source = self.__dict__.get("_source")
        if source is not None:
            source.map()
            check = self._get("_check")
            if check is not None and source.verify:
                check()

    def load_all(self) -> None:
        """Read and verify every entry, and all that lies between them.

        For loads that use all of a file: mapped where possible, so that no byte is
        copied. Raises `RecordChecksumError` or `RecordFormatError`.
        """
        self.check()
        for entry in self.entries():
            entry.tensor()
        if self.verified == "touched":
            self.__dict__["_verified"] = "all"

    def close(self) -> None:
        """Let go of the file; what was not read yet can no longer be."""
        source = self.__dict__.get("_source")
        if source is not None:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        self.close()

    def __getitem__(self, path: str) -> Any:
        entry = self.by_path().get(path)
        if entry is not None and not self.is_typed:
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

    def __getstate__(self) -> dict[str, Any]:
        for entry in self.entries():
            entry.tensor()
        dropped = ("_source", "_check", "_branch_index", "_by_path")
        state = {k: v for k, v in self.__dict__.items() if k not in dropped}
        return {**state, "_source": None, "_check": None}

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._branch]

    def __repr__(self) -> str:
        from .show import show_entries

        return show_entries(self)

    @property
    def _branch(self) -> Branch:
        branch = self.__dict__.get("_branch_index")
        if branch is None:
            tree = self.tree
            index = index_of(self.entries(), tree, typed=self.is_typed)
            branch = self.__dict__["_branch_index"] = Branch(index, self._leaf)
        return branch

    def _get(self, name: str) -> Any:
        return self.__dict__[name]

    def _leaf(self, tag: str, number: int) -> object:
        return leaf_value(self.entries(), tag, number)

    def _with(self, entries: list[Entry], tree: Node) -> Self:
        other = type(self).of(
            entries,
            tree=tree,
            metadata=self.metadata,
            type_name=self.type_name,
            typed=self.is_typed and tree is self.tree,
        )
        for name in ("_verified", "_source", "_check", "_reading"):
            other.__dict__[name] = self.__dict__[name]
        return other


def leaf_value(entries: list[Entry], tag: str, number: int) -> object:
    """Return entry ``number`` as the tensor, array or bytes that its tag says."""
    tensor = entries[number].tensor()
    if tag == "$bytes":
        return tensor.numpy().tobytes()
    return tensor.numpy() if tag == "$array" else tensor
