"""The compiled loop: a recorded step in C, run over a table of addresses."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...config.process.log import LOG
from ...config.process.user_warning import warn_user
from .bucket import Bucket, Engine, Job
from .codegen.c_code import c_source
from .codegen.compiler import CompileError, load_library
from .codegen.program import program_of
from .memory.kept_places import ask_by
from .renewals import Renewals
from .self_check import agrees
from .tracing.extended_state import ROUNDING_STEP
from .tracing.recording import NotElementwise, Op
from .tracing.step_call import StepCall
from .tracing.trace import BucketLayout, Trace

_CPU = torch.device("cpu")
_PARALLEL = 200_000
_programs: dict[tuple[Any, ...], Any] = {}
_warned = set[str]()


class Compiled:
    """Runs a bucket through a compiled program; constants are passed each time."""

    name = "compiled"
    keeps_addresses = True
    computes_ahead = False

    def __init__(self, make_fallback: Callable[[], Engine]) -> None:
        """Let another engine do the steps that cannot be compiled."""
        self.fallback = make_fallback()
        self.table = np.empty((0, 0), dtype=np.int64)
        self.address = 0
        self.seen: list[int] | None = None
        self.rows = np.empty(0, dtype=np.int64)
        self.total = 0
        self.last: tuple[list[Op], tuple[int, ...], Any] = ([], (), None)

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> Job:
        """Return what writes the step; see `Engine`."""
        trace = bucket.trace(step)
        ops, outs, run = self.last
        if trace.ops != ops or trace.outs != outs or run is None:
            run = compiled(trace, bucket.layout, step, bucket.scalars)
            self.last = (trace.ops, trace.outs, run)
        if run is None:
            return self.fallback.prepare(bucket, grads, step)
        bucket.locate()
        # locate() adopts a new list if an address has changed, so comparing identity
        # suffices.
        if self.seen is not bucket.addresses:
            self.seen = bucket.addresses
            self._tabulate(bucket)
        constants = (ctypes.c_double * len(trace.constants))(*trace.constants)
        # Threads are started for each call, which costs more than a small step.
        threads = torch.get_num_threads() if self.total > _PARALLEL else 1

        # The table has only addresses, and the caller may free the gradients earlier.
        gradients = [*grads]
        renewals = bucket.renewals or Renewals()
        renewed = renewals.counter(_CPU)

        turn = bucket.scalars.get(ROUNDING_STEP, 0)

        def job() -> None:
            count = renewed.data_ptr()
            run(self.address, len(self.table), constants, threads, count, turn)
            bucket.commit(trace.scalars)
            gradients.clear()

        return job

    def _tabulate(self, bucket: Bucket) -> None:
        n = len(bucket.params)
        params, grads = bucket.addresses[:n], bucket.addresses[n:]
        if not len(self.table):
            sizes = np.array(bucket.sizes, dtype=np.int64)
            states = [[t.data_ptr() for t in column] for column in bucket.columns]
            base = np.cumsum(sizes) - sizes
            columns = [base, sizes, np.zeros_like(base), np.zeros_like(base)]
            columns += [np.array(column, dtype=np.int64) for column in states]
            if bucket.layout.rounds:
                columns.append(bucket.keys())
            table = np.stack(columns, axis=1)
            self.rows = np.flatnonzero(sizes)
            self.table = np.ascontiguousarray(table[self.rows])
            self.address = self.table.ctypes.data
            self.total = int(sizes.sum())
        # States keep their addresses as long as the bucket holds; tensors and gradients
        # may move at each step.
        self.table[:, 2] = np.array(params, dtype=np.int64)[self.rows]
        self.table[:, 3] = np.array(grads, dtype=np.int64)[self.rows]


def compiled(
    trace: Trace, layout: BucketLayout, step: StepCall, scalars: dict[str, Any]
) -> Any | None:
    """Return the compiled program of a trace, or None, after one warning."""
    key = trace.key()
    if key not in _programs:
        _programs[key] = _compile(trace, layout, step, scalars)
    program_or_refusal = _programs[key]
    return None if isinstance(program_or_refusal, str) else program_or_refusal


def why_not_compiled(trace: Trace) -> str:
    """Return why `compiled` gave no program; empty if it did or was not called."""
    program_or_refusal = _programs.get(trace.key())
    return program_or_refusal if isinstance(program_or_refusal, str) else ""


def _compile(
    trace: Trace, layout: BucketLayout, step: StepCall, scalars: dict[str, Any]
) -> Any:
    """Return the program, or a message about why there is none."""
    try:
        master = None if layout.master is None else layout.master + 2
        library = load_library(c_source(program_of(trace.tape, trace.outs), master))
    except (NotElementwise, CompileError) as problem:
        return _warned_of(str(problem))
    ask_by(library)
    run = library.run
    run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
    run.argtypes += [ctypes.c_void_p, ctypes.c_uint64]
    run.restype = None

    def over(tensors: list[Tensor], constants: list[float]) -> None:
        row = [0, tensors[0].numel(), *(t.data_ptr() for t in tensors)]
        row += [0] if layout.rounds else []  # the key
        table = np.array([row], dtype=np.int64)
        numbers = (ctypes.c_double * len(constants))(*constants)
        count = ctypes.c_int64()
        turn = scalars.get(ROUNDING_STEP, 0)
        run(table.ctypes.data, 1, numbers, 1, ctypes.addressof(count), turn)

    if not agrees(over, trace, layout, step, scalars):
        return _warned_of(
            "the compiled step gave different results than the step as written"
        )
    return run


def _warned_of(reason: str) -> str:
    LOG.debug("a step is not compiled: %s", reason)
    if reason not in _warned:
        _warned.add(reason)
        warn_user(
            f"fused=True falls back to the default engine: {reason}",
            RuntimeWarning,
        )
    return reason
