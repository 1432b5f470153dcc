"""Runs something in a process of its own that is killed at its n-th system call."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

CALLS = ("rename", "replace", "fsync", "mkdir", "unlink", "rmdir", "open", "link")


def killed_everywhere(
    prepare: Callable[[], Callable[[], object]], stride: int = 1
) -> Iterator[int]:
    """Yield after each kill: at the first call, the second, until none is left.

    With a ``stride`` of 3 it is the first, the fourth, the seventh.

    ``prepare`` is called afresh before each, and what it returns runs in the child.
    """
    for n in range(1, 1000, stride):
        action = prepare()
        child = os.fork()
        if not child:
            _run_and_die(action, n)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the action itself failed"
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        yield n


def _run_and_die(action: Callable[[], object], n: int) -> None:
    left = n

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    code = 1
    try:
        patches: dict[str, Any] = {name: counted(getattr(os, name)) for name in CALLS}
        with mock.patch.multiple(os, **patches):
            action()
        code = 0
    finally:
        os._exit(code)
