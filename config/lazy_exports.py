"""Names of a package that are imported when they are first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(
    package: str, homes: Mapping[str, str], packages: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of ``package``.

    ``homes`` says in which of its modules each name is; ``packages`` are those of its
    packages that are attributes as well.
    """

    def get(name: str) -> Any:
        if name in packages:
            return import_module(f".{name}", package)
        if name not in homes:
            raise AttributeError(unknown_name(package, name))
        value = getattr(import_module(f".{homes[name]}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted([*homes, *packages])


def unknown_name(package: str, name: str) -> str:
    """Return what to say of a ``name`` that ``package`` has not, and where it is."""
    return f"module {package!r} has no attribute {name!r}{_neighbour(package, name)}"


def _neighbour(package: str, name: str) -> str:
    """Return in words which package beside or above ``package`` exports ``name``."""
    root = package.partition(".")[0]
    # Tools ask modules for private names all the time.
    if root == package or name.startswith("_"):
        return ""
    for home in (root, *(f"{root}.{part}" for part in NEIGHBOURS)):
        if name in import_module(home).__all__:
            return f"; it is {home}.{name}"
    return ""


NEIGHBOURS = ("config", "records", "core", "optim", "train")
"""The packages beside each other whose names people look for in the wrong one."""
