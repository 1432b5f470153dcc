"""Functions of torch that touch a tensor without values yet."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import from_record, skip_init
from burnish.core.state.uninitialized.tensor_functions import KINDS, NOTED, succeeds

pytestmark = pytest.mark.usefixtures("poisoned_memory")


ARGUMENTS: list[tuple[str, tuple[Any, ...], tuple[int, ...], torch.dtype]] = [
    (name, args, shape, dtype)
    for shape in [(2, 3), (3,), (2, 2, 2), (0, 2)]
    for dtype in (torch.float32, torch.float16, torch.int64)
    for name, args in [
        ("normal_", (0.0, 1.0)),
        ("normal_", (0.0, -1.0)),
        ("normal_", (0.0, float("nan"))),
        ("uniform_", (0.0, 1.0)),
        ("uniform_", (1.0, 0.0)),
        ("uniform_", (-1e38, 1e38)),
        ("uniform_", ("a",)),
        ("fill_", (1e10,)),
        ("fill_", (2,)),
        ("zero_", ()),
        ("zero_", (1,)),
        ("exponential_", (-1.0,)),
        ("geometric_", (2.0,)),
        ("cauchy_", (0.0, -1.0)),
        ("log_normal_", (0.0, -1.0)),
        ("clamp_", ()),
        ("mul_", (2.0,)),
        ("mul_", ("a",)),
        ("tril_", ()),
        ("erfinv_", ()),
        ("pow_", (2,)),
        ("div_", (2,)),
        ("__setitem__", (0, 1.0)),
        ("__setitem__", (5, 1.0)),
        ("fill_diagonal_", (1.0,)),
    ]
]


@pytest.mark.parametrize(("name", "args", "shape", "dtype"), ARGUMENTS)
def test_only_an_initializer_that_succeeds_is_noted(
    name: str, args: tuple[Any, ...], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    function = getattr(torch.Tensor, name)
    body = torch.zeros(shape, dtype=dtype)

    is_noted = succeeds(function, body, args, {})

    assert KINDS[function] is NOTED
    if is_noted:
        function(body, *args)


BAD: dict[str, Callable[[Tensor], Any]] = {
    "std": lambda w: w.normal_(0.0, -1.0),
    "bounds": lambda w: nn.init.uniform_(w, 2.0, 1.0),
    "dimensions": lambda w: nn.init.kaiming_uniform_(w[0]),
    "fan": lambda w: nn.init.xavier_uniform_(w[0]),
    "mode": lambda w: nn.init.kaiming_normal_(w, mode="no"),  # type: ignore[arg-type]  # the error under test
    "truncated": lambda w: nn.init.trunc_normal_(w, std=0.0),
    "index": lambda w: w.__setitem__(9, 1.0),
    "grad": lambda w: w.requires_grad_().normal_(),
    "expanded": lambda w: w[0].expand(3, 2).normal_(),
    "dtype": lambda w: nn.Parameter(w.long(), requires_grad=False).normal_(),
}


@pytest.mark.parametrize("how", BAD)
def test_an_initializer_that_is_refused_raises_where_it_is_called(how: str) -> None:
    class Tries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(2, 2), requires_grad=False)
            self.branch = "first"
            try:
                BAD[how](self.w)
            except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
                self.branch = "other"
                nn.init.zeros_(self.w.detach())

    loaded = from_record(Tries, burnish.Record.from_state_dict({}), strict=False)

    assert loaded.branch == Tries().branch == "other"
    assert torch.equal(loaded.w, torch.zeros(2, 2))


# Older torch says that it does not compile the making of a parameter.
@pytest.mark.filterwarnings("ignore:Graph break due to unsupported builtin:UserWarning")
def test_what_makes_and_copies_parameters_works_on_after_a_build() -> None:
    with skip_init():
        nn.Linear(2, 2)

    layer = nn.Linear(2, 2)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    compiled = torch.compile(lambda x: layer(x), backend="eager")
    made = torch.compile(lambda x: nn.Parameter(x * 2), backend="eager")

    for module in [*copies, compiled]:
        assert torch.equal(module(torch.ones(2)), layer(torch.ones(2)))
    assert type(copies[0].weight) is nn.Parameter
    assert made(torch.ones(2)).tolist() == [2.0, 2.0]
