"""A class named on the command line: ``file.py:Name`` or ``module:Name``."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ..config.process.user_traceback import error_text
from ..config.spelling import did_you_mean


class TargetError(ValueError):
    """A name on the command line that does not refer to anything."""


def find_target(text: str) -> Any:
    """Return the object called ``text``, importing its file or module.

    Raises TargetError that says which part of the name is wrong.
    """
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name:
        hint = "expected file.py:Name or module:Name"
        raise TargetError(f"{text!r}: {hint}")
    # In a locale of few characters a word holds the bytes of UTF-8: the system finds a
    # file by them, but Python does not find a name.
    name = os.fsencode(name).decode("utf-8", "surrogateescape")
    target: Any = _file(Path(where)) if where.endswith(".py") else _module(where)
    for part in name.split("."):
        if not hasattr(target, part):
            raise TargetError(f"{text}: {_no_name(target, part)}")
        target = getattr(target, part)
    return target


def _no_name(owner: Any, name: str) -> str:
    names = [n for n in vars(owner) if not n.startswith("_")]
    return f"{owner.__name__} has no {name!r}.{did_you_mean(name, names)}"


def _file(file: Path) -> ModuleType:
    """Return the module in ``file``; its folder is importable meanwhile."""
    if not file.exists():
        raise TargetError(f"{file} does not exist")
    # This must not replace a module that is already loaded, such as json.
    name = file.stem if file.stem not in sys.modules else f"{file.stem}_target"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise TargetError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.resolve().parent))
    # It is registered under its own name, since dataclasses look their module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's file may raise anything, even SystemExit
        sys.modules.pop(name, None)
        if _is_relative(error) and (file.resolve().parent / "__init__.py").exists():
            return _part_of_package(file.resolve())
        raise TargetError(
            f"{file} cannot be imported: {_failure_text(error)}"
        ) from error
    return module


def _is_relative(error: BaseException) -> bool:
    """Return whether a file with relative imports was imported outside its package."""
    return isinstance(error, ImportError) and "no known parent package" in str(error)


def _part_of_package(file: Path) -> ModuleType:
    """Return the module in ``file`` under its name in the enclosing packages."""
    names, folder = [file.stem], file.parent
    while (folder / "__init__.py").exists() and folder != folder.parent:
        names.insert(0, folder.name)
        folder = folder.parent
    return _module(".".join(names), folder)


def _module(name: str, folder: Path | None = None) -> ModuleType:
    sys.path.insert(0, str(folder or os.getcwd()))
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise anything, SystemExit too
        raise TargetError(
            f"{name} cannot be imported: {_failure_text(error)}"
        ) from error


def _failure_text(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return (
            f"it ends the program (SystemExit: {error}); put that code under "
            "if __name__ == '__main__':"
        )
    return error_text(error)
