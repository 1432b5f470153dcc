"""The words of a Hydra command line: options, and separately the overrides."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from ..config.spelling import did_you_mean
from .words import parser

FOLDER_VARIABLE = "HYDRA_CONFIG_PATH"
"""The environment variable that names the config folder if no option does."""

_OURS = frozenset({"config_name", "config_path", "help", "overrides"})
_REFUSED = {
    "shell_completion": 'for shell completion, use: eval "$(burnish completion bash)"',
    "experimental_rerun": (
        "it reads a pickle, which may run any code; to run the same again, use "
        "--config-path RUN --config-name config"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HydraWords:
    """The content of a command line, independent of the order of its words."""

    config_name: str | None
    config_path: str | None
    config_dir: str | None
    is_help: bool
    is_sweep: bool
    """Whether each combination of values is a run of its own."""

    options: Sequence[str]
    """Options of Hydra with their values, each as one word."""

    overrides: Sequence[str]
    """Overrides that set, add or delete values, in the order they were given in."""

    @classmethod
    def of(cls, argv: Sequence[str]) -> "HydraWords":
        """Parse ``argv``. Raises ValueError for an option that Hydra does not have."""
        words = _with_values([word for word in argv if word != "--"])
        args, unknown = _hydra_parser().parse_known_intermixed_args(words)
        if unknown:
            raise ValueError(_unknown(unknown[0], words))
        for name, why in _REFUSED.items():
            if getattr(args, name):
                raise ValueError(f"--{name.replace('_', '-')} is not supported: {why}")
        _check_combination(args)
        return cls(
            config_name=args.config_name,
            config_path=args.config_path,
            config_dir=args.config_dir,
            is_help=args.help,
            is_sweep=args.multirun and not (args.cfg or args.info or args.help),
            options=_options(args),
            overrides=args.overrides,
        )


def hydra_parser(name: str, about: str, examples: str) -> ArgumentParser:
    """Return the parser that prints ``--help`` and completes words in shells."""
    words = parser(name, about, examples)
    words.usage = "%(prog)s --config-name NAME [options] [key=value ...]"
    words.description = f"{words.description}\n\n{_WORDS}"
    for flags, metavar, text in _TABLE:
        if metavar:
            words.add_argument(*flags, metavar=metavar, help=text)
        else:
            words.add_argument(*flags, action="store_true", help=text)
    return words


_WORDS = """Keys may leave out their section: max_epochs=3, data.batch_size=64,
optimizer.kwargs.lr=0.001. Overrides are Hydra's, in any order: key=value,
++key=value (changed or added), +key=value (added), ~key (deleted),
group=choice, key=1,2,3 with --multirun. hydra.run.dir=FOLDER, and
hydra.sweep.dir, say where results go."""

_TABLE = (
    (("--config-name", "-cn"), "NAME", "the file, without .yaml"),
    (
        ("--config-path", "-cp"),
        "FOLDER",
        f"the folder of the file (default: ${FOLDER_VARIABLE}, or the current folder)",
    ),
    (("--config-dir", "-cd"), "FOLDER", "another folder of config groups"),
    (("--multirun", "-m"), "", "run all combinations of values between commas"),
    (
        ("--cfg", "-c"),
        "WHAT",
        "print the configuration (job, hydra or all), do not run",
    ),
    (("--package", "-p"), "KEY", "with --cfg: print only the part at KEY"),
    (("--resolve",), "", "with --cfg: resolve interpolations"),
    (("--info", "-i"), "WHAT", "print what Hydra read: defaults, searchpath, ..."),
    (("--hydra-help",), "", "print Hydra's own help"),
)


def _hydra_parser() -> ArgumentParser:
    # Hydra has no public list of its options.
    from hydra._internal.utils import get_args_parser

    words = get_args_parser()

    def refuse(message: str) -> None:
        raise ValueError(f"{message}; see --help")

    # argparse would print Hydra's own usage text and exit the program.
    setattr(words, "error", refuse)  # noqa: B010  # a method, to type checkers
    return words


def _with_values(words: Sequence[str]) -> list[str]:
    """Return ``words`` with a value for each ``--info``, whose value is optional.

    Otherwise Hydra's parser would take the next word as its value, even ``lr=0.1``.
    """
    kinds = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
    following = [*words[1:], ""][: len(words)]
    return [
        "--info=all" if word in ("--info", "-i") and value not in kinds else word
        for word, value in zip(words, following, strict=True)
    ]


def _check_combination(args: Namespace) -> None:
    """Raise ValueError for options that exclude or require one another."""
    modes = ("run", "multirun", "cfg", "info")
    chosen = [f"--{name}" for name in modes if getattr(args, name)]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} cannot be combined")
    for name in ("resolve", "package"):
        if getattr(args, name) and not args.cfg:
            raise ValueError(f"--{name} needs --cfg job, hydra or all")


def _options(args: Namespace) -> list[str]:
    options: list[str] = []
    for name, value in vars(args).items():
        flag = f"--{name.replace('_', '-')}"
        if name not in _OURS and value is True:
            options.append(flag)
        elif name not in _OURS and isinstance(value, str):
            options.append(f"{flag}={value}")
    return options


def _unknown(word: str, words: Sequence[str]) -> str:
    name, equals, value = word.partition("=")
    following = next((w for w in words[words.index(word) + 1 :]), "VALUE")
    flags = [flag for row in _TABLE for flag in row[0]]
    hint = did_you_mean(name, flags)
    if hint:
        return f"unknown option {name}.{hint}"
    key = f"{name.lstrip('-')}={value if equals else following}"
    return f"unknown option {name}; a key has no dashes: {key}"
