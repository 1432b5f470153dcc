"""An exception at the n-th line of this library that something runs, for every n."""

import dis
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import dropwhile, islice
from linecache import getline
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import burnish

ROOT = str(Path(burnish.__file__).parent)
_IN_C = re.compile(r"^\s*with .*(lock(\.here)?|without_(subclasses|functions)\(\)):")
"""Lines of ``with`` whose ``__exit__`` is a function of C: locks, states of torch."""
_DESTRUCTORS = ("__del__", "_close_at_the_end")


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
        if event == "line" and frame.f_lasti not in _ends_in_c(frame.f_code):
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


@cache
def _ends_in_c(code: CodeType) -> frozenset[int]:
    """Return where blocks of `_IN_C` end, by offset of the instruction.

    Tracing calls each a line. Python looks for signals after a call and at the start of
    a function of its own, and an ``__exit__`` of C is none: nothing comes between the
    last line and its call, and an exception there would leave a lock locked, or torch
    without the functions of subclasses.
    """
    found: set[int] = set()
    instructions = list(dis.get_instructions(code))
    for i, instruction in enumerate(instructions):
        number = _line_begun_by(instruction)
        if number is None or not _IN_C.search(getline(code.co_filename, number)):
            continue
        # A value that is returned from the block is put below what is called.
        rest = dropwhile(lambda one: one.opname == "SWAP", instructions[i : i + 5])
        calls = list(islice(rest, 3))
        if len(calls) == 3 and all(
            one.opname == "LOAD_CONST" and one.argval is None for one in calls
        ):
            found.add(instruction.offset)
    return frozenset(found)


def _line_begun_by(instruction: dis.Instruction) -> int | None:
    """Return the number of the line whose first instruction this is."""
    # Since Python 3.13 the number stands apart from whether a line starts.
    number: int | None = getattr(instruction, "line_number", instruction.starts_line)
    return number if instruction.starts_line else None


def injected(
    prepare: Callable[[], Callable[[], object]],
    every: int = 1,
    look: Callable[[str], object] = lambda place: None,
) -> Iterator[str]:
    """Yield the place of each injection, once the action that it ended is over.

    ``prepare`` returns the action afresh; of its lines each ``every``-th is tried.
    ``look`` is called with the place while the traceback still holds all frames, as a
    notebook keeps it.
    """
    run_until(prepare(), 0)  # What is imported or kept the first time is no matter.
    n_lines = run_until(prepare(), 0)
    for n in range(1, n_lines + 1, every):
        action = prepare()
        try:
            run_until(action, n)
        except BaseException as error:
            place = _place_of(error)
            look(place)
        else:
            place = ""
        del action
        yield place


def _place_of(error: BaseException) -> str:
    found: BaseException | None = error
    while found is not None and not isinstance(found, Injected):
        found = found.__cause__ or found.__context__
    return repr(error) if found is None else str(found)
