"""A command line for a function that takes a configuration, in three lines."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from .classes.docstrings import summary_of
from .classes.fields import fields_of
from .errors import ConfigError
from .files import load
from .help_text import describe
from .process.streams import taking_any_text
from .process.user_traceback import print_error
from .short_text import short_repr, with_article
from .spelling import did_you_mean

if TYPE_CHECKING:
    from argparse import ArgumentParser

T = TypeVar("T")
R = TypeVar("R")
Argument = TypeVar("Argument", contravariant=True)
Result = TypeVar("Result", covariant=True)


class Program(Protocol[Argument, Result]):
    """A function of one argument that parses the command line if called without it."""

    __name__: str

    def __call__(self, argv: Sequence[str] | Argument | None = None) -> Result:
        """Return the function's result for the config or the words in ``argv``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOption:
    """An option of a program besides ``--config`` and the fields."""

    name: str
    """Its name, with dashes."""
    metavar: str
    """The placeholder of its value in the help."""
    help: str
    replaces_config: bool = False
    """Whether it excludes ``--config``."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The parsed command line of a program."""

    config: str | None
    overrides: list[str]
    options: dict[str, str | None]
    """The values of the further options, by their names with dashes."""


def command(cls: type[T]) -> Callable[[Callable[[T], R]], Program[T, R]]:
    """Make a function of a config a program: ``--config FILE a.b=value ... --help``.

    The decorated function parses the command line when it is called without arguments,
    or the list of words that it is given; called with a config it works as before.
    Errors are printed to stderr, with exit status 1 (2 for wrong options).
    """

    def read(line: CommandLine) -> T:
        return load(cls, line.config, line.overrides)

    return ProgramKind(config_cls=cls, argument_cls=cls, read=read).decorate


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramKind(Generic[T]):
    """How the words of a command line become the argument of a program's function."""

    config_cls: type
    """The class whose fields the words set."""
    argument_cls: type[T]
    """The class of the function's argument."""
    read: Callable[[CommandLine], T]
    """Creates the argument; errors in words or files are ``mistakes``."""
    options: tuple[CommandOption, ...] = ()
    mistakes: tuple[type[Exception], ...] = (OSError, ValueError, ImportError)
    """Errors that are printed as messages and end the program with status 1."""
    setting: Callable[[], AbstractContextManager[object]] = nullcontext
    """A context around reading and the function."""
    tells_mistakes: Callable[[], bool] = lambda: True
    """Whether this process prints errors; of several processes only one does."""

    def decorate(self, function: Callable[[T], R]) -> Program[T, R]:
        """Return ``function`` as a program."""

        @functools.wraps(function)
        def program(argv: Sequence[str] | T | None = None) -> R:
            if isinstance(argv, self.argument_cls):
                return function(argv)
            words: object = sys.argv[1:] if argv is None else argv
            if isinstance(words, str) or not isinstance(words, Sequence):
                raise TypeError(
                    "a program takes "
                    f"{with_article(self.argument_cls.__name__)} or a list of "
                    "command-line arguments, as in main(['a.b=1']), got "
                    f"{short_repr(words)}"
                )
            with taking_any_text():
                line = self._command_line(function, list(words))
            with self.setting():
                with taking_any_text():
                    argument = self._argument(line)
                return function(argument)

        return cast("Program[T, R]", program)

    def _command_line(
        self, function: Callable[..., object], words: list[str]
    ) -> CommandLine:
        """Parse ``words``, or end the program with help or an error."""
        parser = _parser(self, function)
        # argparse mistakes `--a.b=1` for an option; parse_known_args returns it as
        # unknown, and the message below explains how a field is set.
        parsed, unknown = parser.parse_known_intermixed_args(words)
        if unknown:
            parser.error(_unknown_words(self, unknown, words))
        files = [word for word in parsed.overrides if _is_file(word)]
        if files:
            parser.error(f"a config file is passed as --config {files[0]}")
        if parsed.help is not None:
            _show_help(parser, self.config_cls, parsed.help)
            raise SystemExit(0)
        options = {option.name: vars(parsed)[option.name] for option in self.options}
        return CommandLine(parsed.config, parsed.overrides, options)

    def _argument(self, line: CommandLine) -> T:
        """Return the function's argument, or end the program."""
        try:
            return self.read(line)
        except self.mistakes as error:
            if self.tells_mistakes():
                print_error(error)
                print(_similar(self.config_cls, error), end="", file=sys.stderr)
            raise SystemExit(1) from None


