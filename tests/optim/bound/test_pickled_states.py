"""States that lie together in memory are pickled once, and come back as they were."""

import pickle
from typing import Any

import torch
from torch import nn

from burnish.optim import AdamW

from ..nets import set_grads


def stepped(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Any]:
    net = nn.Sequential(*[nn.Linear(16, 16) for _ in range(20)]).to(dtype)
    optim = AdamW().bind(net, lr=0.1)
    set_grads(net, 0)
    optim.step()
    return net, optim


def test_a_pickle_holds_each_state_once() -> None:
    net, optim = stepped()
    size = sum(param.nbytes for param in net.parameters())

    data = pickle.dumps((net, optim))

    # The parameters, their gradients and two moments.
    assert len(data) < 6 * size


def test_states_come_back_with_their_values_and_in_memory_of_their_own() -> None:
    net, optim = stepped(torch.bfloat16)

    again_net, again = pickle.loads(pickle.dumps((net, optim)))

    pairs = zip(net.parameters(), again_net.parameters(), strict=True)
    for param, again_param in pairs:
        for name, value in optim.state[param].items():
            again_value = again.state[again_param][name]
            assert type(again_value) is type(value)
            assert torch.equal(torch.as_tensor(again_value), torch.as_tensor(value))
    first = again.state[next(again_net.parameters())]["exp_avg"].clone()
    set_grads(net, 1)
    optim.step()
    assert torch.equal(again.state[next(again_net.parameters())]["exp_avg"], first)


def test_what_a_user_keeps_beside_states_stays_as_it_is() -> None:
    net, optim = stepped()
    rows = torch.arange(12.0).view(3, 4)
    optim.state[net[0].weight]["mine"] = rows[:, 1]  # type: ignore[index]

    again_net, again = pickle.loads(pickle.dumps((net, optim)))

    assert again.state[again_net[0].weight]["mine"].tolist() == [1.0, 5.0, 9.0]
