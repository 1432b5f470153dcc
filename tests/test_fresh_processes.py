"""What runs in a fork of the server ends and writes as what a new interpreter runs."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from . import fresh_processes
from .fresh_processes import FreshProcess

ENDS = """
import atexit, threading, time
atexit.register(print, "and then the end")
waiter = lambda: (threading.main_thread().join(), print("a thread"))
threading.Thread(target=waiter).start()
print("the program")
"""

PROGRAMS: list[tuple[str, ...]] = [
    ("-c", "import sys; print(sys.argv, sys.path[0], __name__)", "a", "-b"),
    ("-c", "import sys; print(sys.stdin.read().upper(), file=sys.stderr)"),
    ("-c", "def f():\n    g()\n\ndef g():\n    1 / 0\n\nf()"),
    ("-c", "1 /"),
    ("-c", ENDS),
    ("-c", ENDS + "1 / 0"),
    ("-c", "raise SystemExit('words')"),
    ("-c", "raise SystemExit(300)"),
    ("-c", "raise SystemExit"),
    ("-c", "import os; print('lost'); os._exit(9)"),
    ("-c", "import os; os.kill(os.getpid(), 9)"),
    ("-c", "import signal; signal.raise_signal(signal.SIGTERM)"),
    ("-W", "error", "-c", "import warnings; warnings.warn('told')"),
    ("-m", "json.tool", "--compact"),
    ("-m", "no_such_module"),
    ("program.py", "a"),
]


@pytest.mark.parametrize(
    ("words", "finalize"),
    [*((words, False) for words in PROGRAMS), (("-c", ENDS), True)],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_a_program_ends_and_writes_as_in_a_new_interpreter(
    words: tuple[str, ...], finalize: bool, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(
        "import sys; print(sys.argv, __name__, __file__, sys.path[0]); raise KeyError"
    )
    command = [sys.executable, *words]
    expected = subprocess.run(
        command, input='{"a": 1}', cwd=tmp_path, capture_output=True, text=True
    )

    result = fresh_processes.run(
        *words, text='{"a": 1}', cwd=tmp_path, finalize=finalize
    )

    assert result.returncode == expected.returncode
    assert result.stdout == expected.stdout
    assert result.stderr == expected.stderr


STATE = """
import json, os, sys
import numpy, torch
import burnish
burnish.seen = getattr(burnish, "seen", 0) + 1
print(json.dumps({
    "seen": burnish.seen,
    "drawn": [numpy.random.rand(), torch.rand(1).item()],
    "environment": os.environ.get("OF_THIS_TEST"),
    "main": len(vars(sys.modules["__main__"])),
    "tests": [m for m in sys.modules if m.split(".")[0] in ("tests", "pytest")],
}))
"""


def test_a_program_meets_nothing_of_the_tests_and_of_other_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OF_THIS_TEST", "1")

    first, second = (
        json.loads(fresh_processes.run("-c", STATE, check=True).stdout)
        for _ in range(2)
    )

    assert first["tests"] == []
    assert first["environment"] == "1"
    assert first["seen"] == second["seen"] == 1
    # numpy is seeded anew in each process, and torch alike in all.
    assert first["drawn"][0] != second["drawn"][0]
    assert first["drawn"][1] == second["drawn"][1]


def test_a_process_is_read_and_signalled_while_it_runs() -> None:
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('again', flush=True))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(60)"
    )

    with FreshProcess("-c", program, piped=True) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"again\n"
        assert process.poll() is None
        process.kill()
        assert process.wait() == -signal.SIGKILL

    assert process.poll() == -signal.SIGKILL


def test_a_process_that_does_not_end_is_waited_for_no_longer_and_killed() -> None:
    with (
        pytest.raises(TimeoutError),
        FreshProcess("-c", "import time; time.sleep(600)") as process,
    ):
        process.wait(timeout=0.01)

    assert process.returncode == -signal.SIGKILL


def test_an_error_is_told_where_success_was_asked_for() -> None:
    with pytest.raises(AssertionError, match=r"(?s)status 1: .*ZeroDivisionError"):
        fresh_processes.run("-c", "1 / 0", check=True)
