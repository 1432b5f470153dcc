"""Writer of a tree as RON text: four spaces, one item per line, trailing commas."""

import math
import re
from decimal import Decimal

from ..errors import ConfigError, Problem
from ..short_text import short_repr, with_article
from ..tree import MAX_DEPTH, Ident, NamedStruct, is_dict

_NAME = re.compile(r"[^\W\d]\w*")
_RAW_NAME = re.compile(r"[\w.+-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def write(tree: object) -> str:
    """Return ``tree`` as text that `read` turns into an equal tree.

    Tuples are written on one line; floats from 1e-16 to 1e21 have no exponent. An
    anonymous struct without fields is the unit ``()``, which is read as a tuple.
    """
    return _value(tree, "")


def _value(value: object, indent: str) -> str:
    if len(indent) > 4 * MAX_DEPTH:
        message = f"nested over {MAX_DEPTH} levels deep, or contains itself"
        raise ConfigError("", [Problem("", message)])
    if value is None or isinstance(value, bool):
        return {None: "None", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _float(value)
    return _collection(value, indent)


def _collection(value: object, indent: str) -> str:
    item_indent = indent + "    "
    if isinstance(value, NamedStruct) and all(map(_field_name, value)):
        fields = [
            f"{_field_name(k)}: {_value(v, item_indent)}" for k, v in value.items()
        ]
        return f"{_type_name(value.name)}{_block('(', fields, ')', indent)}"
    if is_dict(value):
        pairs = [
            f"{_value(k, item_indent)}: {_value(v, item_indent)}"
            for k, v in value.items()
        ]
        return _block("{", pairs, "}", indent)
    if isinstance(value, tuple):
        items = [_value(item, indent) for item in value]
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if isinstance(value, list):
        return _block("[", [_value(item, item_indent) for item in value], "]", indent)
    message = (
        f"RON cannot hold {with_article(type(value).__name__)}: {short_repr(value)}"
    )
    raise ConfigError("", [Problem("", message)])


def _block(start: str, items: list[str], end: str, indent: str) -> str:
    if not items:
        return start + end
    lines = "".join(f"{indent}    {item},\n" for item in items)
    return f"{start}\n{lines}{indent}{end}"


def _field_name(name: str) -> str:
    """Return ``name`` as a field name is written, empty if it cannot be."""
    if _NAME.fullmatch(name) and name != "r":
        return name
    return f"r#{name}" if _RAW_NAME.fullmatch(name) else ""


def _type_name(name: str) -> str:
    return name if _NAME.fullmatch(name) else ""


def _text(value: str) -> str:
    if isinstance(value, Ident):
        return str(value)
    return f'"{_ESCAPED.sub(_escape, value)}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _ESCAPES.get(character) or f"\\u{{{ord(character):x}}}"


def _float(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if value != value else "inf" if value > 0 else "-inf"
    digits = repr(float(value))
    if value and not 1e-16 <= abs(value) < 1e21:
        return digits
    decimal = format(Decimal(digits), "f")
    return decimal if "." in decimal else f"{decimal}.0"
