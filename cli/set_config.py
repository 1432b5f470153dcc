"""``burnish set``: change marked config fields of a run in progress."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from ..config.printable import printable, printable_lines
from ..config.process.user_traceback import print_error_text
from .words import parser

_EXAMPLES = """
burnish set runs/x optimizer.lr=1e-4
burnish set runs/x optimizer.lr=1e-4 'note=lower, it diverged'
"""

ABOUT = "change editable fields in the config of a run in progress"


def main(argv: Sequence[str]) -> int:
    """Write the changes in ``argv`` into the run's config; return the exit status."""
    options = _options(argv)
    from ..config.errors import ConfigError
    from ..config.live.request import last_refusal, request_edit

    words = " ".join(options.overrides)
    try:
        refusal = last_refusal(Path(options.run))
        file = request_edit(
            Path(options.run), options.overrides, f"burnish set {words}"
        )
    except (ConfigError, OSError) as error:
        print_error_text(str(error))
        return 2
    if refusal:
        reason = printable_lines(refusal.removesuffix("."))
        print(f"the run had already refused the file: {reason}.")
        print(
            "The run applies nothing from this file until the refused fields "
            "have valid values, or the values that the run uses."
        )
    print(
        f"{printable(str(file))}: requested {printable(words)}. The run applies "
        f"it at its next step, or writes to {file.name}.refused why it does not."
    )
    return 0


def _options(argv: Sequence[str]) -> Namespace:
    """Parse ``argv``; for a field with dashes, the error shows how to write it."""
    words = _parser()
    options, unknown = words.parse_known_args(argv)
    if unknown:
        from ..config.command_line import without_dashes

        field = without_dashes(unknown[0], list(argv))
        hint = f"; a field is set without dashes: {field}" if field else ""
        words.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    if not options.overrides:
        words.error("the following arguments are required: overrides, as in lr=1e-4")
    return options


def _parser() -> ArgumentParser:
    words = parser("set", ABOUT, _EXAMPLES)
    words.add_argument("run", help="the folder of the run, as checkpoint_dir")
    words.add_argument("overrides", nargs="*", help="as in optimizer.lr=1e-4")
    return words
