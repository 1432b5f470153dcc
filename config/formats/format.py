"""The interface of text formats, and the choice of a format for a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Any

from ..spelling import did_you_mean


@dataclass(frozen=True, slots=True)
class ConfigFormat:
    """A reader and a writer of trees, in the module of the same name in this folder."""

    name: str
    suffixes: tuple[str, ...]

    def read(self, text: str) -> object:
        """Return the tree of a text. ConfigSyntaxError with line and column."""
        return self._module.read(text)

    def write(self, tree: object) -> str:
        """Return the text of a tree, which ends with a line break."""
        text: str = self._module.write(tree)
        return text

    def comment_lines(self, text: str) -> Sequence[int]:
        """Return the lines, from 1, on which comments of a readable text begin."""
        lines: Sequence[int] = self._module.comment_lines(text)
        return lines

    @property
    def _module(self) -> Any:
        # Imported when a file needs it, since ruamel.yaml is a large, optional package
        # and many programs read no YAML.
        return import_module(f".{self.name}", __package__)

    @property
    def has_structs(self) -> bool:
        """Whether its trees contain `NamedStruct` and `Ident`."""
        return self.name == "ron"


def config_format_named(name: str) -> ConfigFormat:
    """Return the format called ``name``: json, yaml or ron.

    Raises ValueError for any other name.
    """
    form = next((f for f in FORMATS if f.name == str(name).lower()), None)
    if form is None:
        names = [f.name for f in FORMATS]
        hint = did_you_mean(str(name), names)
        raise ValueError(
            f"unknown format {name!r}; expected one of {', '.join(names)}.{hint}"
        )
    return form


def config_format_of(file: PurePath) -> ConfigFormat:
    """Return the format of the suffix of ``file``.

    Raises ValueError for an unknown suffix.
    """
    suffix = file.suffix.lower()
    form = next((f for f in FORMATS if suffix in f.suffixes), None)
    if form is None:
        suffixes = ", ".join(suffix for f in FORMATS for suffix in f.suffixes)
        actual = f"suffix {suffix!r}" if suffix else "no suffix"
        raise ValueError(f"{file}: found {actual}, expected one of {suffixes}")
    return form


def names_a_config(name: str) -> bool:
    """Return whether the suffix of this file is that of a configuration."""
    suffix = PurePath(name).suffix.lower()
    return any(suffix in form.suffixes for form in FORMATS)


FORMATS = (
    ConfigFormat("json", (".json",)),
    ConfigFormat("yaml", (".yaml", ".yml")),
    ConfigFormat("ron", (".ron",)),
)
"""Every format that `load` and `dump` know."""
