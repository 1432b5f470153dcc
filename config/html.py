"""Text as a notebook shows it: one line that unfolds, in the colors of the page."""

import html

_LINES = 12
"""Lines that are shown at once; more of them are folded."""


def folded_html(text: str) -> str:
    """Return ``text`` as HTML: its first line, and the rest below when it is unfolded.

    Short texts are open at once. Names in it are never markup. It has no colors of
    its own, so that light and dark pages show it alike.
    """
    head, _, body_text = text.partition("\n")
    title = f'<code style="white-space:pre-wrap">{html.escape(head)}</code>'
    if not body_text:
        return f"<div>{title}</div>"
    is_open = " open" if body_text.count("\n") < _LINES else ""
    body = f'<pre style="{_STYLE}">{html.escape(body_text)}</pre>'
    return f"<details{is_open}><summary>{title}</summary>{body}</details>"


_STYLE = (
    "background:none;color:inherit;margin:0 0 0 1em;max-height:30em;overflow:auto;"
    "line-height:1.3"
)


class FoldedHtml:
    """What notebooks show of an object: its repr, folded after the first line."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return folded_html(repr(self))
