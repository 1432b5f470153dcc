"""``--html OUT``: where a page is written, and that it may only replace pages."""

from argparse import ArgumentParser, ArgumentTypeError

from ..config.printable import printable
from ..config.storage.replacement import write_text


def add_html(words: ArgumentParser) -> None:
    """Add the ``--html`` option to a command."""
    about = "write an HTML page, in one file, instead of printing a table"
    words.add_argument("--html", metavar="OUT", type=html_file, help=about)


def html_file(name: str) -> str:
    """Return ``name``; ArgumentTypeError if it is not the name of a page.

    This keeps a checkpoint from being overwritten when its name is passed by mistake.
    """
    if not name.lower().endswith((".html", ".htm")):
        raise ArgumentTypeError(
            f"the name of a page must end in .html, got {name!r:.80}"
        )
    return name


def write_html(file: str, text: str, *, is_quiet: bool) -> None:
    """Write the page over an older one and report it; OSError with a remedy."""
    write_text(file, text)
    if not is_quiet:
        print(f"{printable(file)}: {len(text) / 1000:,.0f} kB, for any browser")
