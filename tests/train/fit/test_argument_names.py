"""Arguments of optimizers and schedulers are compared with what these take."""

from typing import Any

import pytest
import torch

from burnish.optim import AdamW
from burnish.train.fit.argument_names import argument_problems


class Open(torch.optim.SGD):
    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, **options)


@pytest.mark.parametrize(
    ("cls", "kwargs"),
    [
        (torch.optim.SGD, {"lr": 1, "momentum": 0.9}),
        (AdamW, {"lr": 1, "betas": [0.8, 0.9]}),
        (Open, {"anything": 1}),
        (torch.optim.lr_scheduler.StepLR, {"step_size": 3}),
    ],
)
def test_arguments_that_a_class_takes_are_no_problem(
    cls: Any, kwargs: dict[str, Any]
) -> None:
    assert argument_problems(cls, kwargs) == []


@pytest.mark.parametrize(
    ("cls", "kwargs", "path", "message"),
    [
        (torch.optim.SGD, {"lrr": 1}, "lrr", "SGD has no such argument. Did you mean"),
        (torch.optim.SGD, {"params": []}, "params", "SGD has no such argument"),
        (AdamW, {"beta": 1}, "beta", "Did you mean 'betas'? It has betas, "),
        (torch.optim.SGD, {"lr": "abc"}, "lr", "expected a number, found 'abc'"),
        (AdamW, {"lr": "1e-3x"}, "lr", "expected a number, found '1e-3x'"),
        (AdamW, {"betas": [0.9, "x"]}, "betas", "expected 2 numbers, found [0.9, 'x']"),
        (
            torch.optim.lr_scheduler.StepLR,
            {},
            "step_size",
            "missing: StepLR requires it",
        ),
    ],
)
def test_one_that_it_lacks_or_misses_is_named(
    cls: Any, kwargs: dict[str, Any], path: str, message: str
) -> None:
    [problem] = argument_problems(cls, kwargs)

    assert problem.path == path
    assert message in problem.message
