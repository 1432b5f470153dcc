"""FlatRecord: a record as users see it, from modules and from files."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack, overload

from ..config.plain.node import Node
from ..config.process.user_warning import warn_user
from ..config.short_text import first_names, with_article
from .calls import explain_calls
from .entries.encoder import Encoder, Storable
from .entries.entries import Entries, Reading
from .entries.entry import Entry
from .entries.nested import nested_entries, nested_node
from .entries.nested_data import extra_state
from .entries.show import show_entries
from .entries.state_dict import record_of_state_dict, state_dict_of
from .nest import data_of, state_dict_within
from .readable import Readable, entries_in
from .record_view import RecordView
from .record_writer import SaveOptions
from .sharded.saving import save_record_to

if TYPE_CHECKING:
    from torch import Tensor

    from .io.sink import Destination, File

R = TypeVar("R", bound=Storable)


class FlatRecord(RecordView, Storable):
    """A record without declared fields: entries by path, plain data beside them.

    `rec.layers[0].weight` and `rec["layers.0.weight"]` are the same tensor. It can be
    read like a dict from paths to tensors, too: ``dict(rec)``, ``rec.items()``.
    """

    _of_class: ClassVar[tuple[str, Callable[[], dict[str, Any]]]] = ("", dict)
    """The name of a module's record, and the current versions of its classes."""

    def __init__(
        self, parts: Mapping[str, object] | None = None, /, **named: object
    ) -> None:
        """Assemble a record: ``Net.Record(encoder=..., scale=tensor)``.

        A part is a tensor (a Parameter is a parameter), the record of a module or a
        part of one (``record.encoder``), a dict of parts, or plain data for extra
        state; ``parts`` accepts names with dots. Tensors are shared, and ties are
        found.

        Named arguments are in the form of today's class; records know their versions.
        The names are compared with a module when it is loaded. TypeError names the path
        of a value that is not a part, and ValueError a name that is given twice.
        """
        type_name, metadata = self._of_class
        if parts is not None and (
            isinstance(parts, Storable) or not isinstance(parts, Mapping)  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        ):
            raise TypeError(
                "a record is assembled from named parts, as in "
                f"{type_name or 'Flat'}Record(weight=tensor); got "
                f"{with_article(type(parts).__qualname__)}"
            )
        from .assembly import assembled

        entries = assembled({**(parts or {}), **named}, type_name, metadata())
        vars(self)["_flat"] = entries._content

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, object]) -> "FlatRecord":
        """Return the record of a torch state dict; its tensors are shared."""
        return flat_record(record_of_state_dict(state_dict))

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
        return FlatRecord.of(
            entries, tree=tree, metadata=metadata, type_name=type_name, typed=False
        )

    @classmethod
    @explain_calls("Record.load(file{})", "read", is_home=False)
    def load(cls, file: Readable) -> Self:
        """Return the record in ``file``; each tensor is read and verified on access.

        Raises `RecordError` for a damaged file.
        """
        return cls._of_entries(entries_in(file))

    @overload
    def save(self, **options: Unpack[SaveOptions]) -> bytes: ...
    @overload
    def save(self, file: "File", **options: Unpack[SaveOptions]) -> None: ...
    def save(
        self, file: "Destination" = ..., **options: Unpack[SaveOptions]
    ) -> bytes | None:
        """Write the record to ``file``, or return it as bytes if that is omitted.

        The suffix names the format unless a recorder does. Tensors are converted to
        ``precision`` chunk by chunk while writing. A failed save keeps the old file.
        The options are those of `SaveOptions`. Raises `PrecisionError` for a finite
        value that would become infinite, and warns about other content of the torch
        file from which the record was read.
        """
        data = save_record_to(self, file, **options)
        _warn_of_unread(self.reading)
        return data

    def flat(self) -> "FlatRecord":
        """Return the record itself."""
        return self

    def fields(self) -> dict[str, Any]:
        """Return the first level of the record by name."""
        return {name: self._branch[name] for name in self._branch}

    def extra(self) -> dict[str, Any]:
        """Return a module's extra state by path, decoded; empty for other records."""
        return extra_state(self)

    def typed(self, cls: type[R]) -> R:
        """Return the record as ``cls``; fields are checked now, read on access."""
        return cls._of_entries(self)

    def to_state_dict(self) -> "dict[str, Tensor]":
        """Return torch's state dict: path to tensor, without non-persistent buffers.

        The tensors are those of the record; a tied tensor is at every path, its further
        paths after its first, where torch has each in its module.
        """
        return state_dict_of(state_dict_within(self))

    def to_data(self) -> Any:
        """Return the saved plain data and tensors, each read and verified.

        For `save_record(value)` it is the value, for a module its state dict, for
        declared fields a dict of them. The tensors are those of the record. Raises
        `RecordError` for damage.
        """
        return data_of(self)

    def __repr__(self) -> str:
        return show_entries(self)

    def _encode_into(self, encoder: Encoder, path: str, depth: int) -> Node:
        return nested_node(self, encoder, path)

    @classmethod
    def _of_entries(cls, entries: Entries) -> Self:
        return entries if isinstance(entries, cls) else cls._of(entries._content)

    def _nested(self, node: Node, path: str) -> "FlatRecord":
        return nested_record(node, self, path)


def flat_record(entries: Entries) -> FlatRecord:
    """Return the user's record over ``entries``."""
    return FlatRecord._of_entries(entries)  # pyright: ignore[reportPrivateUsage]  # for the library


def nested_record(node: Node, record: Entries, path: str) -> FlatRecord:
    """Return the record at ``path`` in ``record``, where no field declares its type.

    Raises `RecordMismatchError` for a node that is not a record.
    """
    return flat_record(
        nested_entries(node, record.entries(), record.reading.file, path)
    )


def _warn_of_unread(reading: Reading) -> None:
    """Warn about content that is not saved, as it was not read, unless chosen so."""
    if reading.beside and reading.only is None:
        warn_user(
            f"only the state dict of {reading.file!r} is saved, not the rest of "
            f"the file: {first_names(reading.beside, 8)}. "
            f"burnish.save_record(torch.load({reading.file!r}, "
            "weights_only=True), file) saves all of it"
        )
