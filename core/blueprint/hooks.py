"""Marks for methods that may be called on a blueprint, and when such calls run."""

from collections.abc import Callable
from typing import Any, TypeVar

from .entry import Moment

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "_burnish_moment"


def stateful(method: F) -> F:
    """Let blueprints call ``method``: at once, on the blueprint and each copy of it.

    ``self`` is the blueprint, or the part of it that the call was made on.
    """
    return _marked(method, "stateful")


def after_init(method: F) -> F:
    """Let blueprints call ``method``: each time the module's ``__init__`` has run.

    ``self`` is the module, as yet without the children that come after it.
    """
    return _marked(method, "after_init")


def before_build(method: F) -> F:
    """Let blueprints call ``method``: when a build begins, on the blueprint.

    What it configures holds for that build.
    """
    return _marked(method, "before_build")


def after_build(method: F) -> F:
    """Let blueprints call ``method``: when the whole has been built, on the module."""
    return _marked(method, "after_build")


def moment_of(method: object) -> Moment | None:
    """Return when calls of ``method`` on a blueprint run, None for any other method."""
    return getattr(method, _MARK, None)


def marked_methods(cls: type) -> list[str]:
    """Return the methods of ``cls`` that blueprints may call."""
    return [name for name in dir(cls) if moment_of(getattr(cls, name, None))]


def _marked(method: F, moment: Moment) -> F:
    if not callable(method) or isinstance(method, type):
        raise TypeError(f"@{moment} is for methods, got {method!r:.80}")
    setattr(method, _MARK, moment)
    return method
