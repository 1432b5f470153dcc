"""What files say of arguments that they cannot hold, in place of their values."""

import functools

from ...config.short_text import with_article


class UnstoredError(TypeError):
    """A value at ``where`` that no file can hold, or not without a declaration."""

    def __init__(self, where: str, problem: str, words: str | None = None) -> None:
        super().__init__(where, problem, words)
        self.where, self.problem = where, problem
        self.words = problem if words is None else words
        """What a file says of it, the same in every process."""

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


def why_unstored(value: object, where: str, error: Exception) -> str:
    """Return `description` of an argument at ``where``, and what of it is at fault."""
    if not isinstance(error, UnstoredError):
        return description(value)
    if error.where == where:
        return error.words[:200]
    kind = with_article(type(value).__name__)
    return f"{kind} with {error.words} at {error.where.removeprefix(where)}"[:200]


def description(value: object) -> str:
    """Return what ``value`` is in words that are the same in every process."""
    if isinstance(value, functools.partial):
        return f"a partial of {description(value.func)}"
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if isinstance(name, str) and callable(value):
        kind = "the class" if isinstance(value, type) else "the function"
        return f"{kind} {getattr(value, '__module__', None)}.{name}"[:200]
    described = getattr(value, "burnish_description", None)
    if isinstance(described, str):
        return described
    return f"an object of {type(value).__module__}.{type(value).__qualname__}"[:200]


def named_default(value: object) -> str | None:
    """Return what an untouched default was, if another may be told from it by name.

    The module of a function is left out: it may move and stay the same function.
    """
    if isinstance(value, functools.partial):
        name = named_default(value.func)
        return None if name is None else f"a partial of {name}"
    if not callable(value):
        return None
    name = getattr(value, "__name__", None)
    return name[:200] if isinstance(name, str) else None
