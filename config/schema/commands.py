"""The commands that keep a config class compatible with its older files."""

import difflib
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..errors import ConfigError
from ..printable import printable, printable_lines
from ..process.interrupts import raise_of_signal
from ..process.streams import run_command, taking_any_text
from ..process.user_traceback import print_error
from ..rewriting import schema_types as t
from ..storage.replacement import write_text
from .change import Severity
from .checker import SchemaChecker
from .storage import dump_schema, load_schema
from .terminal import paint
from .upgraded_file import UpgradedFile, upgraded_file

DEFAULT_FILE = "config-schema.ron"


def schema_evolution_cli(cls: type, argv: Sequence[str] | None = None) -> None:
    """Run the schema commands for ``cls`` from the command line, and exit the program.

    The exit status is 0 only on success: 1 for an incompatible schema or a config that
    does not fit the class, 2 if there is no result, for instance for a missing file.
    """
    parser = ArgumentParser(description=f"Schema and config files of {cls.__name__}.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (about, add_arguments, _) in COMMANDS.items():
        full = name if name == "upgrade-config" else f"{name}-schema"
        add_arguments(commands.add_parser(full, help=about, description=about))
    with taking_any_text():
        options = parser.parse_args(argv)
    name = options.command.removesuffix("-schema")
    raise SystemExit(run_command(lambda: run_schema_command(cls, name, options)))


def run_schema_command(cls: type, name: str, options: Namespace) -> int:
    """Run one of `COMMANDS`, print errors to stderr, and return the exit status."""
    try:
        return COMMANDS[name][2](cls, options)
    except Exception as error:  # a user's class may raise anything
        raise_of_signal(error)
        print_error(error)
        return 2


def _add_file(parser: ArgumentParser) -> None:
    about = f"the schema's file (default: {DEFAULT_FILE})"
    parser.add_argument("file", nargs="?", default=DEFAULT_FILE, help=about)


def _add_configs(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", help="config files of any older version")
    about = "also write fields that have their default values"
    add("--include-defaults", action="store_true", help=about)
    add("--dry-run", action="store_true", help="show the differences, write nothing")


def _dump(cls: type, options: Namespace) -> int:
    dump_schema(cls, options.file)
    print(printable(f"{options.file}: the schema of {cls.__name__}"))
    return 0


def _check(cls: type, options: Namespace) -> int:
    checker = SchemaChecker(_load_stored(options.file), cls)
    checker.print_report()
    return 0 if checker.compatible else 1


def _upgrade(cls: type, options: Namespace) -> int:
    checker = SchemaChecker(_load_stored(options.file), cls)
    if checker.severity() >= Severity.WARN:
        checker.print_report()
        return 1
    dump_schema(cls, options.file)
    print(paint("Schema updated", sys.stdout))
    return 0


def _upgrade_config(cls: type, options: Namespace) -> int:
    status = 0
    for file in map(Path, options.files):
        print(printable(str(file)))
        try:
            _upgrade_file(cls, file, options)
        except Exception as error:  # a user's rule may raise anything
            raise_of_signal(error)
            print_error(error)
            status = max(status, 1 if isinstance(error, ConfigError) else 2)
    return status


def _upgrade_file(cls: type, file: Path, options: Namespace) -> None:
    """Rewrite ``file`` at the newest version, and report which comments are lost."""
    upgraded = upgraded_file(cls, file, include_defaults=options.include_defaults)
    if options.dry_run:
        print(paint(printable_lines(_differences(upgraded)), sys.stdout))
    elif upgraded.is_changed:
        write_text(file, upgraded.after)
    if upgraded.comment_lines:
        lines = ", ".join(map(str, upgraded.comment_lines))
        verb = "would be" if options.dry_run else "were"
        print(f"the comments on these lines {verb} left out: {lines}")


def _differences(upgraded: UpgradedFile) -> str:
    before, after = upgraded.before.splitlines(), upgraded.after.splitlines()
    lines = list(difflib.unified_diff(before, after, lineterm=""))[2:]
    return "\n".join(lines) or "no differences"


def _load_stored(file: str) -> t.Struct:
    if not Path(file).exists():
        raise ValueError(
            f"{file} does not exist; write it with the dump command first, from "
            "the class as it was when the older files were written"
        )
    return load_schema(file)


Command = tuple[str, Callable[[ArgumentParser], None], Callable[[type, Namespace], int]]

COMMANDS: Mapping[str, Command] = {
    "dump": ("write the schema of the class to a file", _add_file, _dump),
    "check": ("compare the class with a stored schema", _add_file, _check),
    "upgrade": ("store the class's schema if it is compatible", _add_file, _upgrade),
    "upgrade-config": (
        "rewrite config files at the newest version",
        _add_configs,
        _upgrade_config,
    ),
}
"""Each command: its summary, its arguments, and its function."""
