"""The commands that keep a module compatible with its older records."""

import json
import shlex
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import nn

from ...config.printable import printable, printable_lines
from ...config.process.interrupts import raise_of_signal
from ...config.process.user_traceback import print_error, print_error_text
from ...config.schema.commands import DEFAULT_FILE as CONFIG_FILE
from ...config.storage.opening import read_file
from ...records.errors import ForeignFileError, RecordError
from ...records.io.progress import Progress
from ..errors import UnknownClassError
from .record_check import RecordChecker, upgrade_file
from .record_schema import Target, dump_schema, load_schema

DEFAULT_FILE = "record-schema.json"
_MOST_BYTES = 64 << 20


def is_target(value: object) -> bool:
    """Return whether ``value`` is a module, or builds one, and so has records."""
    if isinstance(value, type):
        return issubclass(value, nn.Module)
    return isinstance(value, nn.Module) or callable(value)


def run_schema(target: Target, name: str, options: Namespace) -> int:
    """Run ``dump``, ``check`` or ``upgrade`` for a module; return the exit status."""
    file = DEFAULT_FILE if options.file == CONFIG_FILE else options.file
    try:
        return _schema(target, name, file, getattr(options, "hparams", None))
    except Exception as error:  # a user's class may raise anything
        raise_of_signal(error)
        print_error(error)
        return 2


def run_upgrade(
    target: Target | None,
    files: list[str],
    bar: Callable[[str, str], AbstractContextManager[Progress | None]],
) -> int:
    """Rewrite ``files`` at the newest version; return the exit status.

    It is 1 for a record that cannot be upgraded, 2 for a file that cannot be read.
    ``bar`` returns, for a verb and a file, a context with a progress function.
    """
    status = 0
    for file in files:
        try:
            with bar("rewriting", file) as progress:
                was_older = upgrade_file(file, target, progress=progress)
        except Exception as error:  # a user's class may raise anything
            raise_of_signal(error)
            print_error(error)
            is_unknown = isinstance(error, UnknownClassError)
            if is_unknown and target is None:
                print_error_text(
                    "name the module's class: burnish upgrade -m FILE.py:Net "
                    f"{shlex.quote(file)}"
                )
            is_answer = isinstance(error, RecordError) and not is_unknown
            is_answer &= not isinstance(error, ForeignFileError)
            status = max(status, 1 if is_answer else 2)
        else:
            verdict = "rewritten" if was_older else "already at the newest version"
            print(f"{printable(file)}: {verdict}")
    return status


def _schema(target: Target, name: str, file: str, hparams_file: str | None) -> int:
    hparams = _hparams(hparams_file)
    if name == "dump":
        dump_schema(target, file, hparams)
        class_name = getattr(target, "__name__", type(target).__name__)
        print(printable(f"{file}: the schema of {class_name}"))
        return 0
    if name not in ("check", "upgrade"):
        raise ValueError(f"{name} is for config classes; records have dump and check")
    if not Path(file).exists():
        raise ValueError(
            f"{file} does not exist; write it with the dump command first, from the "
            "class as it was when the older files were written"
        )
    checker = RecordChecker(load_schema(file), target, hparams)
    print(printable_lines(checker.report()))
    if not checker.compatible:
        return 1
    if name == "upgrade":
        dump_schema(target, file, hparams)
        print("Schema updated")
    return 0


def _hparams(file: str | None) -> Mapping[str, Any] | None:
    if file is None:
        return None
    hparams: Any = json.loads(read_file(file, _MOST_BYTES))
    if not isinstance(hparams, dict):
        raise ValueError(f"{file}: expected a map of hyperparameters")
    return hparams  # pyright: ignore[reportUnknownVariableType]  # JSON
