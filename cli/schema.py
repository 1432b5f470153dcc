"""``burnish schema``: keep a class compatible with the files that it once wrote."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from ..config.classes.fields import is_struct
from ..config.process.user_traceback import print_error_text
from ..config.schema.commands import COMMANDS, run_schema_command
from .target import TargetError, find_target
from .words import help_of, parser

_EXAMPLES = """
burnish schema dump train.py:Config config.schema.json
burnish schema check net.py:Net net.schema.json
"""

_EXAMPLES_OF = {
    "dump": """
burnish schema dump train.py:Config
burnish schema dump net.py:Net net.schema.json
""",
    "check": """
burnish schema check train.py:Config
burnish schema check net.py:Net net.schema.json
""",
    "upgrade": """
burnish schema upgrade train.py:Config
burnish schema upgrade net.py:Net net.schema.json
""",
    "upgrade-config": """
burnish schema upgrade-config train.py:Config runs/*/config.ron --dry-run
burnish schema upgrade-config train.py:Config old.ron --include-defaults
""",
}

ABOUT = "check that a class of configs or of modules still reads its older files"


def main(argv: Sequence[str]) -> int:
    """Run a schema command for a user's class, and return the exit status."""
    options = _parser().parse_args(argv)
    try:
        target = find_target(options.target)
        if is_struct(target):
            return run_schema_command(target, options.command, options)
        return _run_for_module(target, options)
    except TargetError as error:
        print_error_text(str(error))
        return 2


def _parser() -> ArgumentParser:
    words = parser("schema", ABOUT, _EXAMPLES)
    commands = words.add_subparsers(dest="command", required=True)
    for name, (about, add_arguments, _) in COMMANDS.items():
        options = help_of(about, _EXAMPLES_OF[name])
        command = commands.add_parser(name, help=about, **options)
        target_help = "a config class or a module, as file.py:Name or module:Name"
        command.add_argument("target", help=target_help)
        add_arguments(command)
        about = "JSON with the arguments of a module's class, such as a config.json"
        command.add_argument("--hparams", help=about)
    return words


def _run_for_module(target: Any, options: Namespace) -> int:
    if "torch" in sys.modules:
        from ..core.evolution.record_commands import is_target, run_schema

        if is_target(target):
            return run_schema(target, options.command, options)
    hint = "expected a class derived from Hparams, a dataclass, or a module"
    raise TargetError(f"{options.target} is {target!r:.60}; {hint}")
