"""A run that keeps the files which reach new branches of the header parsers."""

import dis
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import CodeType, FrameType, FunctionType
from typing import Any

from .mutations import FORGERS, mutated

PARSERS: dict[str, str] = {
    "records.header.columns": "",
    "records.header.metadata": "check_metadata",
    "records.header.header": """
        plain_of record_of check_tree
        _checked_table _read_table _entries _add_sparse
    """,
    "config.plain.digits": "is_digits integer_of",
    "config.plain.codec": "decode tagged",
    "records.entries.nodes": """
        decode tag_of scalar leaf record _is_index _is_record _is_pairs
    """,
    "records.formats.bounded_msgpack": """
        __init__ members value spent
        settle end _spend _run _no_extension
    """,
    "records.formats.messagepack": """
        read_document _read_header _read_payloads
        _checked_layout _checked_planes _check_framing
    """,
    "records.formats.json_reader": "",
    "records.formats.safetensors_header": "",
    "records.formats.safetensors_record": "",
    "records.formats.zstd_frames": "read_table",
}
"""Modules, and which of their functions read headers; empty: all."""

Branch = tuple[CodeType, int, int]


@dataclass
class Exploration:
    """What a run reached."""

    n_branches: int
    n_reached: int = 0
    n_runs: int = 0
    corpus: list[bytes] = field(default_factory=list[bytes])
    errors: list[str] = field(default_factory=list[str])


def explore(
    seeds: Sequence[bytes],
    seconds: float,
    draw: random.Random,
    read: Callable[[bytes], None],
    *,
    most: int = sys.maxsize,
) -> Exploration:
    """Read changed ``seeds``, for so long or so often, and say what was reached."""
    branches = set(_branches())
    found, reached = Exploration(len(branches)), set[Branch]()
    codes = {code for code, _, _ in branches}
    end = time.monotonic() + seconds
    waiting = list(seeds)
    while found.n_runs < len(seeds) or (time.monotonic() < end and found.n_runs < most):
        data = waiting.pop() if waiting else _changed(draw.choice(found.corpus), draw)
        found.n_runs += 1
        arcs, error = _traced(read, data, codes)
        if error is not None:
            found.errors.append(f"{error} in {data[:60]!r}")
        new = (arcs & branches) - reached
        if new:
            reached |= new
            found.corpus.append(data)
    found.n_reached = len(reached)
    return found


def unreached(seeds: Sequence[bytes], read: Callable[[bytes], None]) -> list[str]:
    """Return the branches that no seed reaches, by function and line."""
    branches, reached = set(_branches()), set[Branch]()
    codes = {code for code, _, _ in branches}
    for data in seeds:
        reached |= _traced(read, data, codes)[0]
    return sorted(
        f"{code.co_filename.rpartition('/')[2]}:{_line(code, at)} -> {_line(code, to)}"
        f" {code.co_qualname}"
        for code, at, to in branches - reached
    )


def _changed(data: bytes, draw: random.Random) -> bytes:
    name = _form(data)
    if name is not None and draw.random() < 0.7:
        try:
            return FORGERS[name](data, draw)
        except Exception:  # a file too damaged to be taken apart
            pass
    return mutated(data, draw)


def _form(data: bytes) -> str | None:
    if data.startswith(b"\x86\xa7burnish"):
        return "mpk"
    if data.startswith(b"\x50\x2a\x4d\x18"):
        return "mpk.zst"
    if data.startswith(b"{"):
        return "json"
    return "safetensors" if data[8:9] == b"{" else None


def _traced(
    read: Callable[[bytes], None], data: bytes, codes: set[CodeType]
) -> tuple[set[Branch], str | None]:
    arcs = set[Branch]()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "call":
            if frame.f_code not in codes:
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            return trace
        if event == "opcode":
            at = frame.f_lasti
            if frame in last:
                arcs.add((frame.f_code, last[frame], at))
            last[frame] = at
        elif event == "return":
            last.pop(frame, None)
        return trace

    sys.settrace(trace)
    try:
        read(data)
    except Exception as error:  # whatever it is, it is reported
        return arcs, f"{type(error).__name__}: {error!s:.200}"
    finally:
        sys.settrace(None)
    return arcs, None


def _branches() -> Iterator[Branch]:
    for name, functions in PARSERS.items():
        module = import_module(f"burnish.{name}")
        for code in _codes_of(module, set(functions.split())):
            yield from _branches_of(code)


def _codes_of(module: Any, names: set[str]) -> Iterator[CodeType]:
    pending: list[Any] = list(vars(module).values())
    while pending:
        item = pending.pop()
        if isinstance(item, type) and item.__module__ == module.__name__:
            pending += vars(item).values()
        item = getattr(item, "__func__", item)
        item = getattr(item, "fget", item)
        is_own = isinstance(item, FunctionType) and item.__module__ == module.__name__
        if is_own and (not names or item.__name__ in names):
            yield from _nested(item.__code__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _branches_of(code: CodeType) -> Iterator[Branch]:
    steps = list(dis.get_instructions(code))
    before, start = "", None
    for step, following in itertools.pairwise(steps):
        # A prefix and its step are one event of the trace, at the prefix.
        start = step.offset if start is None else start
        if step.opname == "EXTENDED_ARG":
            continue
        if "_IF_" in step.opname or step.opname == "FOR_ITER":
            yield code, start, following.offset
            # An exception that no clause names is a defect, and reported as one.
            if before != "CHECK_EXC_MATCH":
                yield code, start, step.argval
        before, start = step.opname, None


def _line(code: CodeType, offset: int) -> int:
    line = 0
    for start, end, number in code.co_lines():
        if start <= offset < end and number is not None:
            line = number
    return line
