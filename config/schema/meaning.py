"""Checks whether the value read from an old file is the one in the file."""

import datetime
import enum
from collections.abc import Iterator, Set

from ..classes.declared_types import item_type, sequence_in
from ..classes.fields import is_struct_value, mapping_in, stored_fields, structs_in
from ..classes.keyed_types import typed_keys
from ..encode import encode
from ..path import item_index
from ..rewriting import schema_types as t
from ..tree import NamedStruct, is_dict, is_items, is_mapping_value

Path = tuple[str, ...]

_TIMES = (datetime.date, datetime.time, datetime.timedelta)

LOST = object()
"""Marks an item that a container no longer has."""


def expected(
    kind: t.Type, tree: object, path: Path
) -> Iterator[tuple[Path, t.Type, object]]:
    """Yield the values in ``tree`` that are known to have to stay the same."""
    match kind:
        case t.Option(inner) if tree is not None:
            yield from expected(inner, tree, path)
        case t.Struct() if is_dict(tree):
            yield path, kind, tree
            for name, below in kind.fields.items():
                if name in tree:
                    yield from expected(below.type, tree[name], (*path, name))
        case t.Union(kinds) if isinstance(tree, NamedStruct):
            namesakes = (
                k for k in kinds if isinstance(k, t.Struct) and k.name == tree.name
            )
            yield path, kind, tree
            for struct in namesakes:
                yield from expected(struct, tree, path)
        case t.List(inner) if is_items(tree):
            yield path, kind, tree
            for i, item in enumerate(tree):
                yield from expected(inner, item, (*path, str(i)))
        case t.Tuple(kinds) if is_items(tree):
            yield path, kind, tree
            for i, (part, item) in enumerate(zip(kinds, tree, strict=False)):
                yield from expected(part, item, (*path, str(i)))
        case t.Dict(_, inner) if is_dict(tree):
            for key, item in tree.items():
                yield from expected(inner, item, (*path, str(key)))
        case t.Primitive() | t.Enum() | t.Literal() | t.Union():
            yield path, kind, tree
        case _:
            return


def value_at(
    value: object, annotation: object, path: Path
) -> tuple[object, object] | None:
    """Return the value at ``path`` in an object, and its declared type."""
    for name in path:
        if is_struct_value(value):
            fields = stored_fields(type(value))
            field = next((f for f in fields if name in f.names), None)
            if field is None:
                return None
            value, annotation = getattr(value, field.attribute), field.annotation
        elif is_mapping_value(value):
            # Keys were converted by their class, while the path has them as strings.
            key = next((k for k in value if name in (str(k), str(encode(k)))), name)
            mapping = mapping_in(annotation)
            declared = typed_keys(mapping)
            if declared is not None and key not in declared:
                return None
            value = value.get(key, LOST)
            annotation = item_type(mapping, key)
        elif is_items(value) and (i := item_index(name)) is not None:
            value = value[i] if i < len(value) else LOST
            annotation = item_type(sequence_in(annotation), i)
        else:
            return None
    return value, annotation


def means(kind: t.Type, tree: object, value: object, annotation: object) -> bool:
    """Return whether ``value`` means what ``tree`` meant, as far as comparable."""
    if value is LOST:
        return False
    if is_items(tree) and isinstance(value, Set):
        return len(value) == len(tree)
    if isinstance(kind, t.Struct):
        names = [struct.__name__ for struct in structs_in(annotation)]
        return kind.name not in names or type(value).__name__ == kind.name
    if isinstance(kind, t.Union) and isinstance(tree, NamedStruct):
        # A class with another name may be a renamed one, but not another member.
        siblings = {k.name for k in kind.members if isinstance(k, t.Struct)}
        return type(value).__name__ not in siblings - {tree.name}
    if isinstance(kind, t.Enum) and isinstance(value, enum.Enum):
        return _is_one_member(kind, tree, value)
    if isinstance(tree, int | float) and isinstance(value, _TIMES):
        return False  # the unit and the epoch of the number are unknown
    if isinstance(tree, int | float) and isinstance(value, int | float):
        # In Python True equals the number 1, but 1 in a file never meant True.
        is_bool = isinstance(value, bool) and not isinstance(tree, bool)
        return not is_bool and (tree == value or tree != tree)
    if isinstance(tree, str) and isinstance(value, str):
        return tree == str(value) or isinstance(value, enum.Enum)
    return True


def _is_one_member(old_enum: t.Enum, tree: object, member: enum.Enum) -> bool:
    """Return whether an old value is read as its member, or as a renamed one."""
    names = {
        n for n, v in old_enum.variants.items() if v == tree and type(v) is type(tree)
    }
    if member.name in names:
        return True
    are_gone = not names & type(member).__members__.keys()
    return are_gone and member.name not in old_enum.variants
