"""Named ways to configure the blueprints of a class."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from ...config.path import did_you_mean
from ...config.registry import Registry
from .errors import SettingError

F = TypeVar("F", bound=Callable[..., Any])

_styles: Registry[tuple[type[nn.Module], str], Callable[..., Any]] = Registry()


def register_style(cls: type[nn.Module], name: str | None = None) -> Callable[[F], F]:
    """Let blueprints of ``cls`` be configured by name: ``bp.style("slim", width=8)``.

    A decorator of a function that takes the blueprint first. Without ``name`` the style
    is called as the function is.
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"styles are those of module classes, got {cls!r:.80}")

    def register(function: F) -> F:
        _styles.register((cls, name or function.__name__), value=function)
        return function

    return register


def styles_of(cls: type[nn.Module]) -> dict[str, Callable[..., Any]]:
    """Return the styles of ``cls`` and of its bases, by name."""
    known = _styles.snapshot().items()
    return {
        name: function
        for base in reversed(cls.__mro__)
        for (owner, name), function in known
        if owner is base
    }


def style_named(cls: type[nn.Module], name: str, path: str) -> Callable[..., Any]:
    """Return the style of ``cls`` called ``name``, or raise and tell which it has."""
    found = styles_of(cls)
    if name in found:
        return found[name]
    there = ", ".join(found) or "none"
    raise SettingError(
        path,
        f"{cls.__qualname__} has no style {name!r}.{did_you_mean(name, found)} "
        f"It has: {there}.",
    )
