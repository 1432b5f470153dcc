"""Checks of arguments that are counts, flags or functions."""

import inspect
from collections.abc import Callable
from numbers import Integral


def check_count(
    name: str, count: object, *, least: int = 1, may_be_none: bool = False
) -> None:
    """Raise ValueError unless the argument ``name`` is an integer >= ``least``."""
    if count is None and may_be_none:
        return
    if not isinstance(count, Integral) or int(count) < least:
        expected = f"at least {least}{' or None' if may_be_none else ''}"
        raise ValueError(f"{name} must be {expected}, got {count!r:.60}")


def check_flag(name: str, flag: object, *, may_be_none: bool = False) -> None:
    """Raise TypeError if the argument ``name`` is neither True nor False.

    A string like "no" is truthy, and would be taken for the opposite of what it means.
    """
    if isinstance(flag, bool) or (flag is None and may_be_none):
        return
    choice = "True, False or None" if may_be_none else "True or False"
    raise TypeError(f"{name} must be {choice}, got {flag!r:.60}")


def takes(function: Callable[..., object], n_arguments: int) -> bool:
    """Return whether ``function`` may be called with so many arguments by position."""
    try:
        inspect.signature(function).bind(*[None] * n_arguments)
    except ValueError:
        return True  # a function in C that does not say what it takes
    except TypeError:
        return False
    return True