def _parser(kind: ProgramKind[T], function: Callable[..., object]) -> "ArgumentParser":
    from argparse import ArgumentParser, RawDescriptionHelpFormatter

    usages = [f"[{option.name} {option.metavar}]" for option in kind.options]
    usage = ["%(prog)s", "[--config FILE]", *usages, "[path=value ...]"]
    parser = ArgumentParser(
        prog=os.path.basename(sys.argv[0]),
        description=function.__doc__ or summary_of(kind.config_cls) or None,
        usage=" ".join([*usage, "[--help [NAME]]"]),
        formatter_class=RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    beginning = parser.add_mutually_exclusive_group()
    about = "a .json, .yaml or .ron file to start from"
    beginning.add_argument("--config", metavar="FILE", type=_name, help=about)
    for option in kind.options:
        place = beginning if option.replaces_config else parser
        place.add_argument(
            option.name,
            metavar=option.metavar,
            dest=option.name,
            type=_name,
            help=option.help,
        )
    add = parser.add_argument
    add("overrides", nargs="*", metavar="path=value", help="set a field, as in a.b=1")
    about = "show this help, or the fields whose names are similar to NAME"
    add("-h", "--help", nargs="?", const="", metavar="NAME", help=about)
    return parser


def _name(word: str) -> str:
    """Return ``word``, the name of a file or a folder."""
    from argparse import ArgumentTypeError

    # An unset shell variable would mean the current folder.
    if not word:
        raise ArgumentTypeError("expected a name, got an empty string")
    return word


def _unknown_words(kind: ProgramKind[T], unknown: list[str], words: list[str]) -> str:
    word = unknown[0].split("=", 1)[0]
    names = ["--config", "--help", *(option.name for option in kind.options)]
    hint = did_you_mean(word, names)
    # `--lr` resembles `--help`, but who writes a field's name means the field.
    is_field = word.lstrip("-").split(".")[0] in fields_of(kind.config_cls)
    if hint and not is_field:
        return f"unrecognized arguments: {' '.join(unknown)}.{hint}"
    field = without_dashes(unknown[0], words)
    hint = f"; a field is set without dashes: {field}" if field else ""
    return f"unrecognized arguments: {' '.join(unknown)}{hint}"


def without_dashes(word: str, words: list[str]) -> str:
    """Return the override that ``--a.b=1`` or ``--a.b 1`` may mean, empty if none."""
    name = word.lstrip("-")
    if "=" in name or not name:
        return name
    place = words.index(word) if word in words else len(words)
    value = [*words[place + 1 : place + 2], "-"][0]
    return "" if value.startswith("-") or "=" in value else f"{name}={value}"


def _is_file(word: str) -> bool:
    return "=" not in word and os.path.splitext(word)[1] in _SUFFIXES


_SUFFIXES = (".json", ".yaml", ".yml", ".ron")


def _show_help(parser: "ArgumentParser", cls: type, query: str) -> None:
    if query:
        print(describe(cls, query) or f"no field has a name like {query!r}")
        return
    print(parser.format_help())
    print("fields:")
    print("\n".join(f"  {line}" for line in describe(cls).splitlines()))


def _similar(cls: type, error: Exception) -> str:
    """Return the most similar fields for each unknown one, one line each."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    unknown = [p.path for p in problems if "unknown field" in p.message]
    pages = [describe(cls, path) for path in unknown]
    similar = "\n".join(text for text in pages if text)
    return f"Most similar fields:\n{similar}\n" if similar else ""
