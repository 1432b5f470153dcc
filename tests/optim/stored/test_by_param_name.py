import torch
from torch import nn

from burnish import open_record
from burnish.optim import AdamW, Group
from burnish.optim.stored.by_param_name import state_by_param_name


def stepped(module: nn.Module, **options: object) -> bytes:
    optim = AdamW().bind(module, lr=0.1, **options)  # type: ignore[arg-type]
    module(torch.ones(1, 3)).sum().backward()
    optim.step()
    return optim.save_record()


def test_states_stand_under_the_names_of_their_parameters() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    record = open_record(stepped(net))

    state = state_by_param_name(record)

    assert state is not None
    assert [e.path for e in state.entries[:2]] == [
        "0.weight.exp_avg",
        "0.weight.exp_avg_sq",
    ]
    assert str(state.entries[0].id) in record.entries()[0].path
    assert ("1.bias.step", 1) in state.numbers
    assert [*map(len, state.params)] == [4]
    assert state.groups[0].hyperparameters["lr"] == 0.1


def test_each_group_says_how_many_parameters_it_has() -> None:
    groups = [Group("**.bias", weight_decay=0.0)]
    record = open_record(stepped(nn.Linear(3, 2), groups=groups))

    state = state_by_param_name(record)

    assert state is not None
    assert sorted(map(len, state.params)) == [1, 1]


def test_other_records_have_no_such_names() -> None:
    from burnish import save_record

    assert state_by_param_name(open_record(save_record(nn.Linear(1, 1)))) is None
