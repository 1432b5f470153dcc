"""``burnish upgrade``: rewrite records in the newest version of their classes."""

import os
from argparse import ArgumentParser
from collections.abc import Sequence

from ..config.process.user_traceback import print_error_text
from .target import TargetError, find_target
from .terminal import saving_bar
from .words import parser

_EXAMPLES = """
burnish upgrade -m net.py:Net old/*.mpk
burnish upgrade -m mypackage.nets:Net old.safetensors
"""

ABOUT = "rewrite records in the newest version of their classes"


def main(argv: Sequence[str]) -> int:
    """Rewrite the files named in ``argv``, and return the exit status."""
    options = _parser().parse_args(argv)
    from ..core.evolution.record_commands import is_target, run_upgrade

    target = None
    try:
        _check_no_class_among(options.files)
        if options.module is not None:
            target = find_target(options.module)
            if not is_target(target):
                raise TargetError(
                    f"{options.module} is {target!r:.60}; expected a module"
                )
    except TargetError as error:
        print_error_text(str(error))
        return 2
    return run_upgrade(target, options.files, saving_bar)


def _check_no_class_among(files: Sequence[str]) -> None:
    """Raise TargetError if a class is passed where files are expected."""
    for name in files:
        if ".py:" in name and not os.path.lexists(name):
            raise TargetError(f"{name} is not a file; pass a class as -m {name}")


def _parser() -> ArgumentParser:
    words = parser("upgrade", ABOUT, _EXAMPLES)
    about = (
        "the module's class, or a function that returns one: file.py:Name, module:Name"
    )
    words.add_argument("--module", "-m", help=about)
    words.add_argument("files", nargs="+", help="records of any format and version")
    return words
