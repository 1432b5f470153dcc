"""Descriptions in files of arguments that they cannot hold."""

import functools

from ...config.short_text import with_article


class UnstoredError(TypeError):
    """A value at ``where`` that no file can hold, or not without a declaration."""

    def __init__(self, where: str, problem: str, words: str | None = None) -> None:
        super().__init__(where, problem, words)
        self.where, self.problem = where, problem
        self.words = problem if words is None else words
        """Its description in files, the same in every process."""

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


def why_unstored(value: object, where: str, error: Exception) -> str:
    """Return `description` of an argument at ``where``, with its faulty part."""
    if not isinstance(error, UnstoredError):
        return description(value)
    if error.where == where:
        return error.words[:200]
    kind = with_article(type(value).__name__)
    return f"{kind} with {error.words} at {error.where.removeprefix(where)}"[:200]


def description(value: object) -> str:
    """Describe ``value`` in words that are the same in every process."""
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
    """Describe an untouched default, if its name distinguishes it from others.

    The module of a function is left out, since the function may be moved.
    """
    if isinstance(value, functools.partial):
        name = named_default(value.func)
        return None if name is None else f"a partial of {name}"
    if not callable(value):
        return None
    name = getattr(value, "__name__", None)
    return name[:200] if isinstance(name, str) else None
