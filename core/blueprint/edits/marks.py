"""What can be called on a blueprint: marked methods, and styles by name."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from ....config.registry import Registry
from ....config.spelling import did_you_mean
from ..errors import SettingError
from .edits import Moment

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "_burnish_moment"


def stateful(method: F) -> F:
    """Let blueprints call ``method`` immediately, on the blueprint and each copy of it.

    ``self`` is the blueprint, or the part of it that the call was made on.
    """
    return _marked(method, "stateful")


def after_init(method: F) -> F:
    """Let blueprints call ``method`` each time the module's ``__init__`` has run.

    ``self`` is the module, without the children that are added later.
    """
    return _marked(method, "after_init")


def before_build(method: F) -> F:
    """Let blueprints call ``method`` when a build begins, on the blueprint.

    Its settings apply to that build only.
    """
    return _marked(method, "before_build")


def after_build(method: F) -> F:
    """Let blueprints call ``method`` when the whole was built, on the module."""
    return _marked(method, "after_build")


def moment_of(method: object) -> Moment | None:
    """Return when calls of ``method`` on a blueprint run, None for unmarked methods."""
    return getattr(method, _MARK, None)


def marked_methods(cls: type) -> list[str]:
    """Return the methods of ``cls`` that blueprints may call."""
    return [name for name in dir(cls) if moment_of(getattr(cls, name, None))]


def _marked(method: F, moment: Moment) -> F:
    if not callable(method) or isinstance(method, type):
        raise TypeError(f"@{moment} is for methods, got {method!r:.80}")
    setattr(method, _MARK, moment)
    return method


_styles: Registry[tuple[type[nn.Module], str], Callable[..., Any]] = Registry()


def register_style(cls: type[nn.Module], name: str | None = None) -> Callable[[F], F]:
    """Let blueprints of ``cls`` be configured by name: ``bp.style("slim", width=8)``.

    A decorator of a function whose first argument is the blueprint. Without ``name``
    the style has the name of the function.
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"only module classes have styles, got {cls!r:.80}")

    def register(function: F) -> F:
        _styles.register((cls, name or function.__name__), value=function)
        return function

    return register


def styles_of(cls: type[nn.Module]) -> dict[str, Callable[..., Any]]:
    """Return the styles of ``cls`` and of its bases, by name."""
    registered = _styles.entries.items()
    return {
        name: function
        for base in reversed(cls.__mro__)
        for (owner, name), function in registered
        if owner is base
    }


def style_named(cls: type[nn.Module], name: str, path: str) -> Callable[..., Any]:
    """Return the style of ``cls`` called ``name``; the error lists existing ones."""
    styles = styles_of(cls)
    if name in styles:
        return styles[name]
    style_names = ", ".join(styles) or "none"
    raise SettingError(
        path,
        f"{cls.__qualname__} has no style {name!r}.{did_you_mean(name, styles)} "
        f"It has: {style_names}.",
    )
