"""The bytes of entries: what is gathered, converted and written together."""

import torch
from torch import nn

from burnish.records import Record, open_record


def test_a_lone_vector_that_learns_is_converted_without_a_warning() -> None:
    bias = nn.Parameter(torch.tensor([0.1, -2.5]))
    record = Record.from_state_dict({"bias": bias})

    data = record.save(precision="half")

    stored = open_record(data)["bias"]
    assert torch.equal(stored, bias.detach().half())
