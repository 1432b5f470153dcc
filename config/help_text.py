"""A configuration as a page of help: names, types, defaults and descriptions."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from .classes.docstrings import docs_of
from .classes.editable import is_editable
from .classes.fields import (
    MISSING,
    ClassField,
    fields_of,
    is_struct,
    is_struct_value,
    types_within,
)
from .encode import encode
from .errors import ConfigError
from .path import child
from .schema.derive import type_of
from .spelling import similarity
from .tree import NamedStruct

_COLUMN = 40

_MOST_VALUES = 8
"""More values of an enum than this would hide what is said of the field."""


def describe(cls: type, query: str = "") -> str:
    """Return one line for each field of ``cls``: name, type, default, description.

    Fields that may be edited during a run are marked ``(editable)``. Structs are
    indented below their field. With a ``query`` only the fields with similar names are
    listed, the most similar first, with their full paths.
    """
    lines = list(_lines(cls, "", 0, ()))
    if not query:
        return "\n".join(_render(line.indented, line) for line in lines)
    return "\n".join(_most_similar(lines, query))


@dataclass(frozen=True, slots=True)
class _Line:
    """One field to be shown on the page."""

    path: str
    name: str
    depth: int
    kind: str
    default: str
    doc: str

    @property
    def indented(self) -> str:
        return "  " * self.depth + self.name


def _lines(
    cls: type, path: str, depth: int, above: tuple[type, ...]
) -> Iterator[_Line]:
    docs = docs_of(cls)
    for field in fields_of(cls).values():
        field_path = child(path, field.name)
        below = _struct_in(field.annotation)
        yield _Line(
            field_path,
            field.name,
            depth,
            str(type_of(field.annotation)),
            _default(field, below) + _mark(field),
            _doc(field, docs.get(field.attribute, "")),
        )
        if below is not None and below not in (*above, cls):
            yield from _lines(below, field_path, depth + 1, (*above, cls))


def _doc(field: ClassField, text: str) -> str:
    """Return the field's description, with the values of an enum that it takes."""
    kinds = types_within(field.annotation, is_entered=lambda _: False)
    enums = [k for k in kinds if isinstance(k, type) and issubclass(k, enum.Enum)]
    if len(enums) != 1:
        return text
    values = [repr(encode(member)) for member in enums[0]]
    more = ["..."] if len(values) > _MOST_VALUES else []
    choices = "|".join([*values[:_MOST_VALUES], *more])
    return f"{text} {choices}".lstrip()


def _mark(field: ClassField) -> str:
    return "  (editable)" if is_editable(field.annotation) else ""


def _struct_in(annotation: object) -> type | None:
    """Return the only class with fields in ``annotation``, at any depth."""
    kinds = types_within(annotation, is_entered=lambda _: False)
    structs = [kind for kind in kinds if is_struct(kind)]
    return structs[0] if len(structs) == 1 else None


def _default(field: ClassField, below: type | None) -> str:
    if not field.has_default:
        return ""
    default = field.make_default()
    if default is MISSING:
        return " = (computed from the fields before it)"
    if below is not None and (is_struct_value(default) or not default):
        # Its fields follow below, with their defaults.
        differing = _differing(default)
        return " = None" if default is None else f" = {differing}" if differing else ""
    try:
        return f" = {_without_name(encode(default))!r}"
    except ConfigError:
        return f" = {default!r}"


def _differing(default: object) -> str:
    """Return the fields of a struct that are not at their own defaults."""
    tree = encode(default, elide_defaults=True) if is_struct_value(default) else {}
    arguments = [
        f"{name}={_without_name(v)!r}" for name, v in tree.items() if name != "version"
    ]
    return f"{type(default).__name__}({', '.join(arguments)})" if arguments else ""


def _without_name(tree: object) -> object:
    return dict(tree) if isinstance(tree, NamedStruct) else tree


def _render(name: str, line: _Line) -> str:
    text = f"{name}: {line.kind}{line.default}"
    return f"{text:<{_COLUMN}}  # {line.doc}" if line.doc else text


def _most_similar(lines: list[_Line], query: str) -> Iterator[str]:
    """Return the lines that ``query`` may refer to, up to a clear gap in similarity."""
    word = query.rsplit(".", 1)[-1]
    scored = sorted(
        ((_score(line, query, word), line) for line in lines), key=lambda pair: -pair[0]
    )
    best = scored[0][0] if scored else 0.0
    for rank, (score, line) in enumerate(scored):
        # Once a name matches exactly, merely similar ones are noise.
        is_far = score < 0.4 or best >= 1 or best - score > 0.2 or rank > 3
        if score < 1 and word not in line.name and is_far:
            return
        yield _render(line.path, line)


def _score(line: _Line, query: str, word: str) -> float:
    if query == line.path or line.path.startswith(f"{query}."):
        return 1.2
    alike = similarity(line.name, word)
    return max(alike, 0.9) if word in line.name else alike
