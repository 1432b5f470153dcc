"""A record says of which optimizer it is; another one refuses it."""

import pytest
import torch
from torch import nn

from burnish.core.state.identity import named_params
from burnish.optim import (
    SGD,
    AdamW,
    Group,
    OptimizerRecord,
)
from burnish.records import (
    RecordMismatchError,
)

from ..nets import drive, layers


def test_a_record_of_another_optimizer_is_refused_with_the_reason() -> None:
    net = layers()
    adam, sgd = AdamW().bind(net, lr=1e-2), SGD(momentum=0.9).bind(net, lr=1e-2)
    drive(adam, net, 1)
    drive(sgd, net, 1)
    before = sgd.state[net[0].weight]["momentum_buffer"].clone()

    with pytest.raises(RecordMismatchError, match=r"0\.weight: found .*AdamW.*SGD"):
        sgd.load_record(adam.save_record())

    assert torch.equal(sgd.state[net[0].weight]["momentum_buffer"], before)


def test_a_file_says_what_it_is_of() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2, groups=[Group("**.bias", optimizer=SGD())])
    drive(adaptor, net, 1)

    record = OptimizerRecord.load(adaptor.save_record())  # type: ignore[arg-type]  # bytes, since no file was given

    described = record.metadata["optimizer"]
    assert described["kind"] == ["AdamW", "SGD"]
    assert described["engine"] == ["torch_fused", "torch_fused"]
    assert described["hyperparameters"][0]["lr"] == 1e-2
    ids = {param.id: param.path for param in named_params(net)}
    assert {i: s.path for i, s in record.states.items()} == ids


def test_the_state_of_another_optimizer_names_the_one_to_go_on_with() -> None:
    net = nn.Linear(2, 2)
    optim = AdamW().bind(net, lr=0.1)
    net(torch.ones(1, 2)).sum().backward()
    optim.step()

    with pytest.raises(
        RecordMismatchError, match=r"Continue with .*AdamW, or do not load"
    ):
        SGD().bind(net, lr=0.1).load_record(optim.into_record())
