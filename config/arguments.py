"""Checks of arguments that are numbers of things."""

from numbers import Integral


def check_count(
    name: str, count: object, *, least: int = 1, may_be_none: bool = False
) -> None:
    """Raise ValueError if the argument ``name`` is no whole number >= ``least``."""
    if count is None and may_be_none:
        return
    if not isinstance(count, Integral) or int(count) < least:
        expected = f"at least {least}{' or None' if may_be_none else ''}"
        raise ValueError(f"{name} must be {expected}, got {count!r:.60}")
