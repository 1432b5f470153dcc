"""All processes of a run continue, or all of them raise the same error.

If one raises alone, the others wait at their next message until the group's timeout,
and continue from another state than it does.
"""

import builtins
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NoReturn, TypeVar

from ...config import errors as config_errors
from ...config.errors import Problem
from .. import errors as record_errors
from .messages import (
    broadcast_text,
    gathered,
    global_rank,
    lowest,
    n_processes,
    rank,
)

T = TypeVar("T")


def agreed(act: Callable[[], T], *, groups: Sequence[Any] = (None,)) -> T:
    """Return the result of ``act`` here, once it has returned on every process.

    If it raises on some of them, all raise the error of the first of these. ``act``
    must not wait for other processes. Every caller waits for all. ``groups`` are those
    that this process belongs to; None is that of all processes.
    """
    if all(n_processes(group) == 1 for group in groups):  # or there are none
        return act()
    error: Exception | None = None
    result: Any = None
    try:
        result = act()
    except Exception as raised:  # whatever it is, the others have to learn of it
        error = raised
    failed = _NOBODY if error is None else rank()
    failed, text = _first_failure(failed, "" if error is None else _text(error), groups)
    if failed != _NOBODY:
        _raise(error, text, failed)
    returned: T = result
    return returned


def agreed_messages(
    act: Callable[[], bytes],
    *,
    undo: Callable[[], object] = lambda: None,
    group: Any = None,
) -> list[bytes]:
    """Return the result of ``act`` on each process of ``group``, in their order.

    It does the work of `agreed` and `messages.gathered` in one exchange. ``undo`` is
    called if ``act`` raised on any process, and by all of them; not if the exchange
    fails, since it may have succeeded on others.
    """
    if n_processes(group) == 1:
        return [act()]
    error: Exception | None = None
    try:
        message = _RETURNED + act()
    except Exception as raised:  # as in `agreed`
        error, message = raised, _RAISED + _text(raised).encode(errors="surrogatepass")
    messages = gathered(message, group=group)
    for number, message in enumerate(messages):
        if message.startswith(_RAISED):
            undo()
            text = message.removeprefix(_RAISED).decode(errors="surrogatepass")
            _raise(error, text, global_rank(number, group))
    return [message.removeprefix(_RETURNED) for message in messages]


_RETURNED, _RAISED = b"\0", b"\1"


def _raise(own_error: Exception | None, text: str, failed: int) -> NoReturn:
    """Raise the error reported by process ``failed``, which may be this one."""
    if own_error is not None and failed == rank():
        raise own_error
    raise _error(text, failed) from own_error


_NOBODY = 1 << 31
"""A number that no process has."""


def _first_failure(failed: int, text: str, groups: Sequence[Any]) -> tuple[int, str]:
    """Return which of all processes failed first, and its error, on each of them."""
    for group in groups:
        n = n_processes(group)
        failed, source = divmod(lowest(failed * n + rank(group), group=group), n)
        if failed != _NOBODY:
            text = broadcast_text(text, source=source, group=group)
    return failed, text


def _text(error: Exception) -> str:
    """Return ``error`` as JSON; nothing is pickled, since it may have any class.

    A class that others may not know is represented by its message.
    """
    cls = type(error)
    if _class_named(cls.__name__) is cls or isinstance(error, OSError):
        name = cls.__name__ if _class_named(cls.__name__) is cls else "OSError"
        try:
            return json.dumps({"class": name, "args": _args(error)}, default=_problem)
        except (TypeError, ValueError):
            pass
    words = str(error)
    base = next(base for base in cls.__mro__ if _is_made_of(base, words))
    return json.dumps({"class": base.__name__, "args": [words]})


def _is_made_of(cls: type, words: str) -> bool:
    """Return whether ``cls`` is one of Python's errors with nothing but a message."""
    if vars(builtins).get(cls.__name__) is not cls:
        return False
    try:
        return str(cls(words)) == words
    except TypeError:
        return False


def _args(error: Exception) -> list[Any]:
    if isinstance(error, OSError) and error.errno is not None:
        # The location, and the advice, are in attributes that may be set later.
        file = error.filename
        return [error.errno, error.strerror, None if file is None else str(file)]
    return list(error.args)


def _problem(value: object) -> Any:
    if isinstance(value, Problem):
        return {"problem": asdict(value)}
    raise TypeError(f"not plain data: {value!r:.60}")


def _error(text: str, failed: int) -> Exception:
    """Return the error reported by process ``failed``."""
    facts = json.loads(text, object_hook=_problem_again)
    cls = _class_named(facts["class"]) or RuntimeError
    error = cls(*facts["args"])
    error.add_note(f"on process {failed} of {n_processes()}")
    return error


def _problem_again(facts: dict[str, Any]) -> Any:
    return Problem(**facts["problem"]) if "problem" in facts else facts


def _class_named(name: str) -> type[Exception] | None:
    """Return an error class of ours or of Python's."""
    for home in (config_errors, record_errors, builtins):
        cls = getattr(home, name, None)
        if isinstance(cls, type) and issubclass(cls, Exception):
            return cls
    return None
