"""How much memory does a step take beside its state, and how long does compiling?"""

import os
import subprocess
import tempfile
import time
from typing import Any

import torch
from harness import MIB, Row, extra_memory, forked
from optim_sets import Parameters, UserAdamW, resnet50
from torch import Tensor

from burnish.optim.engines.codegen.c_code import c_source
from burnish.optim.engines.codegen.compiler import FLAGS
from burnish.optim.engines.codegen.program import program_of
from burnish.optim.engines.tracing.step_call import StepCall
from burnish.optim.engines.tracing.trace import BucketLayout, trace

BLOCK = 128 * 1024 * 4 / MIB


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BURNISH_CACHE"] = folder
        compiled, default = forked(lambda: peak(True)), forked(lambda: peak(None))
    ours, gcc = forked(first_use)
    case = "AdamW, ResNet-50"
    return [
        Row.bounded("fused=True, extra memory", case, compiled, "MiB", at_most=1),
        Row.bounded("default, extra memory", case, default, "MiB", at_most=8 * BLOCK),
        Row.sized(
            "first use, compiled / gcc", case, 1e3 * ours, 1e3 * gcc, "ms", at_most=2
        ),
    ]


def peak(fused: bool | None) -> float:
    torch.set_num_threads(1)
    net = Parameters(resnet50())
    optimizer = UserAdamW().bind(net, lr=1e-3, fused=fused)
    optimizer.step()
    optimizer.step()
    return extra_memory(optimizer.step).peak / MIB


def first_use() -> tuple[float, float]:
    """Return seconds of a first step's recording and compiling, and of gcc alone."""
    torch.set_num_threads(1)
    net = Parameters([(64, 64)])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BURNISH_CACHE"] = folder
        optimizer = UserAdamW().bind(net, lr=1e-3, fused=True)
        began = time.perf_counter()
        optimizer.step()
        ours = time.perf_counter() - began
        file = f"{folder}/peer.c"
        with open(file, "w", encoding="utf-8") as text:
            text.write(source())
        command = ["cc", *FLAGS, file, "-o", f"{folder}/peer.so", "-lm"]
        began = time.perf_counter()
        subprocess.run(command, check=True)
        return ours, time.perf_counter() - began


def source() -> str:
    simple = UserAdamW()
    like = torch.zeros(4)
    state = simple.init(like)
    fields: dict[str, Any] = state.fields()
    names = tuple(name for name, value in fields.items() if isinstance(value, Tensor))
    layout = BucketLayout(like, type(state), names, (torch.float32,) * 4)
    made = trace(StepCall(simple, 1e-3), layout, {"t": 3})
    return c_source(program_of(made.tape, made.outs))
