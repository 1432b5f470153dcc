"""The words of a command: its parser, with examples and exit codes in its help."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any, NoReturn

from ..config.printable import printable

EXIT_CODES = (
    "exit codes: 0 fine, 1 the answer is no (differs, damaged, incompatible), 2 could\n"
    "not be answered (wrong use, a missing or foreign file), 130 ended by Ctrl-C"
)


def parser(name: str, about: str, examples: str) -> ArgumentParser:
    """Return the parser of ``burnish name``; ``examples`` are lines of its help."""
    return _Parser(prog=f"burnish {name}", **help_of(about, examples))


def help_of(about: str, examples: str) -> dict[str, Any]:
    """Return what a parser is made with so that its help tells what it is for."""
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    return {
        "description": about[:1].upper() + about[1:] + ".",
        "epilog": f"examples:\n{lines}\n\n{EXIT_CODES}",
        "formatter_class": RawDescriptionHelpFormatter,
    }


class _Parser(ArgumentParser):
    """Tells wrong words without letting them steer the terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def add_json(words: ArgumentParser) -> None:
    """Let a command be asked for ``--json``."""
    words.add_argument(
        "--json", action="store_true", help="one JSON document, for programs"
    )
