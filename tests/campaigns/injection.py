"""An exception at the n-th line of this library that something runs, for every n."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import burnish

ROOT = str(Path(burnish.__file__).parent)
_DESTRUCTORS = ("__del__", "_closed_at_the_end")


class Injected(BaseException):
    """What comes between two lines, as Ctrl-C does."""


def run_until(action: Callable[[], object], n: int) -> int:
    """Run ``action`` and raise `Injected` in place of its ``n``-th line; 0: never.

    Return how many lines it ran. Destructors are left alone: Python drops what they
    raise.
    """
    count = 0

    def local(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            if count == n:
                place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise Injected(place.removeprefix(ROOT))
        return local

    def trace(frame: FrameType, _: str, __: Any) -> Any:
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        outer: FrameType | None = frame
        while outer is not None and outer.f_code.co_name not in _DESTRUCTORS:
            outer = outer.f_back
        return local if outer is None else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def injected(
    prepare: Callable[[], Callable[[], object]], every: int = 1
) -> Iterator[str]:
    """Yield the place of each injection, once the action that it ended is over.

    ``prepare`` returns the action afresh; of its lines each ``every``-th is tried.
    """
    run_until(prepare(), 0)  # What is imported or kept the first time is no matter.
    n_lines = run_until(prepare(), 0)
    for n in range(1, n_lines + 1, every):
        action = prepare()
        try:
            run_until(action, n)
        except BaseException as error:
            place = _place_of(error)
        else:
            place = ""
        del action
        yield place


def _place_of(error: BaseException) -> str:
    found: BaseException | None = error
    while found is not None and not isinstance(found, Injected):
        found = found.__cause__ or found.__context__
    return repr(error) if found is None else str(found)
