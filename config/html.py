"""Text in a notebook: one line that unfolds, in the colors of the page."""

import html

_LINES = 12
"""Number of lines that are shown unfolded."""


def folded_html(text: str) -> str:
    """Return ``text`` as HTML: its first line, and the rest below when unfolded.

    Short texts are unfolded initially. Names in the text are never interpreted as
    markup. No colors are set, so that it fits light and dark pages.
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
    """An object's repr in notebooks, folded after the first line."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return folded_html(repr(self))
