"""Block replay: a recorded step over blocks that stay in cache, without a compiler.

Small parameters whose states are adjacent are gathered into one block.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...records.tensors.torch_internals import copy_tensors
from .bucket import Bucket, Job, trusted
from .codegen.block_code import Run, generate
from .codegen.program import contracted, program_of, with_true_masters
from .memory.arena import BLOCK, SMALL
from .renewals import Renewals
from .self_check import agrees
from .tracing.extended_state import ROUNDING_STEP
from .tracing.step_call import StepCall
from .tracing.stochastic_rounding import (
    bits_of_run,
    bits_of_several,
    fill_bits,
    streams_of,
)
from .tracing.trace import BucketLayout, Trace

_programs: dict[tuple[Any, ...], tuple[Run, list[torch.dtype]] | str] = {}


class Blocks:
    """Runs a bucket's recorded step block by block, writing results in place."""

    name = "blocks"
    keeps_addresses = True
    computes_ahead = False

    def __init__(self) -> None:
        self.pieces: list[_Piece] = []
        self.seen: list[int] = []
        self.scratch = _Scratch()

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> Job:
        """Return what writes the step; see `Engine`."""
        trace = bucket.trace(step)
        run, registers = replayable(trace, bucket.layout, step, bucket.scalars)
        bucket.locate()
        places = bucket.addresses[: len(bucket.params)]
        # The pieces are views: after `param.data = ...` they would still write to the
        # memory that the parameter has left.
        if places != self.seen:
            self.seen, self.pieces = places, _pieces(bucket)
        constants = trace.constants

        renewals = bucket.renewals or Renewals()
        master = bucket.layout.master
        replay = _Replay(run, self.scratch, registers, constants, renewals, master)
        if bucket.layout.rounds:
            replay.streams = [int(stream) for stream in bucket.streams()]

        def job() -> None:
            for piece in self.pieces:
                piece.run(replay, grads)
            bucket.commit(trace.scalars)

        return job


def replayable(
    trace: Trace, layout: BucketLayout, step: StepCall, scalars: dict[str, Any]
) -> tuple[Run, list[torch.dtype]]:
    """Return the generated function for a trace; Unfit if it failed its check."""
    return trusted(_programs, trace, lambda: _generate(trace, layout, step, scalars))


def _generate(
    trace: Trace, layout: BucketLayout, step: StepCall, scalars: dict[str, Any]
) -> tuple[Run, list[torch.dtype]] | str:
    program = program_of(trace.tape, trace.outs)
    master = None if layout.master is None else layout.master + 2
    if master is not None:
        # Each block is compared with its master before it runs: see `_Replay`.
        program = with_true_masters(program, master)
    run, registers = generate(contracted(program))

    def over(tensors: list[Tensor], constants: list[float]) -> None:
        if master is not None:
            room = torch.empty_like(tensors[0])
            Renewals().renew(tensors[0], tensors[master], room)
        stream = int(streams_of([0], scalars.get(ROUNDING_STEP, 0))[0])
        run(
            *tensors,
            [torch.empty(len(tensors[0]), dtype=d) for d in registers],
            constants,
            bits_of_run(stream, 0, len(tensors[0])) if layout.rounds else None,
        )

    try:
        trusted = agrees(over, trace, layout, step, scalars)
    except (RuntimeError, TypeError) as error:
        raise_of_signal(error)
        return f"an operation has no form that writes in place ({error!s:.60})"
    return (
        (run, registers)
        if trusted
        else "the replay gave different results than the step"
    )


class _Scratch:
    """Registers of a block, allocated when first needed and kept."""

    def __init__(self) -> None:
        self.whole: dict[tuple[str | int, torch.dtype], Tensor] = {}
        self.cut: dict[tuple[str | int, torch.dtype, int], Tensor] = {}
        self.numbers: Tensor | None = None

    def take(self, name: str | int, dtype: torch.dtype, count: int) -> Tensor:
        """Return the first ``count`` elements of a register."""
        elements = self.cut.get((name, dtype, count))
        if elements is None:
            register = self.whole.get((name, dtype))
            if register is None or len(register) < count:
                register = self.whole[name, dtype] = torch.empty(count, dtype=dtype)
                # Views of the smaller register would keep its memory alive beside the
                # new one.
                self.cut = {k: t for k, t in self.cut.items() if k[:2] != (name, dtype)}
            # There is a view for each length, and packs may have any: they are dropped
            # before there are many.
            if len(self.cut) > 256:
                self.cut.clear()
            elements = self.cut[name, dtype, count] = register[:count]
        return elements

    def counted(self, count: int) -> Tensor:
        """Return the numbers from 0 to ``count``, as int32."""
        if self.numbers is None:
            self.numbers = torch.arange(BLOCK, dtype=torch.int32)
        return self.numbers[:count]

    def registers(self, dtypes: list[torch.dtype], count: int) -> list[Tensor]:
        return [self.take(i, dtype, count) for i, dtype in enumerate(dtypes)]


