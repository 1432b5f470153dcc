"""One page for a browser, in one file: it loads nothing and evaluates no data."""

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["record", "diff", "run", "sweep"]
"""The kind of a page; the script of this name draws it."""


def page_text(kind: Kind, title: str, content: Mapping[str, Any]) -> str:
    """Return the page that draws ``content``, plain data, under ``title``.

    Strings in it stay strings: they are inserted as characters and never parsed, and
    the page allows the browser to run only its own two scripts, by their hashes. Its
    strings have to be `printable`. ValueError for a NaN or an infinity.
    """
    style, scripts = _file("page.css"), [_file("page.js"), _file(f"{kind}.js")]
    rules = (
        f"default-src 'none'; style-src {_sum_of(style)}; "
        f"script-src {' '.join(map(_sum_of, scripts))}; base-uri 'none'; "
        "form-action 'none'"
    )
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{rules}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>",
            f"<body>\n<header><h1>{html.escape(title)}</h1>",
            '<button type="button" id="theme">auto</button></header>',
            f"<main></main>\n<noscript>{_NO_SCRIPT}</noscript>",
            f'<script type="application/json" id="data">{_json(content)}</script>',
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        )
    )


_NO_SCRIPT = (
    "This page needs JavaScript, which is disabled here. Without --html, "
    "the command prints the same content."
)


def _file(name: str) -> str:
    folder = files(__name__.rpartition(".")[0])
    return folder.joinpath(name).read_text("utf-8")


def _sum_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def page_number(value: float, n_digits: int) -> float | str:
    """Return ``value`` in the form of a page; a string where it is not finite."""
    number = float(f"{value:.{n_digits}g}")
    if math.isfinite(number):
        return number
    # The largest floats would be rounded up to infinity.
    return value if math.isfinite(value) else repr(float(value))


def _json(content: Mapping[str, Any]) -> str:
    """Return JSON without characters that could end the script around it."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
