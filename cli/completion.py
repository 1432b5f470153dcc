"""``burnish completion``: a script that completes the command's words in a shell."""

import argparse
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from importlib import import_module

from .main import COMMANDS
from .words import parser

ABOUT = "print the shell completion script for commands, options and files"

_EXAMPLES = """
eval "$(burnish completion bash)"      # in ~/.bashrc
eval "$(burnish completion zsh)"       # in ~/.zshrc
burnish completion fish > ~/.config/fish/completions/burnish.fish
"""


def main(argv: Sequence[str]) -> int:
    """Print the script for the shell named in ``argv``, and return 0."""
    shell: str = _parser().parse_args(argv).shell
    print("\n".join(_fish() if shell == "fish" else _bash(is_zsh=shell == "zsh")))
    return 0


def _parser() -> ArgumentParser:
    words = parser("completion", ABOUT, _EXAMPLES)
    words.add_argument("shell", choices=["bash", "zsh", "fish"])
    return words


def _options(command: str) -> Iterator[tuple[str, str]]:
    """Yield each long option of a command with its help text."""
    module = import_module(f".{COMMANDS[command][0]}", __package__)
    make = getattr(module, "_parser", None)
    # Commands that Hydra parses have no parser of their own.
    for action in make()._actions if make is not None else ():
        for name in action.option_strings:
            if name.startswith("--") and action.help != argparse.SUPPRESS:
                yield name, (action.help or "").split(";")[0]


def _bash(*, is_zsh: bool) -> Iterator[str]:
    if is_zsh:
        yield "autoload -U +X bashcompinit && bashcompinit"
    yield "_burnish() {"
    yield '  local cur="${COMP_WORDS[COMP_CWORD]}" words=""'
    yield '  case "${COMP_WORDS[1]}" in'
    for name in COMMANDS:
        options = " ".join(option for option, _ in _options(name))
        yield f'    {name}) words="{options}" ;;'
    yield "  esac"
    yield '  if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f'    COMPREPLY=($(compgen -W "{" ".join(COMMANDS)}" -- "$cur"))'
    yield '  elif [ "${cur#-}" != "$cur" ]; then'
    yield '    COMPREPLY=($(compgen -W "$words" -- "$cur"))'
    yield "  else"
    yield "    local IFS=$'\\n'"
    yield '    COMPREPLY=($(compgen -f -- "$cur"))'
    yield "  fi"
    yield "}"
    yield "complete -o filenames -F _burnish burnish"


def _fish() -> Iterator[str]:
    for name, (_, about) in COMMANDS.items():
        yield (
            "complete -c burnish -f -n __fish_use_subcommand "
            f"-a {name} -d {_quoted(about)}"
        )
        for option, text in _options(name):
            yield (
                f'complete -c burnish -n "__fish_seen_subcommand_from {name}" '
                f"-l {option[2:]} -d {_quoted(text)}"
            )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
