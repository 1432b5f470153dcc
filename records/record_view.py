"""RecordView and Branch: access to entries by name, looked up on access."""

from collections.abc import (
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ..config.html import FoldedHtml
from ..config.path import join
from ..config.plain.node import Node
from ..config.printable import printable
from ..config.short_text import first_names
from ..config.spelling import did_you_mean
from .entries.entries import Entries, leaf_value, path_index
from .entries.entry import Entry
from .entries.nodes import decode, entry_numbers, escape, tag_of
from .entries.part import below, part_below
from .entries.stored_wrappers import StoredWrappers
from .entries.wrapped_tensors import make_wrapper
from .entries.wrapper_forms import is_form, wrapper_in
from .nest import NodeOfLeaf, index_of_nest, is_nest, state_dict_within


class ReadByName:
    """The methods of a read-only mapping, over ``self[name]`` and iteration.

    An assignment is an error, since it would not change what is stored.
    """

    if TYPE_CHECKING:

        def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> KeysView[str]:
        """Return the names, in storage order."""
        return KeysView(self._mapping())

    def values(self) -> ValuesView[Any]:
        """Return the values, each read when it is reached."""
        return ValuesView(self._mapping())

    def items(self) -> ItemsView[str, Any]:
        """Return names and values, each read when it is reached."""
        return ItemsView(self._mapping())

    def get(self, name: str, default: object = None) -> Any:
        """Return the value at ``name``, or ``default`` if it is absent."""
        try:
            return self[name]
        except KeyError:
            return default

    def __setitem__(self, name: str, value: object) -> NoReturn:
        raise TypeError(_cannot_be_set(name))

    def __delitem__(self, name: str) -> NoReturn:
        raise TypeError(_cannot_be_removed(name))

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            raise AttributeError(_cannot_be_set(name), name=name, obj=self)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if not name.startswith("_"):
            raise AttributeError(_cannot_be_removed(name), name=name, obj=self)
        super().__delattr__(name)

    def _mapping(self) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", self)


def _unread(entries: Entries, name: str) -> str:
    """Return where ``name`` is, if the file has it beside the state dict."""
    file = entries.reading.file
    if name not in entries.reading.beside:
        return ""
    return (
        " It is stored next to the state dict, and only the state dict was "
        f"read: torch.load({file!r}, weights_only=True)[{name!r}]."
    )


def _cannot_be_set(name: object) -> str:
    return (
        f"{name!r} cannot be set: records are read-only. Change the module and save it "
        "again, or make a new record from other tensors: "
        "burnish.Record.from_state_dict({**record.to_state_dict(), path: tensor})"
    )


def _cannot_be_removed(name: object) -> str:
    return (
        f"{name!r} cannot be removed: records are read-only. Leave it out: "
        "record.select(exclude=...), or open_record(file, exclude=...)"
    )


class RecordView(ReadByName, FoldedHtml, Entries):
    """Entries read by name: as attributes, as items, and like a dict."""

    def __getitem__(self, path: str | int) -> Any:
        path = str(path)
        entry = self.entry_at(path)
        if entry is not None and not (self.is_typed and self._branch.has(path)):
            return entry.tensor()
        try:
            return self._branch.at(path)
        except KeyError:
            hint = _unread(self, path) or did_you_mean(path, path_index(self))
            raise KeyError(f"nothing is stored at {path!r}.{hint}") from None

    def __contains__(self, path: object) -> bool:
        return path in path_index(self) or self._branch.has(path)

    def __iter__(self) -> Iterator[str]:
        return iter(path_index(self))

    def __len__(self) -> int:
        return len(path_index(self))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._branch[name]
        except KeyError:
            hint = _unread(self, name) or _hint_of_record(name)
            hint = hint or did_you_mean(name, self._branch)
            raise AttributeError(
                f"the record has no {name!r}.{hint}", name=name, obj=self
            ) from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._branch]

    @property
    def _branch(self) -> "Branch":
        branch: Branch | None = self.__dict__.get("_branch_index")
        if branch is None:
            if is_nest(self):
                index = index_of_nest(self)
            else:
                index = index_of(self.entries(), self.tree, typed=self.is_typed)
            branch = self.__dict__["_branch_index"] = Branch(index, self)
        return branch

    def _nested(self, node: Node, path: str) -> object:
        """Return the record that ``node``, which is at ``path``, contains."""
        raise NotImplementedError


