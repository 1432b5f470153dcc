"""What is not the state of an optimizer is refused with the call that loads it."""

from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import LBFGS, AdamW
from burnish.records import RecordMismatchError


@pytest.fixture(params=["AdamW", "LBFGS"])
def optim(request: pytest.FixtureRequest) -> Any:
    net = nn.Linear(2, 2)
    if request.param == "LBFGS":
        return LBFGS().bind(net, lr=0.1)
    return AdamW().bind(net, lr=0.1)


@pytest.mark.parametrize("content", [None, "last.pt", 3, [torch.zeros(1)]])
def test_what_is_no_dict_is_refused_with_the_readers_of_files(
    optim: Any, content: Any
) -> None:
    with pytest.raises(TypeError, match=r"load_record.*torch\.load"):
        optim.load_state_dict(content)


def test_the_advice_for_a_whole_checkpoint_loads_the_state_inside(optim: Any) -> None:
    content = {"epoch": 3, "run": [{"optim": optim.state_dict()}]}

    with pytest.raises(RecordMismatchError) as refused:
        optim.load_state_dict(content)

    call = "optimizer.load_state_dict(content['run'][0]['optim'])"
    assert f"It is inside: {call}" in str(refused.value)
    eval(call, {"optimizer": optim, "content": content})


def test_a_dict_without_any_state_says_what_to_pass(optim: Any) -> None:
    with pytest.raises(RecordMismatchError, match=r"Pass the result of state_dict\(\)"):
        optim.load_state_dict(nn.Linear(2, 2).state_dict())
