"""Sample files that a class of an old schema may have written, with their meaning."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..encode import to_plain
from ..rewriting import schema_types as t
from ..tree import NamedStruct, is_dict, is_items

_ANYTHING = (3, "text", 1.5, True, None, [3], {"k": 3})

_TEXTS: Mapping[str, tuple[object, ...]] = {
    "int": (3, 0, -1, 250),
    "float": (1.5, 0.0, -2.5),
    "str": ("text", ""),
    "bool": (True, False),
    "Any": _ANYTHING,
    "object": _ANYTHING,
    "None": (None,),
    "bytes": ("text",),
    "date": ("2020-01-02",),
    "datetime": ("2020-01-02T03:04:05",),
    "time": ("03:04:05",),
    "timedelta": ("P1DT1S",),
    "Decimal": ("1.5",),
    "UUID": ("12345678-1234-5678-1234-567812345678",),
    "Path": ("a/b",),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One tree that a file of the old class may hold."""

    tree: object
    """As in RON, which names structs."""

    meaning: object
    """The same tree with every default written out."""

    bare: object
    """As in JSON and YAML, where fields determine the struct among several.

    Names and tuples are still in it; the names are those that the fields determine.
    """


def samples_of(schema: t.Struct) -> list[Sample]:
    """Return files that together show every kind of value of every field.

    Fields vary simultaneously, so that there are few files instead of their product. No
    file is returned for a struct with a required field whose values are unknown.
    """
    slots = {name: _of(below.type) for name, below in schema.fields.items()}
    required = {n for n, f in schema.fields.items() if not can_be_absent(f)}
    if any(not slots[name] for name in required):
        return []
    known_names = [name for name, samples in slots.items() if samples]
    n_full = max((len(slots[name]) for name in known_names), default=0)
    # Few fields, every other field, and all: each optional field is once present and
    # once absent, in a number of files that does not grow with the number of fields.
    choices = [required, *(set(known_names[i::2]) | required for i in (0, 1))]
    choices += [set(known_names)] * n_full
    return [
        _file(
            schema, {n: slots[n][i % len(slots[n])] for n in known_names if n in names}
        )
        for i, names in enumerate(choices)
    ]


def _of(kind: t.Type) -> list[Sample]:
    """Return samples of ``kind``, none if its values are unknown."""
    match kind:
        case t.Primitive(name):
            return [_value(text) for text in _TEXTS.get(name, ())]
        case t.Literal(values):
            return [_value(value) for value in values]
        case t.Enum(_, variants):
            return [_value(value) for value in variants.values()]
        case t.Option(inner):
            return [_value(None), *_of(inner)]
        case t.Union(inner):
            return [
                replace(sample, bare=_as_first_alike(part, inner, sample.meaning))
                for part in inner
                for sample in _of(part)
            ]
        case t.Struct():
            return samples_of(kind)
        case t.List(inner):
            items = _of(inner)
            # A repeated item shows whether repetitions are kept.
            twice = items[:1] if kind.is_set is False else []
            return [_value([]), *([_join(list, [*items, *twice])] if items else [])]
        case t.Dict(key, inner):
            return _dicts(key, _of(inner))
        case t.Tuple(kinds):
            return _side_by_side([_of(part) for part in kinds], tuple)
        case _:
            return []  # a struct inside itself, whose fields are shown one level up


def _as_first_alike(kind: t.Type, kinds: Sequence[t.Type], meaning: object) -> object:
    """Return a value of ``kind`` as the first of ``kinds`` that has its fields.

    Without names a file denotes that one, and no other can be written.
    """
    if not isinstance(kind, t.Struct) or not is_dict(meaning):
        return meaning
    types = _types_of(kind)
    alike = (k for k in kinds if isinstance(k, t.Struct) and _types_of(k) == types)
    return NamedStruct(next(alike, kind).name, meaning)


def _types_of(struct: t.Struct) -> dict[str, t.Type]:
    return {name: below.type for name, below in struct.fields.items()}


def _dicts(kind: t.Type, items: list[Sample]) -> list[Sample]:
    keys = _of(kind) if is_key(kind) else []
    if kind in (t.Primitive("Any"), t.Primitive("object")):
        keys = keys[:2]  # the others cannot be keys, or are strings in JSON
    if kind == t.Primitive("str"):
        # As many keys as values, so that each value appears in one file.
        keys = [_value(f"k{i}") for i in range(len(items))]
    starts = range(0, len(items), len(keys)) if keys else ()
    return [_value({}), *(_dict(keys, items[start:]) for start in starts)]


