"""List replay: a recorded step, each operation over all tensors at once (foreach).

It is for accelerators, where a call costs more than the memory traffic between calls.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...records.tensors.torch_internals import copy_tensors
from .bucket import Bucket, Job, trusted
from .codegen.program import StepProgram, contracted, program_of
from .self_check import agrees
from .tracing.extended_state import ROUNDING_STEP
from .tracing.step_call import StepCall
from .tracing.stochastic_rounding import bits_of_each, rounded_with, streams_of
from .tracing.trace import BucketLayout, Trace

_Run = Callable[[list[list[Tensor]], list[float], list[Tensor]], list[list[Tensor]]]
"""From lists of inputs, constants, and random bits where tensors are rounded."""
_programs: dict[tuple[Any, ...], _Run | str] = {}


class Foreach:
    """Runs a bucket through torch's foreach operations."""

    name = "foreach"
    keeps_addresses = False
    computes_ahead = False

    def prepare(self, bucket: Bucket, grads: list[Tensor], step: StepCall) -> Job:
        """Return what writes the step; see `Engine`."""
        trace = bucket.trace(step)
        run = listable(trace, bucket.layout, step, bucket.scalars)
        constants = trace.constants

        masters, renewals = bucket.masters(), bucket.renewals

        def job() -> None:
            if masters is not None and renewals is not None:
                for weight, master in zip(bucket.params, masters, strict=True):
                    renewals.compare(weight.detach(), master)
            targets = [bucket.params, *bucket.columns]
            ins = [bucket.params, grads, *bucket.columns]
            results = run(ins, constants, _bits(bucket))
            for target, result in zip(targets, results, strict=True):
                # A result that is its own input is returned as the same list; any other
                # is a list of new tensors.
                if result is not target:
                    copy_tensors(target, result)
            bucket.commit(trace.scalars)

        return job


def _bits(bucket: Bucket) -> list[Tensor]:
    """Return the random bits of each parameter, if any are rounded with them."""
    if not bucket.layout.rounds:
        return []
    bits = bits_of_each(bucket.sizes, bucket.streams(), bucket.layout.like.device)
    pairs = zip(bits, bucket.params, strict=True)
    return [part.view(param.shape) for part, param in pairs]


def listable(
    trace: Trace, layout: BucketLayout, step: StepCall, scalars: dict[str, Any]
) -> _Run:
    """Return the generated function for a trace; Unfit if it failed its check."""
    return trusted(_programs, trace, lambda: _checked(trace, layout, step, scalars))


def _checked(
    trace: Trace, layout: BucketLayout, step: StepCall, scalars: dict[str, Any]
) -> _Run | str:
    run = _generate(contracted(program_of(trace.tape, trace.outs)))

    def over(tensors: list[Tensor], constants: list[float]) -> None:
        stream = streams_of([0], scalars.get(ROUNDING_STEP, 0))
        bits = bits_of_each([len(tensors[0])], stream, tensors[0].device)
        results = run([[tensor] for tensor in tensors], constants, bits)
        targets = [tensors[0], *tensors[2:]]
        for target, (result,) in zip(targets, results, strict=True):
            target.copy_(result)

    trusted = agrees(over, trace, layout, step, scalars)
    return run if trusted else "the list kernels gave different results than the step"


def _generate(program: StepProgram) -> _Run:
    """Return a function from lists of inputs and constants to lists of results."""
    lines = [f"v{i} = ins[{i}]" for i in range(program.n_inputs)]
    last_uses = program.last_uses()
    for i, (name, args) in program.ops.items():
        texts = [f"v{a}" if type(a) is int else str(a) for a in args]
        lists = [t for t, a in zip(texts, args, strict=True) if type(a) is int]
        lines.append(f"v{i} = {_call(name, texts, lists, program.dtypes[i])}")
        # A value is a list as large as the bucket: if all were kept to the end, they
        # would multiply the memory that a step takes.
        dead = [
            a
            for a in set(args)
            if type(a) is int
            and a >= program.n_inputs
            and last_uses[a] == i
            and a not in program.outs
        ]
        lines += [f"del v{a}" for a in dead]
    results = ", ".join(f"v{out}" for out in program.outs)
    # Constants are arguments of the function and not part of its source, so a learning
    # rate that a schedule changes generates no code.
    body = "".join(f"    {line}\n" for line in [*lines, f"return [{results}]"])
    scope: dict[str, Any] = {"torch": torch, "inf": float("inf"), "nan": float("nan")}
    scope["rounded_with"] = rounded_with
    exec(
        compile(f"def run(ins, c, k):\n{body}", "<step replayed on lists>", "exec"),
        scope,
    )
    run: _Run = scope["run"]
    return run


def _call(name: str, texts: list[str], lists: list[str], dtype: torch.dtype) -> str:
    if name.endswith("_alpha"):
        return f"torch._foreach_{name[:-6]}({texts[0]}, {texts[1]}, alpha={texts[2]})"
    if name in ("addcmul", "addcdiv", "lerp") or (
        name in _FOREACH and texts[0][0] == "v"
    ):
        return f"torch._foreach_{_FOREACH.get(name, name)}({', '.join(texts)})"
    if name.startswith("pow:"):
        return f"torch._foreach_pow({texts[0]}, {name[4:]})"
    # torch has no list form of the others (comparisons, where, conversions), which run
    # tensor by tensor.
    names = "".join(f"x{k}, " for k in range(len(lists)))
    each = f"for {names}in zip({', '.join(lists)})"
    names_by_text = {text: f"x{k}" for k, text in enumerate(lists)}
    inputs = [names_by_text.get(text, text) for text in texts]
    if name == "copy":
        return f"[x0.clone() {each}]"
    if name == "fill":
        return f"[torch.full_like(x, {texts[0]}, dtype={dtype}) for x in v0]"
    if name.startswith("round:"):
        call = f"rounded_with(x, torch.{name[6:]}, bits)"
        return f"[{call} for x, bits in zip({texts[0]}, k)]"
    if name.startswith("to:"):
        return f"[x0.to(torch.{name[3:]}) {each}]"
    return f"[torch.{name}({', '.join(inputs)}) {each}]"


_FOREACH = {
    **{
        n: n
        for n in [
            "add",
            "sub",
            "mul",
            "div",
            "neg",
            "abs",
            "sqrt",
            "rsqrt",
            "reciprocal",
            "sign",
            "exp",
            "log",
        ]
    },
    **{n: n for n in ["log1p", "expm1", "tanh", "sigmoid", "maximum", "minimum"]},
    "clamp_min": "clamp_min",
    "clamp_max": "clamp_max",
}
