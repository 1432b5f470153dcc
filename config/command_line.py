"""A command line for a function of one configuration, in three lines."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from .classes.docstrings import summary_of
from .errors import ConfigError
from .files import load
from .help_text import describe
from .process.streams import taking_any_text
from .process.user_traceback import error_text
from .short_text import short_repr

if TYPE_CHECKING:
    from argparse import ArgumentParser

T = TypeVar("T")
R = TypeVar("R")


def command(cls: type[T]) -> Callable[[Callable[[T], R]], Callable[..., R]]:
    """Make a function of a config a program: ``--config FILE a.b=value ... --help``.

    The decorated function reads the command line when called without arguments, or
    the list of words that it is given; called with a config it is what it was.
    Mistakes are told on stderr with exit status 1 (2 for wrong options).
    """

    def decorate(function: Callable[[T], R]) -> Callable[..., R]:
        @functools.wraps(function)
        def program(argv: Sequence[str] | T | None = None) -> R:
            if isinstance(argv, cls):
                return function(argv)
            words: object = sys.argv[1:] if argv is None else argv
            if isinstance(words, str) or not isinstance(words, Sequence):
                raise TypeError(
                    f"a program is called with a {cls.__name__}, or with the words of "
                    f"a command line, as in main(['a.b=1']), got {short_repr(words)}"
                )
            with taking_any_text():
                config = _config(cls, function, list(words))
            return function(config)

        return program

    return decorate


def _config(cls: type[T], function: Callable[..., object], words: list[str]) -> T:
    """Return the config that the command line asks for, or end the program."""
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    parser = ArgumentParser(
        prog=os.path.basename(sys.argv[0]),
        description=function.__doc__ or summary_of(cls) or None,
        usage="%(prog)s [--config FILE] [path=value ...] [--help [NAME]]",
        formatter_class=RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="a .json, .yaml or .ron file to start from")
    add("overrides", nargs="*", metavar="path=value", help="set a field, as in a.b=1")
    # argparse takes `--a.b=1` for an option of ours; parse_known hands it back as one
    # that it does not know, and the message below says how a field is set.
    about = "show this, or the fields with names like NAME"
    add("-h", "--help", nargs="?", const="", metavar="NAME", help=about)
    options, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        parser.error(_unknown_words(unknown))
    files = [word for word in options.overrides if _is_file(word)]
    if files:
        parser.error(f"a file is given as --config {files[0]}")
    if options.help is not None:
        _show_help(parser, cls, options.help)
        raise SystemExit(0)
    try:
        return load(cls, options.config, options.overrides)
    except (ConfigError, OSError, ValueError, ImportError) as error:
        print(f"error: {error_text(error)}", file=sys.stderr)
        print(_similar(cls, error), end="", file=sys.stderr)
        raise SystemExit(1) from None


def _unknown_words(words: list[str]) -> str:
    fields = [word.lstrip("-") for word in words if "=" in word]
    hint = f"; a field is set without dashes: {fields[0]}" if fields else ""
    return f"unrecognized arguments: {' '.join(words)}{hint}"


def _is_file(word: str) -> bool:
    return "=" not in word and os.path.splitext(word)[1] in _SUFFIXES


_SUFFIXES = (".json", ".yaml", ".yml", ".ron")


def _show_help(parser: "ArgumentParser", cls: type, query: str) -> None:
    if query:
        print(describe(cls, query) or f"no field is called anything like {query!r}")
        return
    print(parser.format_help())
    print("fields:")
    print("\n".join(f"  {line}" for line in describe(cls).splitlines()))


def _similar(cls: type, error: Exception) -> str:
    """Return the fields most like each unknown one, a line each."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    unknown = [p.path for p in problems if "unknown field" in p.message]
    pages = [describe(cls, path) for path in unknown]
    similar = "\n".join(text for text in pages if text)
    return f"Most similar fields:\n{similar}\n" if similar else ""
