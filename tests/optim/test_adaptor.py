"""An adaptor is a torch.optim.Optimizer: every tool of torch takes it as it is."""

import copy
import io
import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler as schedules

from burnish.core.state.identity import named_params
from burnish.optim import (
    SGD,
    Adam,
    AdamW,
    engine_report,
)
from burnish.optim.schedulers import Cosine

from .nets import (
    Net,
    UserAdamW,
    adamw,
    backward,
    drive,
    equal,
    layers,
    set_grads,
    values,
)

SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda o: schedules.StepLR(o, 2),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, [2, 4]),
    "LambdaLR": lambda o: schedules.LambdaLR(o, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda o: schedules.MultiplicativeLR(o, lambda epoch: 0.9),
    "ConstantLR": schedules.ConstantLR,
    "LinearLR": schedules.LinearLR,
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, 0.9),
    "PolynomialLR": schedules.PolynomialLR,
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 10),
    "WarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 5),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, 1e-2, total_steps=20),
    "CyclicLR": lambda o: schedules.CyclicLR(o, 1e-4, 1e-2),
    "Plateau": schedules.ReduceLROnPlateau,
    "SequentialLR": lambda o: schedules.SequentialLR(
        o, [schedules.LinearLR(o), schedules.CosineAnnealingLR(o, 5)], [3]
    ),
}


# Older torch advances its own schedules in the way that it warns of.
@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_of_torch_gives_torchs_trajectory(name: str) -> None:
    left, right = layers(), layers()
    ours = adamw(left, fused=False)
    theirs = torch.optim.AdamW(right.parameters(), lr=1e-3, foreach=False)
    pairs = [(o, m, SCHEDULES[name](o)) for o, m in ((ours, left), (theirs, right))]

    for _ in range(8):
        for optimizer, module, schedule in pairs:
            optimizer.zero_grad()
            loss = backward(module)
            optimizer.step()
            schedule.step(*([loss.item()] if name == "Plateau" else []))

    assert equal(left, right)
    assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]


def test_swa_takes_the_adaptor() -> None:
    from torch.optim.swa_utils import SWALR

    module = layers()
    adaptor = adamw(module)
    schedule = SWALR(adaptor, 0.05)

    backward(module)
    adaptor.step()
    schedule.step()

    assert adaptor.param_groups[0]["lr"] > 1e-3


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_copies_step_on_as_the_original(how: Callable[[Any], Any]) -> None:
    module = layers()
    adaptor = UserAdamW(b1=0.8).bind(module, lr=1e-2)
    drive(adaptor, module, 1, 2)

    twin = how(adaptor)
    parameters = nn.ParameterList(twin.param_groups[0]["params"])
    drive(adaptor, module, 3)
    drive(twin, parameters, 3)

    assert equal(module, parameters)
    assert twin.param_groups[0]["b1"] == 0.8


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_state_dict_goes_through_torch_save_and_resumes_to_the_bit(
    fused: bool | None,
) -> None:
    left, right = Net(), Net()
    first = UserAdamW().bind(left, lr=1e-2, fused=fused)
    drive(first, left, 1, 2)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)

    second = UserAdamW().bind(right, lr=1e-2, fused=fused)
    right.load_state_dict(left.state_dict())
    second.load_state_dict(torch.load(file, weights_only=True))
    drive(first, left, 3, 4)
    drive(second, right, 3, 4)

    assert equal(left, right)


def test_sparse_rows_move_by_their_moments_as_dense_ones_also_after_sparse_adam() -> (
    None
):
    net: Any = nn.Embedding(3, 2, sparse=True)
    theirs: Any = torch.optim.SparseAdam(net.parameters(), lr=0.1)
    net(torch.tensor([0, 1])).sum().backward()
    theirs.step()
    before = net.weight.detach().clone()
    ours = Adam().bind(net, lr=0.1)

    ours.load_state_dict(theirs.state_dict())
    ours.zero_grad()
    net(torch.tensor([0])).sum().backward()
    ours.step()

    moved = (net.weight.detach() != before).all(1).tolist()
    assert moved == [True, True, False]
    assert ours.state[net.weight]["step"] == 2


def test_state_dict_hooks_of_the_user_are_heard() -> None:
    module = layers()
    adaptor = adamw(module)
    drive(adaptor, module, 1)
    adaptor.register_load_state_dict_pre_hook(
        lambda _, given: {**given, "state": {}}  # forget everything
    )

    adaptor.load_state_dict(adaptor.state_dict())

    assert not adaptor.state


