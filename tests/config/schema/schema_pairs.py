"""Pairs of an old and a new class, and what loading old files with the new one does.

Nothing here asks the schema checker: a pair is drawn as a description, changed in one
or two places, and both are made into classes; old objects that show every kind of
value are written by the old class and read by the new one.
"""

import copy
import dataclasses
import enum
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard, Union, cast

from burnish.config import ConfigError, DeleteField, Versioned, dumps, loads, ron
from burnish.config.classes.declared_types import members
from burnish.config.classes.fields import fields_of
from burnish.config.classes.fields import is_struct as is_struct_class
from burnish.config.encode import encode
from burnish.config.schema import SchemaChecker, Severity, schema_of
from burnish.config.tree import NamedStruct

FORMATS = ("json", "yaml", "ron")
NOTHING: Any = type("Nothing", (), {})
"""No default; a copy of it is itself."""


@dataclass
class Kind:
    """A type of a field, as a description that can be changed."""

    name: str
    """int float str bool literal enum option list dict tuple struct union."""

    inner: list["Kind"] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    """Of a literal or an enum, by name."""

    fields: dict[str, "Slot"] = field(default_factory=dict)
    label: str = ""
    """Of a struct or an enum: the name of its class."""


@dataclass
class Slot:
    """A field of a struct."""

    kind: Kind
    default: Any = NOTHING
    """As a tree that `value_of` understands: of a struct a dict of some fields."""


@dataclass
class Pair:
    """A class before and after, and how to tell whether a value means the same."""

    old: Kind
    new: Kind
    changes: list[str]
    renamed: dict[str, str]
    """Fields of the old class by path, with their new names."""

    retyped: set[str]
    """Paths at which the new value is of another kind."""

    dropped: set[str] = field(default_factory=set)
    """Renamed fields of which the checker said that they were removed."""


SCALARS: dict[str, list[Any]] = {
    "int": [3, 0, -1, 250],
    "float": [1.5, 0.0, -2.5, 1e10],
    "str": ["text", "a", ""],
    "bool": [True, False],
}


