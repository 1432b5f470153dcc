"""Imports torch and burnish once, and runs each program in a fork; fresh_processes.py.

The fork of a request forks once more: one process reports the id of the other, which
runs the program, and how it ended. The program ends as this interpreter does.
"""

import atexit
import builtins
import gc
import json
import os
import runpy
import signal
import socket
import struct
import sys
import threading
import types
import warnings
import weakref
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, cast

PACKAGES = ("burnish", "burnish.records", "burnish.core", "burnish.optim")

_NUMBER = struct.Struct("i")


def main() -> None:
    """Serve, or run a program: the forks of the server return into it."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    _import_what_programs_use()
    message, fds = _next_request(requests)
    requests.close()
    *streams, report = fds
    _fork_the_program(socket.socket(fileno=report), streams)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    run(**json.loads(message))


def run(words: list[str], cwd: str, env: dict[str, str], finalize: bool) -> NoReturn:
    """Run a program as ``python *words`` would, and end as it would.

    The modules are not taken apart unless ``finalize``, since that takes longest.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    # Torch 2.6 keeps a folder that goes with the process: the server's, not this one.
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]  # no public way
    # As they are in a new process: Python's own generator does so by itself.
    import_module("numpy").random.seed()
    if "OMP_NUM_THREADS" in env:
        import_module("torch").set_num_threads(int(env["OMP_NUM_THREADS"]))
    while words[0] == "-W":
        warnings.simplefilter(cast(Any, words[1]))
        words = words[2:]
    status = _status_of(words)
    if not finalize:
        threading._shutdown()  # type: ignore[attr-defined]  # as Python waits for threads
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # then this
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _status_of(words: list[str]) -> int:
    """Return the status of a program that ended, after Python's words for errors."""
    try:
        _execute(words)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except Exception as error:
        sys.excepthook(type(error), error.with_traceback(_of_program(error)), None)
        return 1
    return 0


def _import_what_programs_use() -> None:
    # The first optimizer of torch imports it, for longer than all the rest takes.
    import_module("torch._dynamo")
    for name in PACKAGES:
        module = import_module(name)
        for public in module.__all__:
            getattr(module, public)
    # A collection would copy the memory that programs share.
    gc.freeze()


def _next_request(requests: socket.socket) -> tuple[bytes, list[int]]:
    """Fork for each request, and return it in the fork alone."""
    # Ctrl-C is for the programs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        message, fds, *_ = socket.recv_fds(requests, 1 << 20, 4)
        if not message:
            os._exit(0)
        if not os.fork():
            return message, fds
        for fd in fds:
            os.close(fd)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _fork_the_program(report: socket.socket, streams: list[int]) -> None:
    """Return in a fork; this process reports its id and its end, and ends as well."""
    program = os.fork()
    if not program:
        report.close()
        return
    for fd in streams:
        os.close(fd)
    with suppress(BrokenPipeError):
        report.send(_NUMBER.pack(program))
        report.send(_NUMBER.pack(os.waitpid(program, 0)[1]))
    os._exit(0)


def _execute(words: list[str]) -> None:
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    match words:
        case "-c", text, *arguments:
            sys.argv, sys.path[0] = ["-c", *arguments], ""
            exec(compile(text, "<string>", "exec"), vars(module))
        case "-m", name, *arguments:
            sys.argv, sys.path[0] = ["-m", *arguments], os.getcwd()
            runpy._run_module_as_main(name)  # type: ignore[attr-defined]  # as -m does
        case file, *_:
            sys.argv, sys.path[0] = words, str(Path(file).resolve().parent)
            module.__file__ = os.path.abspath(file)
            code = compile(Path(file).read_bytes(), module.__file__, "exec")
            exec(code, vars(module))
        case _:
            raise ValueError("what is to run: -c text, -m module, or a file?")


def _of_program(error: Exception) -> types.TracebackType | None:
    """Return the traceback of an error without the lines of this file."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


if __name__ == "__main__":
    main()
