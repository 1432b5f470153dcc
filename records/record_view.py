"""Branch: the typed view of a record, made when someone touches it."""

from collections.abc import (
    Callable,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from typing import TYPE_CHECKING, Any, NoReturn, cast

from ..config.path import did_you_mean
from .arrays import array_of_tensor
from .entry import Entry
from .nodes import Node, decode, tag_of

if TYPE_CHECKING:
    from .flat_record import FlatRecord

Leaf = Callable[[str, int], object]


class ReadByName:
    """The methods of a mapping that only shows, over ``self[name]`` and iteration.

    An assignment is an error, since nothing of what is stored would change.
    """

    if TYPE_CHECKING:

        def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> KeysView[str]:
        """Return the names, in the order in which they are stored."""
        return KeysView(self._mapping())

    def values(self) -> ValuesView[Any]:
        """Return what stands at the names, each read when it is reached."""
        return ValuesView(self._mapping())

    def items(self) -> ItemsView[str, Any]:
        """Return names and what stands there, each read when it is reached."""
        return ItemsView(self._mapping())

    def get(self, name: str, default: Any = None) -> Any:
        """Return what stands at ``name``, or ``default`` if nothing does."""
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


def _cannot_be_set(name: object) -> str:
    return (
        f"{name!r} cannot be set: a record shows what is stored. Change the module and "
        "save it again, or make another record from other tensors: "
        "burnish.Record.from_state_dict({**record.to_state_dict(), path: tensor})"
    )


def _cannot_be_removed(name: object) -> str:
    return (
        f"{name!r} cannot be removed: a record shows what is stored. Leave it out: "
        "record.select(exclude=...), or open_record(file, exclude=...)"
    )


class Branch(ReadByName):
    """What stands below one name of a record, by attribute, item or path."""

    def __init__(
        self,
        index: dict[str, Any],
        leaf: Leaf,
        whole: "FlatRecord",
        parts: tuple[str, ...] = (),
    ) -> None:
        self._index, self._leaf, self._whole, self._parts = index, leaf, whole, parts

    @property
    def _path(self) -> str:
        return ".".join(self._parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # An open file cannot be copied: a part takes along the values that it shows.
        return _branch_at, (_record_around(self), self._parts)

    def at(self, path: str) -> Any:
        """Return what stands at the dotted ``path``; KeyError if nothing does."""
        found: Any = self._index
        parts = split(path)
        for part in parts:
            if not isinstance(found, dict) or part not in found:
                raise KeyError(f"nothing is stored at {path!r}{self._there()}")
            found = found[part]
        return self._value(found, parts)

    def has(self, path: object) -> bool:
        """Return whether anything stands at ``path``."""
        found: Any = self._index
        for part in split(path) if isinstance(path, str) else [""]:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
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
            hint = did_you_mean(name, self._index)
            raise AttributeError(f"nothing is stored at {name!r}{self._there()}{hint}")
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
        return f"<branch with {', '.join(self._index)}>"

    def _there(self) -> str:
        where = f" below {self._path!r}" if self._path else ""
        names = [*self._index]
        more = ", ..." if len(names) > 8 else ""
        return f"{where}; there are {', '.join(names[:8])}{more}."

    def _value(self, found: Any, parts: Sequence[str]) -> Any:
        if isinstance(found, dict):
            return Branch(found, self._leaf, self._whole, (*self._parts, *parts))
        if isinstance(found, Entry):
            return found.tensor()
        if isinstance(found, _Plain):
            return decode(found.node, self._leaf, self._record)
        return found

    def _record(self, node: Any) -> "FlatRecord":
        from .nested import nested_record

        return nested_record(node, self._whole, self._whole.reading.file, self._path)


def _record_around(branch: Branch) -> "FlatRecord":
    """Return the record that ``branch`` is in, with what is below it alone.

    Of a record with declared fields it is the whole, whose fields count its tensors.
    """
    from .part import below

    whole, path = branch._whole, branch._path  # pyright: ignore[reportPrivateUsage]  # a name of a module may be any public one
    return whole if whole.is_typed or not path else below(whole, path)


def _branch_at(whole: "FlatRecord", parts: tuple[str, ...]) -> Branch:
    branch = whole._branch  # pyright: ignore[reportPrivateUsage]  # a name of a module may be any public one
    for part in parts:
        branch = branch[part]
    return branch


def record_of(branch: Branch) -> "FlatRecord":
    """Return what stands in ``branch`` as a record, under its names there."""
    from .part import part_of

    return part_of(branch._whole, branch._path)  # pyright: ignore[reportPrivateUsage]  # a name of a module may be any public one


class _Plain:
    """A node at the end of a path."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node


def index_of(entries: Sequence[Entry], tree: Node, *, typed: bool) -> dict[str, Any]:
    """Return nested dicts by part of path; at their ends entries and nodes."""
    index: dict[str, Any] = {}
    if typed:
        nested = _nested(tree)
        return nested if isinstance(nested, dict) else {"": nested}
    for entry in entries:
        if entry.kind != "extra":
            for path in (entry.path, *entry.ties):
                _put(index, path, entry)
    for path, node in (tree or {}).items():
        _put(index, path, _Plain(node))
    return index


def leaf_value(entries: list[Entry], tag: str, number: int) -> object:
    """Return entry ``number`` as the tensor, array or bytes that its tag says."""
    entry = entries[number]
    tensor = entry.tensor()
    if tag == "$tensor":
        return tensor
    array = array_of_tensor(tensor, entry.path)
    return array.tobytes() if tag == "$bytes" else array


def split(path: str) -> list[str]:
    """Return the parts of a path; a backslash takes the dot after it into a part."""
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
"""An empty key and a NUL have a letter; every other character stands for itself."""


def _put(index: dict[str, Any], path: str, leaf: object) -> None:
    *parents, last = path.split(".")
    for part in parents:
        below = index.get(part)
        if not isinstance(below, dict):
            below = index[part] = {} if below is None else {"": below}
        index = below
    index[last] = leaf


def _nested(node: Node) -> Any:
    if isinstance(node, list):
        return {str(i): _nested(item) for i, item in enumerate(node)}
    if not isinstance(node, dict):
        return _Plain(node)
    tag, content = tag_of(node)
    if tag is None:
        return {key: _nested(item) for key, item in content.items()}
    if tag == "$record":
        return {key: _nested(item) for key, item in content[1].items()}
    if tag == "$tuple":
        return {str(i): _nested(item) for i, item in enumerate(content)}
    if tag == "$dict":
        return {key: _nested(item) for key, item in content}
    return _Plain(node)
