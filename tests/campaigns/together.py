"""Writers, readers and killers of one file at once, each a process."""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .faults import NEW, OLD, Scenario


def killed_at_random(
    scenario: Scenario, n_kills: int, *, longest: float = 0.02
) -> Counter[str]:
    """Kill a process that saves for ever, at random moments; count what is there.

    "old or new" was whole, "lost" was not; "next" is a save after it that failed, and
    "litter" what that left.
    """
    found: Counter[str] = Counter()
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario.save(folder, OLD)
        scenario.save(folder, NEW)
        names = set(folder.rglob("*"))
        for _ in range(n_kills):
            child = _forked(lambda: _save_for_ever(scenario, folder))
            time.sleep(draw.uniform(0, longest))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            found["kills"] += 1
            found["old or new" if _is_whole(scenario, folder) else "lost"] += 1
            with suppress(Exception):
                scenario.save(folder, OLD)
                found["saved again"] += 1
            found["litter"] += len(set(folder.rglob("*")) - names)
    return found


def together(scenario: Scenario, seconds: float) -> Counter[str]:
    """Let two processes save and two read for a while; count what they met.

    "reads" and "saves" that went well, and those that did not: "bad reads", "failed
    saves".
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario.save(folder, OLD)
        end = time.monotonic() + seconds
        roles: list[Callable[[], Counter[str]]] = [
            lambda: _repeated(end, lambda: scenario.save(folder, OLD), "saves"),
            lambda: _repeated(end, lambda: scenario.save(folder, NEW), "saves"),
            lambda: _repeated(end, lambda: _read(scenario, folder), "reads"),
            lambda: _repeated(end, lambda: _read(scenario, folder), "reads"),
        ]
        pipes = [_counting(role) for role in roles]
        found: Counter[str] = Counter()
        for child, reader in pipes:
            with open(reader, encoding="utf-8") as stream:
                for line in stream:
                    key, count = line.rsplit(None, 1)
                    found[key] += int(count)
            os.waitpid(child, 0)
        found["litter"] = len([*folder.rglob("*.tmp")])
    return found


def _repeated(end: float, action: Callable[[], object], what: str) -> Counter[str]:
    found: Counter[str] = Counter()
    while time.monotonic() < end:
        try:
            action()
        except Exception as error:
            found[f"failed {what}"] += 1
            if found[f"failed {what}"] < 4:
                print(f"{what}: {error!r:.300}", file=sys.stderr)
        else:
            found[what] += 1
    return found


def _counting(role: Callable[[], Counter[str]]) -> tuple[int, int]:
    reader, writer = os.pipe()

    def work() -> None:
        lines = [f"{key} {count}\n" for key, count in role().items()]
        os.write(writer, "".join(lines).encode())

    child = _forked(work)
    os.close(writer)
    return child, reader


def _forked(action: Callable[[], object]) -> int:
    child = os.fork()
    if not child:
        try:
            action()
        finally:
            os._exit(0)
    return child


def _save_for_ever(scenario: Scenario, folder: Path) -> None:
    while True:
        for value in (OLD, NEW):
            scenario.save(folder, value)


def _read(scenario: Scenario, folder: Path) -> None:
    value = scenario.read(folder)
    if value not in (OLD, NEW):
        raise ValueError(f"read {value}")


def _is_whole(scenario: Scenario, folder: Path) -> bool:
    with suppress(Exception):
        _read(scenario, folder)
        return True
    return False
