"""Two values of a hyperparameter side by side, in words."""

from collections.abc import Mapping
from typing import Any

from ..modules.registry import NAME
from ..modules.shown import shown
from . import plain


def difference(path: str, stored: Any, own: Any) -> str:
    """Return the line of a report or of an error about ``path``."""
    left, right = shown(_readable(stored)), shown(_readable(own))
    return f"{path}: stored {left}, the module has {right}"


def difference_from_default(path: str, default: Any, own: Any) -> str:
    """Return the line about an argument that is not stored."""
    left, right = shown(_readable(default)), shown(_readable(own))
    is_known = default is not DEFAULT
    reason = f"the default is {left}" if is_known else "the file says nothing of it"
    return f"{path}: not stored ({reason}), the module has {right}"


def _readable(value: Any) -> Any:
    """Return ``value`` with modules and classes by their names."""
    if isinstance(value, Mapping):
        if plain.CLASS in value:
            return _readable(value[plain.CLASS])
        if NAME in value:
            return Named(value)
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    return value


class Named:
    """A value that messages call by its name."""

    def __init__(self, value: Any) -> None:
        named = isinstance(value, Mapping)
        self.text = str(value.get(NAME) if named else value)[:200]

    @property
    def is_anonymous(self) -> bool:
        """Whether it is an object that is known by its class alone."""
        return self.text.startswith("an object")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and other.text == self.text

    __hash__ = None  # type: ignore[assignment]  # it is only compared

    def __repr__(self) -> str:
        return self.text


class _Absent:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


ABSENT, DEFAULT = _Absent("nothing"), _Absent("the default")
"""What stands for an item that is not there, and for an argument that nobody passed."""
