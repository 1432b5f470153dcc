"""Warnings that point to the line of the program that caused them."""

import inspect
import warnings

_PACKAGE = __name__.partition(".")[0]


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points to the nearest caller outside of this package."""
    warnings.warn(message, category, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """Return the stack level of the first frame outside of this package."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and _is_of_package(frame.f_globals):
        frame, level = frame.f_back, level + 1
    return level


def _is_of_package(names: dict[str, object]) -> bool:
    return str(names.get("__name__")).partition(".")[0] == _PACKAGE
