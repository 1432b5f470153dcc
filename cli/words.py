"""The argument parser of a command, with examples and exit codes in its help."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any, NoReturn

from ..config.printable import printable

EXIT_CODES = (
    "exit codes: 0 fine, 1 the answer is no (differs, damaged, incompatible), 2 error\n"
    "(wrong usage, a missing or unknown file), 130 ended by Ctrl-C"
)


def parser(name: str, about: str, examples: str) -> ArgumentParser:
    """Return the parser of ``burnish name``; ``examples`` are lines of its help."""
    return _Parser(prog=f"burnish {name}", **help_of(about, examples))


def help_of(about: str, examples: str) -> dict[str, Any]:
    """Return the arguments of a parser whose help states its purpose."""
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    return {
        "description": about[:1].upper() + about[1:] + ".",
        "epilog": f"examples:\n{lines}\n\n{EXIT_CODES}",
        "formatter_class": RawDescriptionHelpFormatter,
    }


class _Parser(ArgumentParser):
    """Reports wrong arguments without letting them print control characters."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def add_json(words: ArgumentParser) -> None:
    """Add the ``--json`` option to a command."""
    words.add_argument(
        "--json", action="store_true", help="print one JSON document, for programs"
    )
