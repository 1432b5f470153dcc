"""Names of a package that are imported on first use (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(
    package: str, homes: Mapping[str, str], packages: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of ``package``.

    ``homes`` maps each name to its module; ``packages`` are the subpackages that are
    attributes as well.
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
    """Return the message for a ``name`` not in ``package``, and its home if known."""
    return f"module {package!r} has no attribute {name!r}{_neighbour(package, name)}"


def _neighbour(package: str, name: str) -> str:
    """Describe which package beside or above ``package`` exports ``name``."""
    root = package.partition(".")[0]
    # Tools look up private names of modules all the time.
    if root == package or name.startswith("_"):
        return ""
    for home in (root, *(f"{root}.{part}" for part in NEIGHBOURS)):
        if name in import_module(home).__all__:
            return f"; it is {home}.{name}"
    return ""


NEIGHBOURS = ("config", "records", "core", "optim", "train")
"""The sibling packages whose names users look for in the wrong one."""
