"""What a text format can do, and which one a file has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..spelling import did_you_mean
from ..tree import NamedStruct


def _no_comment_lines(text: str) -> Sequence[int]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFormat:
    """A reader and a writer of trees."""

    name: str
    suffixes: tuple[str, ...]

    read: Callable[[str], object]
    """From text to a tree; raises ConfigSyntaxError with line and column."""

    write: Callable[[object], str]
    """From a tree to text that ends with a line break."""

    comment_lines: Callable[[str], Sequence[int]] = _no_comment_lines
    """From text that can be read to the lines, from 1, on which comments begin."""

    @property
    def has_structs(self) -> bool:
        """Whether trees from it hold `NamedStruct` and `Ident`."""
        return self.name == "ron"


def config_format_named(name: str) -> ConfigFormat:
    """Return the format called ``name``: json, yaml or ron.

    Raises ValueError for any other name.
    """
    form = next((f for f in FORMATS if f.name == name.lower()), None)
    if form is None:
        names = [f.name for f in FORMATS]
        hint = did_you_mean(name, names)
        raise ValueError(
            f"unknown format {name!r}; expected one of {', '.join(names)}.{hint}"
        )
    return form


def config_format_of(file: PurePath) -> ConfigFormat:
    """Return the format that the suffix of ``file`` says.

    Raises ValueError for a suffix that says none.
    """
    suffix = file.suffix.lower()
    form = next((f for f in FORMATS if suffix in f.suffixes), None)
    if form is None:
        suffixes = ", ".join(suffix for f in FORMATS for suffix in f.suffixes)
        actual = f"suffix {suffix!r}" if suffix else "no suffix"
        raise ValueError(f"{file}: found {actual}, expected one of {suffixes}")
    return form


def names_a_config(name: str) -> bool:
    """Return whether a file of this name is a configuration, as its suffix says."""
    suffix = PurePath(name).suffix.lower()
    return any(suffix in form.suffixes for form in FORMATS)


# Each format's module is imported when a file needs it: ruamel.yaml is an extra, and
# large, and many programs read no YAML.
def _read_json(text: str) -> object:
    from .json import read

    return read(text)


def _write_json(tree: object) -> str:
    from .json import write

    return write(tree)


def _read_yaml(text: str) -> object:
    from .yaml import read

    tree = read(text)
    return {} if tree is None else tree


def _write_yaml(tree: object) -> str:
    from .yaml import write

    return write(tree)


def _yaml_comment_lines(text: str) -> Sequence[int]:
    from .yaml import comment_lines

    return comment_lines(text)


def _ron_comment_lines(text: str) -> Sequence[int]:
    from ..ron.scanner import comment_lines

    return comment_lines(text)


def _read_ron(text: str) -> object:
    from ..ron import read

    return read(text) if text.strip() else NamedStruct()


def _write_ron(tree: object) -> str:
    from ..ron import write

    return write(tree) + "\n"


FORMATS = (
    ConfigFormat(name="json", suffixes=(".json",), read=_read_json, write=_write_json),
    ConfigFormat(
        name="yaml",
        suffixes=(".yaml", ".yml"),
        read=_read_yaml,
        write=_write_yaml,
        comment_lines=_yaml_comment_lines,
    ),
    ConfigFormat(
        name="ron",
        suffixes=(".ron",),
        read=_read_ron,
        write=_write_ron,
        comment_lines=_ron_comment_lines,
    ),
)
"""Every format that `load` and `dump` know."""