def test_groups_are_added_with_their_own_hyperparameters() -> None:
    module, extra = layers(), nn.Parameter(torch.ones(3))
    adaptor = adamw(module)

    adaptor.add_param_group({"params": [extra], "lr": 0.1, "weight_decay": 0.5})
    extra.grad = torch.zeros(3)
    adaptor.step()

    assert torch.allclose(extra, torch.full((3,), 0.95))
    assert adaptor.param_groups[1]["betas"] == (0.9, 0.999)


def test_checkpoint_tools_of_torch_get_and_set_the_state() -> None:
    from torch.distributed.checkpoint import state_dict as tools

    left, right, fresh = layers(), layers(), layers()
    first, second, third = adamw(left), adamw(right), adamw(fresh)
    set_grads(left, 1)
    first.step()
    untouched = values(fresh)

    stored = tools.get_optimizer_state_dict(left, first)
    tools.set_optimizer_state_dict(right, second, stored)
    flat = tools.get_optimizer_state_dict(
        left, first, options=tools.StateDictOptions(flatten_optimizer_state_dict=True)
    )
    tools.get_optimizer_state_dict(fresh, third)

    ours, theirs = first.state[left[0].weight], second.state[right[0].weight]
    assert torch.equal(ours["exp_avg"], theirs["exp_avg"])
    assert "state.0.weight.exp_avg" in flat
    assert all(torch.equal(a, b) for a, b in zip(untouched, values(fresh), strict=True))


def test_the_lazy_initialization_of_checkpoint_tools_leaves_decayed_weights() -> None:
    from dataclasses import dataclass

    from torch.distributed.checkpoint import state_dict as tools

    @dataclass(frozen=True, kw_only=True)
    class Decay(UserAdamW):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Any) -> Any:
            return super().step(lr, tensor * 0.5, grad, state)

    module = layers()
    adaptor = Decay().bind(module, lr=1e-3)
    before = values(module)

    tools.get_optimizer_state_dict(module, adaptor)

    assert all(torch.equal(a, b) for a, b in zip(before, values(module), strict=True))


def test_the_lazy_initialization_of_checkpoint_tools_leaves_schedules() -> None:
    from torch.distributed.checkpoint import state_dict as tools

    module = layers()
    adaptor = SGD(momentum=0.9).bind(module, lr=Cosine(0.1, 10))

    tools.get_optimizer_state_dict(
        module, adaptor
    )  # a warning is an error in these tests

    assert adaptor.state
    drive(adaptor, module, 1)
    assert adaptor.param_groups[0]["lr"] == 0.1


def test_zero_gradients_at_a_rate_that_is_passed_are_a_step() -> None:
    module = layers()
    before = values(module)
    zeros = {str(p.id): torch.zeros_like(p.tensor) for p in named_params(module)}

    AdamW(weight_decay=0.5).bind(module, lr=0.0).apply_gradients(0.1, module, zeros)

    for param, start in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(param, start * 0.95)


@pytest.mark.skipif(
    not hasattr(torch.cpu.Stream, "record_event"),
    reason="this torch cannot shard a module on the CPU",
)
def test_sharded_parameters_are_stepped_with_sharded_state() -> None:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    try:
        sharded, whole = layers(), layers()
        fully_shard(sharded, mesh=init_device_mesh("cpu", (1,)))
        ours = UserAdamW().bind(sharded, lr=1e-2)
        plain = UserAdamW().bind(whole, lr=1e-2, fused=False)
        for optimizer, module in ((ours, sharded), (plain, whole)):
            for _ in range(3):
                optimizer.zero_grad()
                backward(module)
                optimizer.step()
        weight = next(sharded.parameters())

        assert isinstance(ours.state[weight]["m"], DTensor)
        assert isinstance(weight, DTensor)
        assert torch.allclose(weight.full_tensor(), whole[0].weight, atol=1e-6)
        ours.load_record(ours.save_record())
        ours.step()
        plain.step()

        assert isinstance(ours.state[weight]["m"], DTensor)
        assert torch.allclose(weight.full_tensor(), whole[0].weight, atol=1e-6)
    finally:
        dist.destroy_process_group()


def test_groups_say_nothing_of_a_parameter_without_values_and_the_step_does() -> None:
    module = layers()
    adaptor = SGD().bind(module, lr=0.1)
    drive(adaptor, module, 0)
    module[2] = nn.Linear(16, 4, device="meta")
    module[2].bias.grad = torch.empty(4, device="meta")

    assert len(adaptor.param_groups) == 1
    with pytest.raises(ValueError, match=r"2\.weight is on the meta device"):
        adaptor.step()


def test_a_report_is_asked_of_what_bind_returned() -> None:
    theirs: Any = torch.optim.SGD(Net().parameters(), lr=0.1)

    with pytest.raises(
        TypeError, match=r"that bind returned, got an SGD; for a wrapper"
    ):
        engine_report(theirs)
