"""Arguments that no file can hold: what stands for them in hyperparameters."""

import functools

UNSTORED = "__unstored__"
"""The key of the arguments that were no plain data, by name, with what they were."""

DEFAULTS = "__defaults__"
"""The key of arguments that were an untouched default and no plain data, by name."""

ALL = "*"
"""The name of all arguments together, where nothing tells one from another."""


NOT_CAPTURED = (
    "was built before its class was decorated, or by another constructor than the one "
    "that @burnish.module saw"
)
"""What is said of an instance of a decorated class whose arguments nobody noted."""

NOT_NOTED = "is of a class that is not decorated, so nobody noted them"


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
