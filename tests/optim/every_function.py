"""Calls every function of torch with stand-ins, in a process that may die of it.

Prints, as JSON, what was recorded, and what was recorded with other numbers than the
function gives on tensors.
"""

import inspect
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from burnish.optim import SimpleOptimizer
from burnish.optim.engines.bucket import Bucket
from burnish.optim.engines.choice import choose
from burnish.optim.engines.tracing.recording import ImpureStepError
from burnish.optim.engines.tracing.step_call import StepCall
from burnish.optim.engines.tracing.trace import BucketLayout

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
SPACES = {
    "torch": torch,
    "functional": torch.nn.functional,
    "linalg": torch.linalg,
    "special": torch.special,
    "Tensor": torch.Tensor,
}
WITHOUT_TENSORS = ("set_", "save", "load", "compile", "seed", "manual_seed", "hub")
PATTERNS: list[Callable[[Any, Any], tuple[Any, ...]]] = [
    lambda x, y: (x,),
    lambda x, y: (x, y),
    lambda x, y: (x, 0.5),
    lambda x, y: (0.5, x),
    lambda x, y: (x, 2),
    lambda x, y: (x, y, 0.25),
    lambda x, y: (x, y, y),
    lambda x, y: (x > y, x, 0.0),
    lambda x, y: (x > y, x, y),
    lambda x, y: (x, x > y, 0.5),
    lambda x, y: (x > y, y),
    lambda x, y: (x, y, y, 0.5),
    lambda x, y: ([x, y],),
    lambda x, y: (x, (0, 1)),
]


def calling(function: Any, pattern: Any) -> Any:
    """Return an optimizer whose step is one call; its class is its own."""

    class Called(SimpleOptimizer[None]):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
            return function(*pattern(tensor, grad)), None

    return Called()


def functions(spaces: list[str]) -> Iterator[tuple[str, Any]]:
    """Return every public function of the namespaces."""
    for space in spaces:
        module = SPACES[space]
        for name in sorted(dir(module)):
            function = getattr(module, name, None)
            is_private = name.startswith("_") and space != "Tensor"
            is_left_out = is_private or name.startswith(WITHOUT_TENSORS)
            if is_left_out or inspect.isclass(function):
                continue
            if callable(function) and name not in ("__new__", "__init__"):
                yield f"{space}.{name}", function


def outcome(function: Any, pattern: Any, dtype: torch.dtype) -> str:
    """Return "recorded", "wrong", or "" for what runs as it is written."""
    like = torch.empty(6, dtype=dtype)
    step = StepCall(calling(function, pattern), 0.1)
    try:
        layout = BucketLayout(like, None, (), (dtype, dtype))
        make = choose(step, layout, {}, None).make
    except ImpureStepError:
        return ""
    if make is None:
        return ""
    return "recorded" if is_right(step, make(), dtype) else "wrong"


def is_right(step: StepCall, engine: Any, dtype: torch.dtype) -> bool:
    """Return whether the engine gives what the function does."""
    start = torch.tensor([1.5, -0.75, 0.25, 2.0, -3.0, 0.5], dtype=dtype)
    grad = torch.tensor([0.5, -0.75, 1.25, 0.125, 2.0, -4.0], dtype=dtype)
    tensor = start.clone()
    layout = BucketLayout(tensor, None, (), (dtype, dtype))
    bucket = Bucket(layout, [tensor], [0], [{}], [], {}, engine, "")
    bucket.fits([grad])
    engine.prepare(bucket, [grad], step)()
    expected = step(start.clone(), grad.clone(), None)[0]
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-14}.get(dtype, 0.0)
    return torch.allclose(
        tensor, expected, rtol=tolerance, atol=tolerance, equal_nan=True
    )


def main() -> None:
    """Call those of some namespaces in one dtype, and print what came of it."""
    warnings.simplefilter("ignore")
    dtype = DTYPES[sys.argv[1]]
    results: dict[str, list[str]] = {"recorded": [], "wrong": []}
    calls = 0
    for name, function in functions(sys.argv[2:]):
        for number, pattern in enumerate(PATTERNS):
            calls += 1
            came = outcome(function, pattern, dtype)
            if came:
                results[came].append(f"{name} {number}")
    print(json.dumps({**results, "calls": calls}))


if __name__ == "__main__":
    main()