class Draw:
    """Draws descriptions; every struct and enum gets a name of its own."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.n_labels = rng, 0

    def label(self, what: str) -> str:
        self.n_labels += 1
        return f"{what}{self.n_labels}"

    def kind(self, depth: int) -> Kind:
        names = ["int", "float", "str", "bool", "literal", "enum"]
        if depth:
            names += ["option", "list", "dict", "tuple", "struct", "struct", "union"]
        name = self.rng.choice(names)
        if name == "literal":
            words = self.rng.sample(["a", "b", "c", "d"], self.rng.randint(1, 3))
            return Kind("literal", values={word: word for word in words})
        if name == "enum":
            return self.enum()
        if name in ("option", "list", "dict"):
            inner = self.kind(depth - 1)
            while name == "option" and inner.name == "option":
                inner = self.kind(depth - 1)
            return Kind(name, [inner])
        if name == "tuple":
            return Kind(name, [self.kind(depth - 1) for _ in range(2)])
        if name == "struct":
            return self.struct(depth - 1)
        if name == "union":
            first, second = self.struct(depth - 1), self.struct(depth - 1)
            for struct, tag in ((first, "a"), (second, "b")):
                literal = Kind("literal", values={tag: tag})
                struct.fields = {"kind": Slot(literal, tag), **struct.fields}
            return Kind(name, [first, second])
        return Kind(name)

    def enum(self) -> Kind:
        names = self.rng.sample(
            ["RED", "GREEN", "BLUE", "PINK"], self.rng.randint(2, 4)
        )
        as_text = self.rng.random() < 0.5
        values = {n: n.lower() if as_text else i + 1 for i, n in enumerate(names)}
        return Kind("enum", values=values, label=self.label("Enum"))

    def struct(self, depth: int, n_fields: int = 2) -> Kind:
        names = self.rng.sample(
            ["width", "depth", "rate", "mode", "inner", "parts", "label"], n_fields
        )
        fields: dict[str, Slot] = {}
        for name in names:
            kind = self.kind(depth)
            fields[name] = Slot(kind, self.default(kind))
        return Kind("struct", fields=fields, label=self.label("Struct"))

    def default(self, kind: Kind) -> Any:
        if self.rng.random() < 0.4:
            return NOTHING
        return self.rng.choice(trees(kind))


def trees(kind: Kind) -> list[Any]:
    """Return values of ``kind`` that together show every alternative in it."""
    if kind.name in SCALARS:
        return list(SCALARS[kind.name])
    if kind.name in ("literal", "enum"):
        return list(kind.values)
    inner = [trees(one) for one in kind.inner]
    if kind.name == "option":
        return [None, *inner[0]]
    if kind.name == "list":
        return [[], list(inner[0])]
    if kind.name == "dict":
        return [{}, {f"k{i}": tree for i, tree in enumerate(inner[0])}]
    if kind.name == "tuple":
        n_trees = max(map(len, inner))
        return [tuple(t[i % len(t)] for t in inner) for i in range(n_trees)]
    if kind.name == "union":
        return [(i, tree) for i, some in enumerate(inner) for tree in some]
    return _struct_trees(kind)


def _struct_trees(kind: Kind) -> list[Any]:
    slots = {name: trees(slot.kind) for name, slot in kind.fields.items()}
    n_trees = max(map(len, slots.values()), default=1)
    full = [
        {name: some[i % len(some)] for name, some in slots.items()}
        for i in range(n_trees)
    ]
    bare = {
        n: some[0] for n, some in slots.items() if kind.fields[n].default is NOTHING
    }
    # One field at a default while its neighbours are not, and the reverse.
    mixed = [
        {n: v for i, (n, v) in enumerate(full[-1].items()) if n in bare or i % 2 == odd}
        for odd in (0, 1)
    ]
    return [bare, *mixed, *full]


class Classes:
    """The classes that a description stands for."""

    def __init__(self, root: Kind, version: int = 0, rules: Any = ()) -> None:
        self.cache: dict[str, Any] = {}
        self.version, self.rules, self.root = version, rules, root
        self.cls = self.annotation(root)

    def annotation(self, kind: Kind) -> Any:
        if kind.name in SCALARS:
            return {"int": int, "float": float, "str": str, "bool": bool}[kind.name]
        if kind.name == "literal":
            return Literal[tuple(kind.values.values())]
        if kind.label and kind.label in self.cache:
            return self.cache[kind.label]
        if kind.name == "enum":
            functional: Any = enum.Enum
            made = functional(kind.label, kind.values)
            self.cache[kind.label] = made
            return made
        if kind.name == "struct":
            return self._struct(kind)
        inner: Any = [self.annotation(one) for one in kind.inner]
        if kind.name == "option":
            return inner[0] | None
        if kind.name == "list":
            return list[inner[0]]
        if kind.name == "dict":
            return dict[str, inner[0]]
        form: Any = tuple if kind.name == "tuple" else Union
        return form[tuple(inner)]

    def _struct(self, kind: Kind) -> Any:
        fields: list[Any] = []
        for name, slot in kind.fields.items():
            made = dataclasses.field()
            annotation = self.annotation(slot.kind)
            if slot.default is not NOTHING:

                def default(slot: Slot = slot) -> Any:
                    return self.value_of(slot.kind, slot.default)

                made = dataclasses.field(default_factory=default)
            fields.append((name, annotation, made))
        is_root = kind is self.root
        methods = {
            "version": classmethod(lambda cls: self.version),
            "upgrade_rules": classmethod(lambda cls: dict(self.rules)),
        }
        bases = (Versioned,) if is_root else ()
        # Of a module that is not there no source is looked for.
        namespace = {"__module__": "drawn"} | (methods if is_root else {})
        made = dataclasses.make_dataclass(
            kind.label, fields, bases=bases, namespace=namespace, kw_only=True
        )
        self.cache[kind.label] = made
        return made

    def value_of(self, kind: Kind, tree: Any) -> Any:
        if kind.name in SCALARS or tree is None:
            return tree
        if kind.name == "literal":
            return kind.values[tree]
        if kind.name == "enum":
            return self.annotation(kind)[tree]
        if kind.name == "option":
            return self.value_of(kind.inner[0], tree)
        if kind.name == "list":
            return [self.value_of(kind.inner[0], item) for item in tree]
        if kind.name == "dict":
            return {k: self.value_of(kind.inner[0], item) for k, item in tree.items()}
        if kind.name == "tuple":
            return tuple(map(self.value_of, kind.inner, tree))
        if kind.name == "union":
            i, inner = tree
            return self.value_of(kind.inner[i], inner)
        values = {n: self.value_of(kind.fields[n].kind, t) for n, t in tree.items()}
        return self.annotation(kind)(**values)


@dataclass
class Place:
    """A field somewhere in a description, or the type of its items."""

    owner: Kind
    name: str
    path: str


def places(kind: Kind, path: str = "") -> Iterator[Place]:
    for name, slot in kind.fields.items():
        here = f"{path}.{name}"
        yield Place(kind, name, here)
        yield from places(slot.kind, here)
    for one in kind.inner:
        yield from places(one, path)


def kinds_within(kind: Kind) -> Iterator[Kind]:
    yield kind
    for one in kind.inner:
        yield from kinds_within(one)


def draw_pair(seed: int) -> Pair:
    """Return a pair of classes that differ in one or two places, at any depth."""
    rng = random.Random(seed)
    draw = Draw(rng)
    old = draw.struct(rng.choice([0, 1, 1, 2, 3]), n_fields=rng.randint(2, 3))
    pair = Pair(old, copy.deepcopy(old), [], {}, set())
    for _ in range(rng.choice([1, 1, 1, 2])):
        _change(pair, draw)
    _drop_stale_defaults(pair.new)
    before = {place.path: place.owner.fields[place.name] for place in places(pair.old)}
    for place in places(pair.new):
        slot = before.get(place.path)
        # One change may have taken another one back: then its values mean the same.
        new = place.owner.fields[place.name].kind
        if slot is not None and _as_in_files(slot.kind) == _as_in_files(new):
            pair.retyped.discard(place.path)
    return pair


def _as_in_files(kind: Kind) -> Kind:
    """Return ``kind`` without the names of enums, of which files have members alone."""
    kind = copy.deepcopy(kind)
    for one in kinds_within(kind):
        if one.name == "enum":
            one.label = ""
    return kind


def _change(pair: Pair, draw: Draw) -> None:
    rng = draw.rng
    place = rng.choice(list(places(pair.new)))
    slot = place.owner.fields[place.name]
    kind = rng.choice(list(kinds_within(slot.kind)))
    actions = [*_FIELD_CHANGES, *_TYPE_CHANGES]
    rng.shuffle(actions)
    for action in actions:
        if action(pair, draw, place, slot, kind):
            pair.changes.append(f"{action.__name__.strip('_')} {place.path}")
            return


def _is_tag(place: Place) -> bool:
    return place.name == "kind"


def _add(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    added = draw.kind(1)
    place.owner.fields["extra"] = Slot(added, draw.default(added))
    return True


def _remove(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if _is_tag(place) or len(place.owner.fields) < 2:
        return False
    del place.owner.fields[place.name]
    return True


def _rename(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    new = f"{place.name}_{draw.rng.choice(['x', 'new'])}"
    if _is_tag(place) or new in place.owner.fields:
        return False
    place.owner.fields = {
        new if n == place.name else n: s for n, s in place.owner.fields.items()
    }
    pair.renamed[place.path] = new
    return True


def _redefault(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if _is_tag(place) or slot.default is NOTHING:
        return False
    slot.default = draw.rng.choice(trees(slot.kind))
    return True


def _undefault(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if _is_tag(place) or slot.default is NOTHING:
        return False
    slot.default = NOTHING
    return True


def _give_default(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if slot.default is not NOTHING:
        return False
    slot.default = draw.rng.choice(trees(slot.kind))
    return True


def _become(kind: Kind, other: Kind) -> None:
    kind.name, kind.inner, kind.values = other.name, other.inner, other.values
    kind.fields, kind.label = other.fields, other.label


def _retype(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if _is_tag(place):
        return False
    _become(kind, draw.kind(1))
    # Whether a default of another type means the old one nobody can say.
    slot.default = draw.default(slot.kind) if slot.default is NOTHING else NOTHING
    pair.retyped.add(place.path)
    return True


def _wrap(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if _is_tag(place):
        return False
    how = draw.rng.choice(["option", "list", "dict"])
    if any(one.name == "option" for one in kinds_within(slot.kind)) and how == "option":
        return False
    if how == "option" and kind is not slot.kind:
        return False
    _become(kind, Kind(how, [copy.copy(kind)]))
    if how != "option":
        slot.default = draw.default(slot.kind)
        pair.retyped.add(place.path)
    return True


def _unwrap(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if kind.name not in ("option", "list") or kind.inner[0].name == "option":
        return False
    is_option = kind.name == "option"
    _become(kind, kind.inner[0])
    slot.default = draw.default(slot.kind)
    if not is_option:
        pair.retyped.add(place.path)
    return True


def _widen(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if kind.name != "int":
        return False
    kind.name = "float"
    return True


def _narrow(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if kind.name != "float":
        return False
    kind.name = "int"
    slot.default = draw.default(slot.kind)
    pair.retyped.add(place.path)
    return True


def _revalue(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    """Put a variant first in an enum that counts, or swap values."""
    if kind.name != "enum":
        return False
    names = list(kind.values)
    if draw.rng.random() < 0.5:
        names = ["FIRST", *names]
        kind.values = {n: i + 1 for i, n in enumerate(names)}
    else:
        rotated = [kind.values[n] for n in names[1:] + names[:1]]
        kind.values = dict(zip(names, rotated, strict=True))
    return True


def _drop_variant(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if _is_tag(place) or kind.name not in ("enum", "literal") or len(kind.values) < 2:
        return False
    kind.values.popitem()
    slot.default = draw.default(slot.kind)
    return True


def _new_variant(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if kind.name not in ("enum", "literal") or _is_tag(place):
        return False
    kind.values["z"] = "z"
    return True


def _to_dict(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    """Let a struct be a dict of its only type of values."""
    names = {s.kind.name for s in kind.fields.values()}
    if kind.name != "struct" or len(names) != 1 or not names <= SCALARS.keys():
        return False
    _become(kind, Kind("dict", [Kind(names.pop())]))
    slot.default = draw.default(slot.kind)
    return True


def _add_member(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    """Let a struct be one of two, of which the other has the same shape or not."""
    if kind.name != "struct" or kind is not slot.kind:
        return False
    other = copy.deepcopy(kind)
    other.label = draw.label("Struct")
    if draw.rng.random() < 0.5:
        other.fields["more"] = Slot(Kind("int"))
    members = [other, copy.copy(kind)]
    draw.rng.shuffle(members)
    default = slot.default
    _become(kind, Kind("union", members))
    if default is not NOTHING:
        slot.default = ([m.label for m in members].index(members[0].label), {})
        own = next(i for i, m in enumerate(members) if m is not other)
        slot.default = (own, default)
    return True


def _to_sequence(pair: Pair, draw: Draw, place: Place, slot: Slot, kind: Kind) -> bool:
    if kind.name != "tuple" or kind.inner[0].name != kind.inner[1].name:
        return False
    if kind.inner[0].name not in SCALARS:
        return False
    _become(kind, Kind("list", [kind.inner[0]]))
    return True


_FIELD_CHANGES = [_add, _remove, _rename, _redefault, _undefault, _give_default]
_TYPE_CHANGES = [
    _retype,
    _wrap,
    _unwrap,
    _widen,
    _narrow,
    _revalue,
    _revalue,
    _drop_variant,
    _new_variant,
    _to_dict,
    _add_member,
    _to_sequence,
]


def _drop_stale_defaults(kind: Kind) -> None:
    """Take away defaults that the changed types below do not have any more."""
    classes = Classes(copy.deepcopy(kind))
    for place in places(kind):
        slot = place.owner.fields[place.name]
        if slot.default is NOTHING:
            continue
        try:
            _fits(classes, slot.kind, slot.default)
        except Exception:  # any mismatch of a description and a tree
            slot.default = NOTHING


def _fits(classes: Classes, kind: Kind, tree: Any) -> None:
    value = classes.value_of(kind, tree)
    holder = dataclasses.make_dataclass("Holder", [("x", classes.annotation(kind))])
    again: Any = loads(holder, dumps(holder(value)))
    assert again.x == value


@dataclass
class OldFile:
    """A text that the old class has written, and the object that it was."""

    value: Any
    format: str
    text: str


def old_files(pair: Pair, formats: Sequence[str] = FORMATS) -> list[OldFile]:
    """Return files that show every kind of value, elided and full, in each format.

    YAML, whose reader is slow, has only the first of them.
    """
    old = Classes(copy.deepcopy(pair.old))
    files: list[OldFile] = []
    for i, values in enumerate(trees(pair.old)):
        value = old.value_of(old.root, values)
        for format, elide in ((f, e) for f in formats for e in (False, True)):
            if format == "yaml" and i:
                continue
            try:
                text = dumps(value, format, elide_defaults=elide)
            except ConfigError:
                continue  # refused when written: there is no such file
            files.append(OldFile(value, format, text))
        files.append(OldFile(value, "json", json.dumps(by_hand(value))))
        for is_terse in (False, True):
            tree = by_hand(value, named=True, is_terse=is_terse)
            files.append(OldFile(value, "ron", ron.write(tree)))
    return files


def by_hand(
    value: Any, *, named: bool = False, is_certain: bool = True, is_terse: bool = False
) -> Any:
    """Return the tree that a person may write: structs stay, defaults in them do not.

    A terse person leaves out structs at their default too.

    Of one class among several every field is written, unless its name is.
    """
    if isinstance(value, dict):
        return {
            k: by_hand(v, named=named, is_certain=named, is_terse=is_terse)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(
            by_hand(v, named=named, is_certain=named, is_terse=is_terse) for v in value
        )
    if not dataclasses.is_dataclass(value):
        return encode(value)
    tree = NamedStruct(type(value).__name__) if named else cast(Any, {})
    for one in fields_of(cast(Any, type(value))).values():
        item, default = getattr(value, one.attribute), one.make_default()
        is_struct = dataclasses.is_dataclass(item)
        if (is_struct and not is_terse) or not is_certain or item != default:
            below = named or sum(map(is_struct_class, members(one.annotation))) == 1
            tree[one.name] = by_hand(
                item, named=named, is_certain=is_certain and below, is_terse=is_terse
            )
    return tree


def truth_of(
    pair: Pair, files: list[OldFile], new: Any, *, allow_rejected: bool = False
) -> list[str]:
    """Return what is wrong with old files that the class ``new`` reads."""
    failures: list[str] = []
    for file in files:
        try:
            again: Any = loads(new, file.text, file.format)
        except ConfigError as error:
            if not (allow_rejected and "no longer allowed" in str(error)):
                failures.append(f"{file}: {error}")
            continue
        problem = _difference(pair, neutral(file.value), neutral(again), "")
        if problem:
            failures.append(f"{file}: {problem}")
    return failures


def disagreement(seed: int) -> str:
    """Return where the checker and the loading of old files differ; empty: nowhere."""
    pair = draw_pair(seed)
    old = Classes(copy.deepcopy(pair.old)).cls
    new = Classes(copy.deepcopy(pair.new)).cls
    files = old_files(pair)
    checker = SchemaChecker(schema_of(old), new)
    rules = checker.proposed_fixes
    story = f"{seed}: {pair.changes}\n{checker.report()}"
    failures = truth_of(pair, files, new)
    if checker.compatible != (not failures):
        return f"{story}\n{failures[:1] or 'every file loads and means the same'}"
    if checker.severity() != Severity.WARN:
        return ""
    deleted = {r.field for r in rules if isinstance(r, DeleteField)}
    # A field of another name and another default is told as removed and added.
    pair.dropped = {p for p in pair.renamed if any(_is_at(p, d) for d in deleted)}
    fixed = Classes(copy.deepcopy(pair.new), version=1, rules={0: rules}).cls
    failures = truth_of(pair, files, fixed, allow_rejected=True)
    return f"{story}\n{failures[0]}" if failures else ""


def _is_at(path: str, field: Any) -> bool:
    names = [name for name in field if name != "*" and not name.isdecimal()]
    return path == "".join(f".{name}" for name in names)


def neutral(value: Any) -> Any:
    """Return ``value`` without classes: structs as dicts that say their name."""
    if dataclasses.is_dataclass(value):
        named = {
            f.name: neutral(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
        return {"": type(value).__name__, **named}
    if isinstance(value, enum.Enum):
        return ("member", value.name)
    if isinstance(value, list):
        return [neutral(item) for item in value]
    if isinstance(value, tuple):
        return [neutral(item) for item in value]
    if isinstance(value, dict):
        return {key: neutral(item) for key, item in value.items()}
    return value


def _difference(pair: Pair, old: Any, new: Any, path: str) -> str:
    """Return where the new value is another than the old one, as far as it must be."""
    if path in pair.retyped and not (_is_number(old) and _is_number(new)):
        return ""
    if isinstance(old, dict) and isinstance(new, dict):
        is_struct = "" in old and "" in new
        if is_struct and old[""] != new[""]:
            return f"{path}: {old['']} became {new['']}"
        if "" in old and not is_struct:
            old = {name: item for name, item in old.items() if name}
        if not is_struct and path not in pair.retyped and old.keys() != new.keys():
            return f"{path}: {old} became {new}"
        for name, item in old.items():
            here = f"{path}.{name}" if is_struct else path
            name_now = pair.renamed.get(here, name) if is_struct else name
            if here in pair.dropped:
                continue
            if name and name_now in new:
                problem = _difference(pair, item, new[name_now], here)
                if problem:
                    return problem
            elif not is_struct:
                return f"{path}: key {name} is lost"
        return ""
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return f"{path}: {old} became {new}"
        problems = (
            _difference(pair, a, b, path) for a, b in zip(old, new, strict=True)
        )
        return next((p for p in problems if p), "")
    is_cut = path in pair.retyped and _is_number(old) and int(old) == new
    return "" if old == new or is_cut else f"{path}: {old!r} became {new!r}"


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float)
