"""A few models of another library; `make models` takes all that can be built."""

import pytest
import torch
from torch import nn

from .architectures import Architecture, transformers_architectures
from .models import differences, run, snapshot

FEW = ("AlbertModel", "GPT2LMHeadModel", "LlamaForCausalLM", "SwinModel", "T5Model")


@pytest.mark.parametrize("name", FEW)
def test_a_model_of_transformers_is_rebuilt_bit_for_bit(name: str) -> None:
    chosen = [a for a in transformers_architectures() if a.name.endswith(f".{name}")]

    assert set(run(chosen).values()) == {"equal"}


def test_a_process_that_ends_is_told_by_name() -> None:
    def build() -> nn.Module:
        raise SystemExit(3)

    outcome = run([Architecture("ends", build)])["ends"]

    assert outcome == "the process ended with 3"


def test_a_value_and_a_tie_that_differ_are_told() -> None:
    net, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        other.bias[0] += 1
    tied = nn.Sequential(net, net)
    untied = nn.Sequential(net, nn.Linear(2, 2))
    untied[1].load_state_dict(net.state_dict())

    assert differences(snapshot(net), snapshot(other), False) == ["bias: other values"]
    assert differences(snapshot(tied), snapshot(untied), False) == [
        "memory is shared otherwise"
    ]