def _hint_of_record(name: str) -> str:
    """Return the equivalent in a record of other classes' method ``name``."""
    if hasattr(dict, name):
        return (
            " A record is not a dict, and is read-only. Use to_data() for a "
            "dict of it, or to_state_dict() for only its tensors."
        )
    if name == "to_dict":
        return " Use to_data(), or to_state_dict() for only the tensors."
    return " It is to_state_dict()." if name == "state_dict" else ""


def _hint_of_part(name: str, nest_path: str | None) -> str:
    """Return the equivalent in a part of other classes' method ``name``.

    ``nest_path`` is its path in nested data, None in the entries of a module.
    """
    if name in ("to_data", "to_dict") or hasattr(dict, name):
        if nest_path is not None:
            return (
                " A part of a record is not a dict: open_record(file).to_data() "
                f"has one at {nest_path!r}."
            )
        name = "to_state_dict"
    if name == "state_dict":
        name = "to_state_dict"
    if name in ("to_state_dict", "save", "select"):
        return f" Make the part a record first: burnish.open_record(part).{name}(...)."
    return ""


class Branch(ReadByName, FoldedHtml):
    """The part of a record below one name, by attribute, item or path."""

    def __init__(
        self, index: dict[str, Any], record: RecordView, parts: tuple[str, ...] = ()
    ) -> None:
        self._index, self._record, self._parts = index, record, parts

    @property
    def _path(self) -> str:
        return ".".join(self._parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # An open file cannot be copied: a part's copy contains its values.
        return _branch_at, (self._record_around(), self._parts)

    def at(self, path: str) -> Any:
        """Return the value at the dotted ``path``; KeyError if there is none."""
        item: Any = self._index
        parts = names_on_path(path)
        for part in parts:
            if not isinstance(item, dict) or part not in item:
                raise KeyError(f"nothing is stored at {path!r}{self._neighbors()}")
            item = item[part]
        return self._value(item, parts)

    def has(self, path: object) -> bool:
        """Return whether there is a value at ``path``."""
        item: Any = self._index
        for part in names_on_path(path) if isinstance(path, str) else [""]:
            if not isinstance(item, dict) or part not in item:
                return False
            item = item[part]
        return True

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, int) and key < 0:
            key += len(self)
        key = str(key)
        if key not in self._index:
            return self.at(key)
        return self._value(self._index[key], [key])

    def __getattr__(self, name: str) -> Any:
        if "_index" not in self.__dict__:
            # A copy begins empty, and is asked for methods that it may have.
            raise AttributeError(name)
        if name.startswith("__") or name not in self._index:
            nest_path = self._path if is_nest(self._record) else None
            hint = _hint_of_part(name, nest_path) or did_you_mean(name, self._index)
            raise AttributeError(
                f"nothing is stored at {name!r}{self._neighbors()}{hint}"
            )
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, path: object) -> bool:
        return self.has(path)

    def __dir__(self) -> list[str]:
        return list(self._index)

    def __repr__(self) -> str:
        return f"<branch with {printable(first_names(self._index, 8))}>"

    def _neighbors(self) -> str:
        """Return the available names, for an error."""
        where = f" below {self._path!r}" if self._path else ""
        names = [*self._index]
        return f"{where}; stored there: {first_names(names, 8)}."

    def _value(self, item: object, parts: Sequence[str]) -> Any:
        if isinstance(item, dict):
            return Branch(item, self._record, (*self._parts, *parts))
        if isinstance(item, Entry):
            return item.tensor()
        if isinstance(item, _PlainNode):
            return self._plain_value(item.node, join(self._path, *parts))
        if isinstance(item, NodeOfLeaf):
            return self._leaf(item.tag, item.number)
        return item

    def _plain_value(self, node: Node, path: str) -> object:
        """Return the value of ``node``: plain data, or a wrapper tensor."""
        wrap = partial(make_wrapper, file=self._record.reading.file)
        value = decode(node, self._leaf, wrap, self._nested)
        if is_form(value) and not self._record.is_typed:
            return StoredWrappers(self._record).tensor(path, Entry.tensor)
        return value

    def _leaf(self, tag: str, number: int) -> object:
        return leaf_value(self._record.entries(), tag, number)

    def _nested(self, node: Node) -> object:
        return self._record._nested(node, self._path)  # pyright: ignore[reportPrivateUsage]  # a part of it

    def _record_around(self) -> RecordView:
        """Return the record that contains the branch, reduced to what is below it.

        Of a record with declared fields it is the whole, as its fields refer to all of
        the record's tensors by number.
        """
        record, path = self._record, self._path
        return record if record.is_typed or not path else below(record, path)

    def _as_record(self) -> RecordView:
        """Return the branch as a record, with names relative to it."""
        if is_nest(self._record):
            return state_dict_within(self._record, self._parts)
        return part_below(self._record, self._path)


