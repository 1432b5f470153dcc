"""Fair comparisons: alternating runs, CPU time, memory, and bytes that were asked for.

What a runner returns is freed outside the timed part. Ratios are ours / peer of each
round, so that whatever else the machine does falls on both sides alike.
"""

import ctypes
import gc
import json
import os
import statistics
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias
from unittest import mock

MIB = 1 << 20
PAIRS = 9
FEWEST = 5
"""Rounds after which a race may end, where all that it measured is narrow by then."""
NARROW = 0.02
"""Between the quartiles of a ratio, as a part of its median."""
LONG = 3.0
"""Seconds after which a race ends with `FEWEST` rounds, whatever it found."""
TOO_LONG = 10.0
"""Seconds after which `FEWEST_OF_LONG` have to do."""
FEWEST_OF_LONG = 3

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of malloc.h."""


class Unmeasured(Exception):
    """What a bench needs is not on this machine; its text says what."""


Clock: TypeAlias = Callable[[], float]


@dataclass(slots=True)
class Samples:
    """Times of one runner, in seconds, one per round."""

    cpu: list[float] = field(default_factory=list[float])
    wall: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One answer of a bench: a figure of ours, beside a peer's where there is one."""

    question: str
    case: str
    ours: float
    peer: float | None = None
    unit: str
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    """Lower and upper quartile of the ratio."""
    target: str = ""
    met: bool | None = None
    """None where no target was set."""

    @classmethod
    def timed(
        cls,
        question: str,
        case: str,
        ours: Samples,
        peer: Samples,
        *,
        at_most: float | None = None,
        by: Literal["cpu", "wall"] = "cpu",
    ) -> Self:
        """Return the row of two runners of one race; ``at_most`` bounds the ratio."""
        left, right = getattr(ours, by), getattr(peer, by)
        ratios = [a / b for a, b in zip(left, right, strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return cls(
            question=question,
            case=case,
            ours=1e3 * statistics.median(left),
            peer=1e3 * statistics.median(right),
            unit=f"ms {by}",
            ratio=ratio,
            spread=(low, high),
            target=_target(at_most, "x"),
            met=None if at_most is None else ratio <= at_most,
        )

    @classmethod
    def sized(
        cls,
        question: str,
        case: str,
        ours: float,
        peer: float,
        unit: str,
        *,
        at_most: float | None = None,
    ) -> Self:
        """Return the row of two amounts; ``at_most`` bounds their ratio."""
        return cls(
            question=question,
            case=case,
            ours=ours,
            peer=peer,
            unit=unit,
            ratio=ours / peer,
            target=_target(at_most, "x"),
            met=None if at_most is None else ours / peer <= at_most,
        )

    @classmethod
    def bounded(
        cls,
        question: str,
        case: str,
        ours: float,
        unit: str,
        *,
        at_most: float,
        peer: float | None = None,
    ) -> Self:
        """Return the row of an amount that ``at_most`` bounds itself."""
        return cls(
            question=question,
            case=case,
            ours=ours,
            peer=peer,
            unit=unit,
            target=_target(at_most, f" {unit}"),
            met=ours <= at_most,
        )


def race(
    runners: Mapping[str, Callable[[], object]],
    *,
    pairs: int = PAIRS,
    before: Callable[[], object] = lambda: None,
    clock: Clock = time.process_time,
    ends: Callable[[bool], bool] = bool,
    isolated: bool = False,
    collecting: bool = False,
) -> dict[str, Samples]:
    """Run the runners in turn, each ``pairs`` times after a warm-up, order alternating.

    ``before`` is called ahead of each run, untimed. ``clock`` is that of the CPU:
    `time.thread_time` leaves other threads out. With ``isolated``, each run has a
    forked process of its own, which has imported what this one has, and no more.
    Garbage is collected during a run only if ``collecting``, as users have it. A race
    ends after `FEWEST` rounds or more once the ratios of all its runners are narrow,
    or it was `LONG`: ``ends`` is asked, since processes that race together must all
    end with the same round.
    """
    samples = {name: Samples() for name in runners}
    began = time.monotonic()
    for round_ in range(pairs + 1):
        for name in [*runners][:: 1 if round_ % 2 else -1]:
            before()
            time_it = partial(_timed, runners[name], clock, collecting)
            cpu, wall = forked(time_it) if isolated else time_it()
            if round_:
                samples[name].cpu.append(cpu)
                samples[name].wall.append(wall)
        if ends(_is_over(samples, round_, time.monotonic() - began)):
            break
    return samples


def _is_over(samples: Mapping[str, Samples], n_rounds: int, seconds: float) -> bool:
    if n_rounds < FEWEST:
        return n_rounds >= FEWEST_OF_LONG and seconds > TOO_LONG
    return seconds > LONG or _are_narrow([*samples.values()])


def _are_narrow(samples: Sequence[Samples]) -> bool:
    """Return whether every runner's ratio to the first one is known by now."""
    first, *others = samples
    pairs = [(s.cpu, first.cpu) for s in others] + [
        (s.wall, first.wall) for s in others
    ]
    return bool(pairs) and all(_is_narrow(left, right) for left, right in pairs)


def _is_narrow(left: Sequence[float], right: Sequence[float]) -> bool:
    if not all(right):
        return False
    ratios = [a / b for a, b in zip(left, right, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return high - low <= NARROW * middle


def _timed(
    run: Callable[[], object], clock: Clock, collecting: bool
) -> tuple[float, float]:
    gc.collect()
    if not collecting:
        gc.disable()
    try:
        wall, cpu = time.perf_counter(), clock()
        result = run()
        cpu, wall = clock() - cpu, time.perf_counter() - wall
        del result
    finally:
        gc.enable()
    return cpu, wall


def forked(run: Callable[[], Any]) -> Any:
    """Return what ``run`` returns in a forked process, which must fit JSON."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of forks beside threads; the child makes one call only.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        answer: dict[str, object] = {}
        try:
            os.close(reading)
            answer["value"] = run()
        except BaseException:
            answer["error"] = traceback.format_exc()
        finally:
            with os.fdopen(writing, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    answer = json.loads(text) if text else {"error": f"exit status {status}"}
    if "error" in answer:
        raise RuntimeError(f"in a forked process: {answer['error']}")
    return answer["value"]


def by_two_processes(run: Callable[[int], Any]) -> Any:
    """Call ``run`` with its rank in two forked processes; return what rank 0 does.

    They are a group of torch.distributed (gloo), of one thread each.
    """
    with scratch() as folder:
        other = os.fork()
        if not other:
            try:
                _in_group(run, 1, folder)
            finally:
                os._exit(0)
        result = forked(lambda: _in_group(run, 0, folder))
        os.waitpid(other, 0)
    return result


def _in_group(run: Callable[[int], Any], rank: int, folder: str) -> Any:
    from torch import distributed as dist
    from torch import set_num_threads

    set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    result = run(rank)
    dist.destroy_process_group()
    return result


def race_of_processes(
    runners: Mapping[str, Callable[[], object]], **options: Any
) -> dict[str, Any]:
    """Return the fields of what `race` does, in processes that race together."""
    from torch import distributed as dist
    from torch import tensor

    def ends(is_over: bool) -> bool:
        votes = tensor(float(is_over))
        dist.all_reduce(votes)
        return bool(votes)

    # What was imported and built before is not looked through before each run.
    gc.collect()
    gc.freeze()
    times = race(runners, before=dist.barrier, ends=ends, **options)
    return {name: asdict(samples) for name, samples in times.items()}


@dataclass(frozen=True, slots=True)
class Memory:
    """What a run adds to the memory of its process, in bytes."""

    peak: int
    """Most at any time, with the pages of mapped files, which can be evicted."""
    own: int
    """What its result keeps, mapped files not counted."""


def extra_memory(run: Callable[[], object]) -> Memory:
    """Return what ``run`` needs in a forked process, where it has run once before.

    Blocks from 256 KiB on go back to the system when they are freed, so that what
    counts is what lives, not what the allocator keeps.
    """
    return Memory(*forked(lambda: memory_of_second_run(run)))


def memory_of_second_run(run: Callable[[], object]) -> tuple[int, int]:
    """Return the fields of `Memory`, for a process that nobody measures otherwise."""
    _return_blocks()
    run()
    return memory_of_run(run)


def memory_of_run(run: Callable[[], object]) -> tuple[int, int]:
    """Return the same of a run that others have come before."""
    libc = _return_blocks()
    gc.collect()
    libc.malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    resident, anonymous = _status("VmRSS"), _status("RssAnon")
    result = run()
    peak, kept = _status("VmHWM") - resident, _status("RssAnon") - anonymous
    del result
    return peak, kept


def _return_blocks() -> ctypes.CDLL:
    """Have blocks from 256 KiB on go back to the system when they are freed."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 1 << 18)
    return libc


def bytes_requested(run: Callable[[], object]) -> int:
    """Return how many bytes ``run`` asks the system to read; maps are not counted."""
    start = _read_so_far()
    overhead = _read_so_far() - start
    start = _read_so_far()
    run()
    return _read_so_far() - start - overhead


def drop_cache(file: str) -> None:
    """Make the next read of ``file`` come from its disk."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


@contextmanager
def no_fsync() -> Generator[None]:
    """Turn `os.fsync` off, for comparisons with libraries that never call it."""
    with mock.patch("os.fsync", return_value=None):
        yield


@contextmanager
def scratch(kind: Literal["memory", "disk"] = "memory") -> Generator[str]:
    """Return a folder in memory or on a disk that is removed at the end."""
    for folder in ("/dev/shm", tempfile.gettempdir(), "/var/tmp", os.getcwd()):
        if os.access(folder, os.W_OK) and (_is_tmpfs(folder) == (kind == "memory")):
            with tempfile.TemporaryDirectory(dir=folder, prefix="burnish-") as made:
                yield made
            return
    raise OSError(f"no writable folder lies on {kind}")


def _is_tmpfs(folder: str) -> bool:
    with open("/proc/self/mounts", encoding="utf-8") as lines:
        mounts = {line.split()[1]: line.split()[2] for line in lines}
    path = Path(folder).resolve()
    kinds = (mounts[str(p)] for p in (path, *path.parents) if str(p) in mounts)
    return next(kinds) == "tmpfs"


def _status(key: str) -> int:
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def _read_so_far() -> int:
    with open("/proc/self/io", "rb", buffering=0) as file:
        return int(file.read(4096).split()[1])


def _target(at_most: float | None, unit: str) -> str:
    return "" if at_most is None else f"<= {at_most:.3g}{unit}"
