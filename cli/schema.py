"""``burnish schema``: keep a class and the files that it once wrote together."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from ..config.fields import is_struct
from ..config.schema.commands import COMMANDS, run
from .target import TargetError, find_target

ABOUT = "keep a config class and its older files together"


def main(argv: Sequence[str]) -> int:
    """Run one schema command for a class of the user's, and return the exit status."""
    given = _parser().parse_args(argv)
    try:
        cls = _config_class(given.target)
    except TargetError as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 2
    return run(cls, given.command, given)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="burnish schema", description=ABOUT.capitalize() + ".")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (about, add_arguments, _) in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        what = "a config class, as file.py:Name or module:Name"
        command.add_argument("target", help=what)
        add_arguments(command)
    return parser


def _config_class(text: str) -> type[Any]:
    found = find_target(text)
    if not is_struct(found):
        hint = "expected a class derived from Hparams, or a dataclass"
        raise TargetError(f"{text} is {found!r:.60}; {hint}")
    return found  # type: ignore[no-any-return]  # checked above
