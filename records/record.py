"""Record: the typed value of stored data; a subclass declares its fields."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Self,
    Unpack,
    dataclass_transform,
    overload,
)

from ..config.classes.annotations import annotations_of
from ..config.classes.fields import undeclared_attributes
from ..config.html import FoldedHtml
from ..config.plain.node import Node
from ..config.process.user_warning import warn_user
from ..config.short_text import first_names, with_article
from .calls import explain_calls
from .entries.encoder import Encoder, Storable
from .entries.entries import Entries
from .entries.entry import Entry

if TYPE_CHECKING:
    from torch import Tensor

    from ..config.patterns import Patterns
    from .flat_record import FlatRecord
    from .io.sink import Destination, File
    from .readable import Readable
    from .record_writer import SaveOptions


@dataclass_transform(eq_default=False)
class Record(Storable, FoldedHtml):
    """Stored data: tensors and plain data in named fields.

    A subclass is a dataclass: ``class AdamState(Record): t: int; m: Tensor``. Fields
    are tensors, numpy arrays, records, numbers, strings, bytes, None, enums,
    ``Optional``, lists, tuples, and dicts whose keys are str, or the int or enum that
    the field declares. Values come back with the type that the field declares, or
    TypeError names the path when the record is saved. Tensors are referenced, never
    copied, until `clone` or a save.
    """

    # Optimizers declare records that most programs never save, so the code that saves
    # and loads them is imported in the methods that need it.

    __match_args__: ClassVar[tuple[str, ...]] = ()
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        reserved = [name for name in annotations_of(cls) if name in _RESERVED]
        if reserved:
            raise TypeError(
                f"{cls.__qualname__}: a field called {reserved[0]!r} would hide "
                "the attribute of that name that every record has; rename the field"
            )
        _make_dataclass(cls)
        cls._declares_fields = True

    @classmethod
    def __subclasshook__(cls, subclass: type) -> bool:
        # isinstance(record, Record) holds for what open_record returns, too. (Not
        # issubclass: it asks the hooks of all subclasses, this one among them.)
        is_record = cls is Record and Storable in subclass.__mro__
        return True if is_record else NotImplemented

    def fields(self) -> dict[str, Any]:
        """Return the declared fields and their values, in order of declaration."""
        declared = dataclasses.fields(self)
        return {field.name: getattr(self, field.name) for field in declared}

    def flat(self) -> "FlatRecord":
        """Return the record as entries and a tree; tensors are shared, not copied."""
        from .flat_record import FlatRecord

        encoder = Encoder()
        tree = self._encode_into(encoder, "", 0)
        return FlatRecord.of(
            encoder.entries,
            tree=tree,
            metadata=self.metadata,
            type_name=type(self).__qualname__,
            typed=True,
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """The file's metadata: the user's keys, and ours under "burnish"."""
        metadata: dict[str, Any] = vars(self).setdefault("_metadata", {})
        return metadata

    def entries(self) -> list[Entry]:
        """Return one entry per stored tensor; tied tensors are one entry."""
        return self.flat().entries()

    def __getitem__(self, path: str) -> Any:
        """Return the value at ``path`` (``"layers.0.weight"``); KeyError if absent.

        A tensor is the same object as by attributes; any child name works.
        """
        return self.flat()[path]

    def __contains__(self, path: object) -> bool:
        return path in self.flat()

    def __iter__(self) -> Iterator[str]:
        # Without this method Python would iterate with numbers through __getitem__.
        name = type(self).__qualname__
        raise TypeError(
            f"{with_article(name)} is not iterable; record.fields() is a dict of its "
            "fields"
        )

    def select(
        self, *, only: "Patterns | None" = None, exclude: "Patterns | None" = None
    ) -> "FlatRecord":
        """Return the entries that ``only`` matches and ``exclude`` does not.

        ValueError for a pattern that matches nothing.
        """
        return self.flat().select(only=only, exclude=exclude)

    def map_tensors(self, fn: "Callable[[Tensor], Tensor]") -> Self:
        """Return the same record with ``fn`` applied once to each stored tensor."""
        mapped = self.flat().map_tensors(fn)
        return mapped.typed(type(self))

    def clone(self) -> Self:
        """Return a snapshot: the same record in memory of its own, with its ties."""
        return self.flat().clone().typed(type(self))

    def to_state_dict(self) -> "dict[str, Tensor]":
        """Return torch's state dict: path to tensor, without non-persistent buffers.

        The tensors are those of the record; a tied tensor is at every path, its further
        paths after its first, where torch has each in its module.
        """
        return self.flat().to_state_dict()

    def to_data(self) -> dict[str, Any]:
        """Return the fields as plain data and tensors; records in them are dicts too.

        The tensors are those of the record; members of enums are their names.
        """
        data: dict[str, Any] = self.flat().to_data()
        return data

    @classmethod
    def from_state_dict(cls, state_dict: "Mapping[str, Any]") -> "FlatRecord":
        """Return the record of a torch state dict; its tensors are shared."""
        from .flat_record import FlatRecord

        return FlatRecord.from_state_dict(state_dict)

    @classmethod
    def from_entries(
        cls,
        entries: list[Entry],
        *,
        tree: Node = None,
        metadata: dict[str, Any] | None = None,
        type_name: str = "",
    ) -> "FlatRecord":
        """Return a record over ``entries``, whose paths are its only structure.

        ``tree`` holds plain data by path (a module's extra state), as nodes.
        """
        from .flat_record import FlatRecord

        return FlatRecord.from_entries(
            entries, tree=tree, metadata=metadata, type_name=type_name
        )

    @overload
    def save(self, **options: "Unpack[SaveOptions]") -> bytes: ...
    @overload
    def save(self, file: "File", **options: "Unpack[SaveOptions]") -> None: ...
    def save(
        self, file: "Destination" = ..., **options: "Unpack[SaveOptions]"
    ) -> bytes | None:
        """Write the record to ``file``, or return it as bytes if that is omitted.

        The suffix names the format unless a recorder does. Tensors are converted to
        ``precision`` chunk by chunk while writing. A failed save keeps the old file.
        The options are those of `SaveOptions`. Raises `PrecisionError` for a finite
        value that would become infinite.
        """
        from .sharded.saving import save_record_to

        return save_record_to(self.flat(), file, **options)

    @classmethod
    @explain_calls("Record.load(file{})", "read", is_home=False)
    def load(cls, file: "Readable") -> Self:
        """Return the record in ``file``; each field is read and verified on access.

        Raises `RecordMismatchError` where the file's fields are not the declared ones.
        """
        from .readable import entries_in

        return cls._of_entries(entries_in(file))

    def _encode_into(self, encoder: Encoder, path: str, depth: int) -> Node:
        from .declared import Declared

        values = self.fields()
        if names := undeclared_attributes(self, values):
            warn_user(
                f"the {type(self).__name__} has {first_names(names, 4)}, but its "
                "class declares no such field, so it is not stored. Declare it "
                "with its type, or start its name with _ if it should not be "
                "stored",
                RuntimeWarning,
            )
        nodes = encoder.fields(values, path, depth)
        Declared(encoder).check(type(self), values, nodes, path)
        return {"$record": [type(self).__qualname__, nodes]}

    @classmethod
    def _of_entries(cls, entries: Entries) -> Self:
        from .flat_record import flat_record
        from .record_decoder import decode_record

        if not cls._declares_fields:
            return flat_record(entries)  # type: ignore[return-value]  # a Record by __subclasshook__
        return decode_record(cls, entries)

    def __getattr__(self, name: str) -> Any:
        if TYPE_CHECKING:
            raise AttributeError
        pending = self.__dict__.get("_pending")
        if pending is None or name not in pending:
            # The constructor does not set fields with ``init=False``.
            field = self.__dataclass_fields__.get(name)
            if field is not None and field.default is not dataclasses.MISSING:
                return field.default
            raise AttributeError(
                f"{type(self).__qualname__} has no field {name!r}; it has "
                f"{', '.join(self.__dataclass_fields__)}",
                name=name,
                obj=self,
            )
        # Threads that ask at the same time all get the value of the first.
        value = self.__dict__.setdefault(name, pending[name]())
        pending.pop(name, None)
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {**self.fields(), "_metadata": self.metadata}

    def __repr__(self) -> str:
        from .entries.show import show_fields

        return show_fields(type(self).__qualname__, self.fields())


def _make_dataclass(cls: type[Record]) -> None:
    """Turn ``cls`` into a dataclass whose fields are those of its instances."""
    dataclasses.dataclass(eq=False, repr=False)(cls)
    # Dataclasses list class variables too, which no instance has.
    cls.__dataclass_fields__ = {
        name: field
        for name, field in cls.__dataclass_fields__.items()
        if getattr(field, "_field_type", None) is not _CLASS_VARIABLE
    }
    # A default left on the class would hide a field that is still in the file.
    for field in dataclasses.fields(cls):
        if field.name in cls.__dict__:
            delattr(cls, field.name)


# No public function distinguishes a ClassVar from an InitVar, which subclasses need.
_CLASS_VARIABLE: object = getattr(dataclasses, "_FIELD_CLASSVAR", None)

_make_dataclass(Record)

_RESERVED = frozenset(
    {name for name in vars(Record) if not name.startswith("__")}
    | {"_metadata", "_pending", "_flat", "_declares_fields"}
)
