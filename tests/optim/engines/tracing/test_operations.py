# pyright: reportPrivateUsage=false
# The dispatch keys of a tensor have no public name.
"""Operations with stand-ins do what torch's do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from burnish.optim import (
    ASGD,
    LAMB,
    SGD,
    Adadelta,
    Adafactor,
    Adamax,
    AdamW,
    Adan,
    Lion,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)
from burnish.optim.engines.tracing.recording import NotElementwise
from burnish.optim.engines.tracing.step_call import StepCall
from burnish.optim.engines.tracing.trace import BucketLayout, trace

from .... import fresh_processes
from ...nets import (
    Net,
    UserAdamW,
    calling,
    drive,
    engine_names,
    equal,
)
from ...steppers import ELEMENTWISE, REFUSED, Stepping, odd_formats


class Certificate(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own subclassing has no types
    """Refuses every operation that torch does not tag as pointwise."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = (
            "zeros_like",
            "ones_like",
            "full_like",
            "detach",
            "alias",
            "clone",
            "_to_copy",
            "scalar_tensor",
        )
        name = func.overloadpacket.__name__
        if torch.Tag.pointwise not in func.tags and name not in made:
            raise NotElementwise(name)
        return func(*args, **(kwargs or {}))


def certificate() -> Any:
    mode: Any = Certificate
    return mode()


CERTIFIED: list[SimpleOptimizer[Any]] = [
    UserAdamW(),
    SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
    AdamW(amsgrad=True, cautious=True),
    Adan(),
    RMSprop(centered=True, momentum=0.5),
    Lion(),
    ScheduleFreeAdamW(),
    LAMB(),
    Adafactor(),
    NAdam(weight_decay=0.1),
    RAdam(weight_decay=0.1, decoupled_weight_decay=True),
    Adamax(weight_decay=0.1),
    Adadelta(weight_decay=0.1),
    ASGD(weight_decay=0.1),
    Rprop(),
    *(Stepping(fn=fn) for fn in ELEMENTWISE.values()),
    *(Stepping(fn=fn) for fn, _ in REFUSED.values()),
]


@pytest.mark.parametrize("simple", CERTIFIED, ids=lambda s: type(s).__name__)
def test_what_the_recording_calls_elementwise_torch_calls_pointwise(
    simple: SimpleOptimizer[Any],
) -> None:
    like = torch.randn(6)
    state = simple.init(like)
    fields = state.fields()
    tensors = {k: v for k, v in fields.items() if isinstance(v, Tensor)}
    numbers = {k: v for k, v in fields.items() if isinstance(v, int | float)}
    absent = {k: None for k, v in fields.items() if v is None}
    layout = BucketLayout(
        like, type(state), tuple(tensors), (torch.float32,) * (2 + len(tensors)), absent
    )

    try:
        trace(StepCall(simple, 0.1), layout, numbers)
        recorded = True
    except NotElementwise:
        recorded = False
    try:
        with certificate(), torch.no_grad():
            simple.step(0.1, like, like.clone(), state)
        certified = True
    except NotElementwise:
        certified = False

    assert not recorded or certified


def doubled_copy(p: Any, g: Any, a: Any, b: Any) -> Any:
    moved = p - g
    moved.contiguous().mul_(2.0)
    return moved, a, b


@pytest.mark.parametrize("fused", [None, True])
def test_what_contiguous_copies_and_what_it_does_not_is_as_it_is_written(
    fused: bool | None,
) -> None:
    left, right = odd_formats(), odd_formats()

    drive(Stepping(fn=doubled_copy).bind(left, lr=1.0, fused=fused), left, 1)
    drive(Stepping(fn=doubled_copy).bind(right, lr=1.0, fused=False), right, 1)

    assert equal(left, right)


SPACES = ["torch", "functional", "linalg", "special"]


def test_every_function_of_torch_takes_stand_ins_or_runs_as_written() -> None:
    # `make fuzz` goes through the other dtypes, and the methods of tensors; this dtype
    # is rounded after every operation.
    file = Path(__file__).parents[2] / "every_function.py"

    done = fresh_processes.run(file, "bfloat16", *SPACES)

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["wrong"] == []
    assert "torch.where 7" in results["recorded"]
    assert results["calls"] > 10_000


@pytest.mark.parametrize("fused", [None, True])
def test_masks_choose_between_a_half_tensor_and_a_number(fused: bool | None) -> None:
    simple = calling(lambda t, g: t - torch.where(g > 0.1, g, 0.0))
    left, right = Net(torch.bfloat16), Net(torch.bfloat16)
    adaptor = simple.bind(left, lr=0.1, fused=fused)

    drive(adaptor, left, 1, 2)
    drive(simple.bind(right, lr=0.1, fused=False), right, 1, 2)

    assert equal(left, right)
    assert engine_names(adaptor) == {"compiled" if fused else "blocks"}
