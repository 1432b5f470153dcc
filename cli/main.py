"""The ``burnish`` command: dispatches to the module of the subcommand."""

import gc
import os
import sys
import traceback
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module

from .. import __version__  # pyright: ignore[reportMissingImports, reportUnknownVariableType]  # of src/burnish, where this folder is linked
from ..config.printable import printable
from ..config.process.streams import INTERRUPTED, hides_interrupt, run_command
from ..config.process.user_traceback import print_error, print_error_text
from .words import EXIT_CODES

COMMANDS: Mapping[str, tuple[str, str]] = {
    "show": ("show", "inspect a checkpoint: its kind, its tensors by module"),
    "diff": ("diff", "compare two checkpoints: names, shapes, values, arguments"),
    "convert": ("convert", "convert records to another format or precision"),
    "consolidate": ("consolidate", "merge a record in a folder of parts into one file"),
    "shard": ("shard", "split a record into parts for several processes"),
    "verify": ("verify", "compare every byte with its checksum, repair from a copy"),
    "schedule": ("schedule", "plot a schedule of a number"),
    "doctor": ("doctor", "print versions, engines, the compiler; run a self-test"),
    "completion": ("completion", "print the shell completion script"),
    "fit": ("fit", "train the model that a config file describes"),
    "profile": ("profile", "show where the time of a training step goes"),
    "set": ("set_config", "change editable fields in the config of a run in progress"),
    "schema": ("schema", "check that a class still reads its older configs or records"),
    "upgrade": ("upgrade", "rewrite records in the newest version of their classes"),
}
"""Each subcommand with its module, imported only when it runs, and its summary.

The module has ``main(argv) -> int``, which returns the exit status.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand that ``argv`` begins with, and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: _status(words))


def _status(words: Sequence[str]) -> int:
    if words and words[0] in COMMANDS:
        return _run(words[0], words[1:])
    if words and words[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    if words and words[0] in ("-V", "--version"):
        print(f"burnish {__version__}")
        return 0
    print(_unknown(words[0]) if words else _usage(), file=sys.stderr)
    return 2


def _run(name: str, words: Sequence[str]) -> int:
    # Only the module of the running command is imported: `fit` needs torch, and
    # `schema` of a dataclass must not wait for it.
    module = import_module(f".{COMMANDS[name][0]}", __package__)
    try:
        with _fewer_collections(name), warnings_in_words(name):
            return int(module.main(words))
    except SystemExit as ending:
        if _is_of_argparse(ending):
            return ending.code if isinstance(ending.code, int) else 0
        # A status of 0 would report success although nothing was checked.
        problem = f"{ending!r} ended the program"
        print_error_text(f"{problem}, raised in a class that was passed to it")
        return 2
    except Exception as error:  # a user's class may raise anything
        if hides_interrupt(error):
            return INTERRUPTED
        print_error(error)
        return 2


@contextmanager
def _fewer_collections(command: str) -> Generator[None]:
    """Run Python's garbage collector rarely, unless users' code runs.

    While a file of 200,000 entries is read, each collection would visit all earlier
    ones.
    """
    before = gc.get_threshold()
    if command in _READERS:
        gc.set_threshold(20_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def warnings_in_words(command: str) -> Generator[None]:
    """Print warnings as messages alone, unless users' code runs.

    The line of this library that warned about a file does not help the command's user.
    """
    before = warnings.formatwarning
    if command in _READERS:
        warnings.formatwarning = _warning_line
    try:
        yield
    finally:
        warnings.formatwarning = before


def _warning_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"warning: {printable(str(message))}\n"


_READERS = ("show", "diff", "convert", "consolidate", "shard", "verify")
"""Commands that read files and run no code of users."""


def _is_of_argparse(ending: SystemExit) -> bool:
    """Return whether an argument parser exited the program, for help or an error."""
    frames = traceback.walk_tb(ending.__traceback__)
    return any(f.f_globals.get("__name__") == "argparse" for f, _ in frames)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, (_, about) in COMMANDS.items()]
    head = "usage: burnish COMMAND ...\n\ncommands (each has --help):\n"
    return "\n".join([head + "\n".join(lines), "", *_MORE])


_MORE = (
    "examples:",
    "  burnish show model.safetensors --stats",
    "  burnish diff base.mpk tuned.mpk",
    "",
    EXIT_CODES,
    'shell completion: eval "$(burnish completion bash)" in ~/.bashrc; zsh, fish too',
)


_SHOWING = ("cat", "dump", "info", "inspect", "keys", "list", "ls", "print", "view")
"""Names that other tools have for the command that shows a file."""


def _unknown(word: str) -> str:
    from ..config.spelling import did_you_mean

    hint = did_you_mean(word, COMMANDS)
    if word in _SHOWING or (not hint and os.path.exists(word)):
        hint = " To inspect a file: burnish show FILE."
    return f"error: unknown command {word!r}.{hint}\n{_usage()}"


if __name__ == "__main__":
    raise SystemExit(main())
