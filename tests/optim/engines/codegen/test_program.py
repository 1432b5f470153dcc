"""A recorded step becomes straight-line code, and what nothing reads is left out."""

import torch

from burnish.optim import SGD
from burnish.optim.engines.codegen.program import (
    StepProgram,
    program_of,
    with_true_masters,
)
from burnish.optim.engines.tracing.extended_state import extended
from burnish.optim.engines.tracing.step_call import StepCall
from burnish.optim.engines.tracing.trace import BucketLayout, trace


def program_with_masters() -> StepProgram:
    state = extended(None, master=torch.zeros(3))
    like, half = torch.zeros(3).bfloat16(), torch.bfloat16
    dtypes = (half, half, torch.float32)
    layout = BucketLayout(like, type(state), ("master",), dtypes)
    made = trace(StepCall(SGD(), 0.1, compute=torch.float32), layout, {})
    return program_of(made.tape, made.outs)


def names(program: StepProgram) -> list[str]:
    return [name for name, _ in program.ops.values()]


def test_a_step_of_masters_begins_with_those_that_are_true() -> None:
    program = program_with_masters()

    fewer = with_true_masters(program, 2)

    assert names(program)[:4] == ["to:bfloat16", "eq", "to:float32", "where"]
    assert "where" not in names(fewer)
    assert "eq" not in names(fewer)
    assert len(names(fewer)) == len(names(program)) - 4
    assert fewer.outs == program.outs


def test_what_begins_otherwise_stays_as_it_is() -> None:
    program = program_with_masters()
    program.ops[4] = ("ne", program.ops[4][1])

    assert with_true_masters(program, 2) is program
