"""Runs programs in processes that have imported torch and burnish, and nothing else.

Each runs in a fork of one server (server_of_programs.py) and ends as an interpreter
does, within milliseconds, where a new interpreter imports for seconds. It differs in
this: modules are imported already, texts hash alike in all programs, and of the options
of Python there are -c, -m and -W. Tests of imports, of hashes, and of what is measured
from the start of an interpreter start a new one.
"""

import atexit
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any, Self

_NUMBER = struct.Struct("i")


class FreshProcess:
    """Start ``python *words``; where they agree, it is as `subprocess.Popen`.

    It reads ``text``, and what it writes goes to files, or from stdout to a pipe if
    ``piped``. At its end it waits for threads, calls what `atexit` knows and flushes;
    modules are taken apart as well if ``finalize``.
    """

    def __init__(
        self,
        *words: str | Path,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        text: str = "",
        piped: bool = False,
        finalize: bool = False,
    ) -> None:
        self.args = [str(word) for word in words]
        self.returncode: int | None = None
        self._errors, errors = _filed()
        self.stdout, output = _piped() if piped else _filed()
        self._report, server_end = socket.socketpair()
        request = {
            "words": self.args,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "finalize": finalize,
        }
        with server_end, tempfile.TemporaryFile() as stdin:
            stdin.write(text.encode())
            stdin.seek(0)
            fds = [stdin.fileno(), output, errors, server_end.fileno()]
            socket.send_fds(_server(), [json.dumps(request).encode()], fds)
        if piped:
            os.close(output)
        self.pid = self._next_number()

    def wait(self, timeout: float | None = 120) -> int:
        """Return the status once the process has ended; TimeoutError before that."""
        if self.returncode is None:
            self._report.settimeout(timeout)
            self.returncode = os.waitstatus_to_exitcode(self._next_number())
            self._report.close()
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(timeout=0)
        except BlockingIOError:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = 120) -> tuple[str, str]:
        """Return what the process has written to stdout and stderr, once it has ended.

        A pipe must hold what it writes.
        """
        with self:
            self.wait(timeout)
            if self.stdout.seekable():
                self.stdout.seek(0)
            self._errors.seek(0)
            return self.stdout.read().decode(), self._errors.read().decode()

    def _next_number(self) -> int:
        data = self._report.recv(_NUMBER.size)
        assert data, "the server of programs has ended; it has written why to stderr"
        number: int = _NUMBER.unpack(data)[0]
        return number

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is not None:
            self.kill()
        self.wait()
        self.stdout.close()
        self._errors.close()


def run(
    *words: str | Path, check: bool = False, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Return how ``python *words`` ended, and what it wrote; as `subprocess.run`."""
    process = FreshProcess(*words, **options)
    out, errors = process.communicate()
    status = process.wait()
    assert not check or status == 0, f"status {status}: {errors}"
    return subprocess.CompletedProcess(process.args, status, out, errors)


def _filed() -> tuple[IO[bytes], int]:
    """Return a file that is at no place, and its descriptor."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # until the process has ended
    return file, file.fileno()


def _piped() -> tuple[IO[bytes], int]:
    """Return what is read from a pipe, and the descriptor to write to."""
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), writing


@cache
def _server() -> socket.socket:
    """Start the server of this process, and return where it takes requests."""
    requests, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = Path(__file__).with_name("server_of_programs.py")
    with server_end:
        server = subprocess.Popen(
            [sys.executable, script, str(server_end.fileno())],
            pass_fds=[server_end.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        requests.shutdown(socket.SHUT_RDWR)
        requests.close()
        server.wait()

    atexit.register(end)
    return requests