def _branch_at(record: RecordView, parts: tuple[str, ...]) -> Branch:
    branch = record._branch  # pyright: ignore[reportPrivateUsage]  # a part of it
    for part in parts:
        branch = branch[part]
    return branch


def plain_leaves(record: RecordView) -> Iterator[tuple[str, Any]]:
    """Yield the plain data of ``record``, value by value, each with its path.

    Lists, tuples and dicts are traversed, as in paths, and an empty one is a value; no
    tensor, array or bytes are read. Of a record with declared fields that holds others,
    theirs are included.
    """
    if record.is_typed or is_nest(record):
        branch = record._branch  # pyright: ignore[reportPrivateUsage]  # a part of it
    else:
        # A module's tensors, which may be hundreds of thousands, are not looked at.
        branch = Branch(index_of((), record.tree, typed=False), record)
    waiting: list[tuple[str, Any]] = [("", branch._index)]  # pyright: ignore[reportPrivateUsage]  # as above
    while waiting:
        path, item = waiting.pop()
        if path and item == {}:
            yield path, item
        elif isinstance(item, dict):
            children = [(join(path, escape(key)), item[key]) for key in item]
            waiting += reversed(children)
        elif isinstance(item, _PlainNode):
            if not [*entry_numbers(item.node)]:
                yield path, branch._value(item, [])  # pyright: ignore[reportPrivateUsage]  # as above
        elif not isinstance(item, Entry | NodeOfLeaf):
            yield path, item


def entries_of_branch(branch: Branch) -> Entries:
    """Return the content of ``branch`` as a record, with names relative to it."""
    return branch._as_record()  # pyright: ignore[reportPrivateUsage]  # a part of it


class _PlainNode:
    """A node at the end of a path."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node


def index_of(entries: Sequence[Entry], tree: Node, *, typed: bool) -> dict[str, Any]:
    """Return nested dicts by components of paths, with entries and nodes as leaves."""
    index: dict[str, Any] = {}
    if typed:
        nested = _nested(tree)
        return nested if isinstance(nested, dict) else {"": nested}
    for entry in entries:
        if entry.kind != "extra":
            for path in (entry.path, *entry.ties):
                _put(index, path, entry)
    for path, node in (tree or {}).items():
        _put(index, path, _PlainNode(node))
    return index


def names_on_path(path: str) -> list[str]:
    """Return the components of a path; a backslash escapes the dot after it."""
    if "\\" not in path:
        return path.split(".")
    parts, part, it = list[str](), "", iter(path)
    for char in it:
        if char == "\\":
            char = next(it, "")
            part += _ESCAPED.get(char, char)
        elif char == ".":
            parts.append(part)
            part = ""
        else:
            part += char
    return [*parts, part]


_ESCAPED = {"e": "", "0": "\0"}
"""An empty key and a NUL are escaped by a letter, any other character by itself."""


def _put(index: dict[str, Any], path: str, leaf: object) -> None:
    *parents, name = path.split(".")
    for part in parents:
        child = index.get(part)
        if not isinstance(child, dict):
            # The value at a path that is a prefix of others is the child without a
            # name.
            child = index[part] = {} if child is None else {"": child}
        index = child
    index[name] = leaf


def _nested(node: Node) -> Any:
    if isinstance(node, list):
        return {str(i): _nested(item) for i, item in enumerate(node)}
    if not isinstance(node, dict):
        return _PlainNode(node)
    wrapper = wrapper_in(node)
    if wrapper is not None:
        return {name: _nested(part) for name, part in wrapper[1].items()}
    tag, content = tag_of(node)
    if tag is None:
        return {key: _nested(item) for key, item in content.items()}
    if tag == "$record":
        return {key: _nested(item) for key, item in content[1].items()}
    if tag == "$tuple":
        return {str(i): _nested(item) for i, item in enumerate(content)}
    if tag == "$dict":
        return {key: _nested(item) for key, item in content}
    return _PlainNode(node)