def _dict(keys: list[Sample], items: list[Sample]) -> Sample:
    pairs = list(zip(keys, items, strict=False))
    return Sample(
        {key.tree: item.tree for key, item in pairs},
        {key.meaning: item.meaning for key, item in pairs},
        {key.bare: item.bare for key, item in pairs},
    )


def is_key(kind: t.Type) -> bool:
    """Return whether a file's dicts may have keys of this type."""
    match kind:
        case t.Option(inner):
            return is_key(inner)
        case t.Tuple(kinds) | t.Union(kinds):
            return all(map(is_key, kinds))
        case _:
            return isinstance(kind, t.Primitive | t.Literal | t.Enum)


def _value(value: object) -> Sample:
    return Sample(value, value, value)


def can_be_absent(field: t.Field) -> bool:
    """Return whether a file may omit the field."""
    return field.is_optional is True or has_value_if_absent(field)


def has_value_if_absent(field: t.Field) -> bool:
    """Return whether the field has a value when a file omits it."""
    is_of_class = field.is_optional is None
    return is_of_class and (field.has_default or is_built_anyway(field.type))


def is_built_anyway(kind: t.Type) -> bool:
    """Return whether a missing struct of this type is created from its defaults."""
    if not isinstance(kind, t.Struct):
        return False
    return all(map(has_value_if_absent, kind.fields.values()))


def meaning_of(kind: t.Type, tree: object) -> object:
    """Return ``tree`` with the defaults of the structs in it written out."""
    match kind:
        case t.Option(inner):
            return None if tree is None else meaning_of(inner, tree)
        case t.Struct() if is_dict(tree):
            filled = NamedStruct(kind.name)
            if kind.version is not None:
                filled["version"] = kind.version
            for name, below in kind.fields.items():
                if name in tree:
                    filled[name] = meaning_of(below.type, tree[name])
                elif has_value_if_absent(below):
                    filled[name] = meaning_if_absent(below)
            return filled
        case t.List(inner) if is_items(tree):
            return [meaning_of(inner, item) for item in tree]
        case t.Tuple(kinds) if is_items(tree) and len(tree) == len(kinds):
            return tuple(map(meaning_of, kinds, tree))
        case t.Dict(_, inner) if is_dict(tree):
            return {key: meaning_of(inner, item) for key, item in tree.items()}
        case _:
            return tree


def meaning_if_absent(field: t.Field) -> object:
    """Return the meaning of a file that omits the field, with all defaults."""
    return meaning_of(field.type, field.default if field.has_default else {})


def is_known(kind: t.Type) -> bool:
    """Return whether samples show every kind of value of this type."""
    match kind:
        case t.Primitive(name):
            return name in _TEXTS
        case t.Option(inner) | t.List(inner):
            return is_known(inner)
        case t.Dict(key, inner):
            return is_key(key) and is_known(key) and is_known(inner)
        case t.Tuple(kinds) | t.Union(kinds):
            return all(map(is_known, kinds))
        case t.Struct():
            return all(is_known(below.type) for below in kind.fields.values())
        case _:
            return True


def as_json(sample: Sample) -> Sample:
    """Return the sample as in JSON and YAML: without names of structs and tuples."""
    bare, meaning = to_plain(sample.bare), to_plain(sample.meaning)
    return Sample(bare, meaning, bare)


def _file(schema: t.Struct, chosen: Mapping[str, Sample]) -> Sample:
    tree, meaning, bare = (NamedStruct(schema.name) for _ in range(3))
    if schema.version is not None:
        tree["version"] = meaning["version"] = bare["version"] = schema.version
    for name, below in schema.fields.items():
        if name in chosen:
            tree[name], meaning[name] = chosen[name].tree, chosen[name].meaning
            bare[name] = chosen[name].bare
        elif has_value_if_absent(below):
            meaning[name] = meaning_if_absent(below)
    return Sample(tree, meaning, bare)


def _join(make: Callable[[Iterable[object]], object], items: list[Sample]) -> Sample:
    return Sample(
        make(item.tree for item in items),
        make(item.meaning for item in items),
        make(item.bare for item in items),
    )


def _side_by_side(
    slots: list[list[Sample]], make: Callable[[Iterable[object]], object]
) -> list[Sample]:
    if not all(slots):
        return []
    n_rows = max(map(len, slots), default=1)
    rows = [[samples[i % len(samples)] for samples in slots] for i in range(n_rows)]
    return [_join(make, row) for row in rows]