@dataclass(slots=True)
class _Replay:
    """A program, and what it needs to run a block."""

    run: Run
    scratch: _Scratch
    registers: list[torch.dtype]
    constants: list[float]
    renewals: Renewals
    master: int | None
    """The index of the master weight among the states."""
    streams: list[int] = field(default_factory=list[int])
    """By parameter, the key of its random bits, if any are rounded with them."""

    def bits(self, position: int, start: int, count: int) -> Tensor | None:
        """Return the random bits of a part of a parameter."""
        if not self.streams:
            return None
        take, dtype = self.scratch.take, torch.int32
        bits, spare = take("bits", dtype, count), take("spare", dtype, count)
        index = self.scratch.counted(count)
        fill_bits(bits, spare, index, self.streams[position], start)
        return bits

    def __call__(
        self,
        tensor: Tensor,
        grad: Tensor,
        states: Sequence[Tensor],
        bits: Tensor | None,
    ) -> None:
        """Step one block, which is rounded with ``bits``."""
        if self.master is not None:
            room = self.scratch.take("rounding", tensor.dtype, len(tensor))
            self.renewals.renew(tensor, states[self.master], room)
        registers = self.scratch.registers(self.registers, len(grad))
        self.run(tensor, grad, *states, registers, self.constants, bits)


class _Piece:
    """A part of a bucket that is stepped in blocks."""

    @abstractmethod
    def run(self, replay: _Replay, grads: list[Tensor]) -> None:
        """Step the tensors of the piece."""


@dataclass(slots=True)
class _Large(_Piece):
    """One parameter, cut into blocks."""

    position: int
    rows: list[tuple[Tensor, ...]]
    """The blocks of tensor and states."""

    def run(self, replay: _Replay, grads: list[Tensor]) -> None:
        # The backward pass may place a gradient elsewhere at each step, so its views
        # are not kept as those of tensor and states are.
        blocks = torch.split(flat(grads[self.position]), BLOCK)
        for k, (grad, row) in enumerate(zip(blocks, self.rows, strict=True)):
            tensor, *states = row
            bits = replay.bits(self.position, k * BLOCK, len(grad))
            replay(tensor, grad, states, bits)


@dataclass(slots=True)
class _Packed(_Piece):
    """Small parameters whose states are adjacent in memory."""

    positions: list[int]
    tensors: list[Tensor]
    states: list[Tensor]
    sizes: list[int]

    def run(self, replay: _Replay, grads: list[Tensor]) -> None:
        count, scratch = sum(self.sizes), replay.scratch
        like, flats = self.tensors[0], [flat(grads[i]) for i in self.positions]
        tensor = scratch.take("tensor", like.dtype, count)
        grad = scratch.take("grad", flats[0].dtype, count)
        # Parameters stay in their owner's memory, and only states are adjacent, so
        # tensors and gradients are gathered and tensors copied back.
        torch.cat(self.tensors, out=tensor)
        torch.cat(flats, out=grad)
        bits = None
        if replay.streams:
            streams = [replay.streams[i] for i in self.positions]
            bits = bits_of_several(self.sizes, streams)
        replay(tensor, grad, self.states, bits)
        copy_tensors(self.tensors, list(torch.split(tensor, self.sizes)))


def flat(tensor: Tensor) -> Tensor:
    """Return the elements of a dense tensor in the order of its memory."""
    if tensor.is_contiguous():
        return tensor.detach().view(-1)
    # This is the order of memory and not that of indices. It is the same for gradient
    # and states: a plan excludes tensors with other strides from blocks.
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def _pieces(bucket: Bucket) -> list[_Piece]:
    pieces: list[_Piece] = []
    pack: list[int] = []
    for i, size in enumerate(bucket.sizes):
        if pack and not _joins(bucket, pack, i):
            pieces.append(_packed(bucket, pack))
            pack = []
        if size >= SMALL:
            pieces.append(_large(bucket, i))
        elif size:
            pack.append(i)
    return [*pieces, _packed(bucket, pack)] if pack else pieces


def _joins(bucket: Bucket, pack: list[int], i: int) -> bool:
    """Whether parameter ``i`` fits into the pack, and its states are next in memory."""
    sizes = bucket.sizes
    fits = sizes[i] < SMALL and sum(sizes[j] for j in pack) + sizes[i] <= BLOCK
    return fits and all(
        _follows(column[pack[-1]], column[i]) for column in bucket.columns
    )


def _follows(before: Tensor, after: Tensor) -> bool:
    # Neighbors in two storages are not a run: as_strided cannot reach from one into the
    # other.
    return (
        before.untyped_storage().data_ptr() == after.untyped_storage().data_ptr()
        and before.storage_offset() + before.numel() == after.storage_offset()
    )


def _large(bucket: Bucket, i: int) -> _Large:
    tensors = [bucket.params[i], *(column[i] for column in bucket.columns)]
    rows = list(zip(*(torch.split(flat(t), BLOCK) for t in tensors), strict=True))
    return _Large(i, rows)


def _packed(bucket: Bucket, pack: list[int]) -> _Packed:
    sizes = [bucket.sizes[i] for i in pack]
    tensors = [flat(bucket.params[i]) for i in pack]
    count = sum(sizes)
    states = [column[pack[0]].as_strided((count,), (1,)) for column in bucket.columns]
    return _Packed(pack, tensors, states, sizes)
