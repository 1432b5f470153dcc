"""Descriptions of fields, from the source of their class."""

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from itertools import pairwise

from ..process.interrupts import raise_of_signal
from .fields import class_of, fields_of
from .remembered import remembered

_SECTION = re.compile(r"^\s*(?:Attributes|Args|Arguments|Fields|Parameters):\s*$")
_ENTRY = re.compile(r"^(\s*)`{0,2}(\w+)`{0,2}(?:\s*\([^)]*\))?\s*:\s*(.*)$")


@remembered
def docs_of(cls: type) -> Mapping[str, str]:
    """Return one line about each field, by attribute, inherited fields included.

    It is the field's own description, else the string that follows it in the source,
    else its line under ``Attributes:`` in the class's docstring.
    """
    fields = fields_of(cls).values()
    docs: dict[str, str] = {}
    # Base classes come first, so that the description in a subclass wins.
    for base in reversed(class_of(cls).__mro__):
        if base is not object:
            docs |= _section_entries(base.__doc__ or "") | _strings_below(base)
    return {
        f.attribute: _one_line(f.doc) or docs.get(f.attribute) or docs.get(f.name, "")
        for f in fields
    }


def summary_of(cls: type) -> str:
    """Return the docstring's first line, unless Python or pydantic generated it."""
    doc = cls.__dict__.get("__doc__") or ""
    first_line = inspect.cleandoc(doc).split("\n", 1)[0]
    return "" if first_line.startswith(f"{cls.__name__}(") else first_line


def _section_entries(doc: str) -> dict[str, str]:
    """Return the entries of the ``Attributes:`` section of ``doc``."""
    docs: dict[str, str] = {}
    name, inside, indent, depth = "", False, 0, 0
    for line in inspect.cleandoc(doc).splitlines():
        entry = _ENTRY.match(line)
        if _SECTION.match(line):
            inside, name = True, ""
            indent = len(line) - len(line.lstrip())
        elif inside and line.strip() and len(line) - len(line.lstrip()) <= indent:
            inside = False
        elif inside and entry and (not name or len(entry[1]) <= depth):
            name, depth = entry[2], len(entry[1])
            docs[name] = entry[3].strip()
        elif inside and name and line.strip():
            docs[name] = f"{docs[name]} {line.strip()}".strip()
    return docs


def _strings_below(cls: type) -> dict[str, str]:
    """Return the strings below the fields in the source of ``cls``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError) as error:
        raise_of_signal(error)
        return {}
    body = getattr(tree.body[0], "body", []) if tree.body else []
    docs: dict[str, str] = {}
    for field, below in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            docs[field.target.id] = _one_line(below.value.value)
    return docs


def _one_line(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split("\n\n", 1)[0].split())
