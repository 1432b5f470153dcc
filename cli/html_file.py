"""``--html OUT``: where a page goes, and that it takes the place of pages alone."""

from argparse import ArgumentParser, ArgumentTypeError

from ..config.printable import printable
from ..config.storage.replacement import write_text


def add_html(words: ArgumentParser) -> None:
    """Let a command be asked for a page."""
    about = "write a page for browsers, in one file, and print no table"
    words.add_argument("--html", metavar="OUT", type=html_file, help=about)


def html_file(name: str) -> str:
    """Return ``name``; ArgumentTypeError for one that is no page's.

    A checkpoint that stands where the page was to be named is not written over.
    """
    if not name.lower().endswith((".html", ".htm")):
        raise ArgumentTypeError(
            f"the name of a page must end in .html, got {name!r:.80}"
        )
    return name


def write_html(file: str, text: str, *, is_quiet: bool) -> None:
    """Write the page in place of an older one, and say so; OSError with the cure."""
    write_text(file, text)
    if not is_quiet:
        print(f"{printable(file)}: {len(text) / 1000:,.0f} kB, for any browser")
