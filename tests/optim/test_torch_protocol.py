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

from burnish.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adam,
    Adamax,
    AdamW,
    ImpureStepError,
    NAdam,
    OptimizerAdaptor,
    RAdam,
    Rprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)
from burnish.records import RecordMismatchError

from .nets import Net, UserAdamW, distance, drive, equal, layers, set_grads, values

X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


def backward(module: nn.Module) -> Tensor:
    loss: Tensor = module(X).square().mean()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
    return loss


def adamw(module: nn.Module, **options: Any) -> OptimizerAdaptor:
    return AdamW().bind(module, lr=1e-3, **options)


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


def test_momentum_that_a_schedule_cycles_reaches_betas_under_other_names() -> None:
    module = layers()
    adaptor = UserAdamW().bind(module, lr=1e-3)
    schedule = schedules.OneCycleLR(adaptor, 1e-2, total_steps=20)

    backward(module)
    adaptor.step()
    schedule.step()
    backward(module)
    adaptor.step()

    group = adaptor.param_groups[0]
    assert (group["b1"], group["b2"]) == group["betas"]
    assert group["b1"] != 0.9


def test_momentum_of_zero_may_be_cycled_in_and_out() -> None:
    left, right = Net(large=False), Net(large=False)
    ours = SGD().bind(left, lr=0.1)
    theirs = torch.optim.SGD(right.parameters(), lr=0.1, foreach=False)

    for seed, momentum in enumerate((0.0, 0.5, 0.5, 0.8)):
        for optimizer, net in ((ours, left), (theirs, right)):
            optimizer.param_groups[0]["momentum"] = momentum
            drive(optimizer, net, seed)

    assert distance(left, right) <= 1e-6


def test_swa_takes_the_adaptor() -> None:
    from torch.optim.swa_utils import SWALR

    module = layers()
    adaptor = adamw(module)
    schedule = SWALR(adaptor, 0.05)

    backward(module)
    adaptor.step()
    schedule.step()

    assert adaptor.param_groups[0]["lr"] > 1e-3


def test_closures_run_with_gradients_and_their_loss_comes_back() -> None:
    module = layers()
    adaptor = adamw(module)
    before = values(module)

    def closure() -> Tensor:
        adaptor.zero_grad()
        return backward(module)

    with torch.no_grad():
        losses = [adaptor.step(closure), adaptor.step(closure=closure)]

    assert losses[1].item() < losses[0].item()
    assert not torch.equal(before[0], module[0].weight)


def test_hooks_run_once_each_and_around_the_step() -> None:
    module = layers()
    adaptor = adamw(module)
    schedules.StepLR(adaptor, 2)
    called: list[str] = []
    before = module[0].weight.detach().clone()

    def pre(optimizer: Any, args: Any, kwargs: Any) -> None:
        called.append("pre" if torch.equal(before, module[0].weight) else "late")

    def post(optimizer: Any, args: Any, kwargs: Any) -> None:
        called.append("early" if torch.equal(before, module[0].weight) else "post")

    adaptor.register_step_pre_hook(pre)
    adaptor.register_step_post_hook(post)
    backward(module)
    adaptor.step()

    assert called == ["pre", "post"]


def test_a_profile_names_the_step() -> None:
    module = layers()
    adaptor = adamw(module)
    backward(module)

    with torch.autograd.profiler.profile() as profile:
        adaptor.step()

    found: Any = profile
    assert any("OptimizerAdaptor.step" in event.key for event in found.key_averages())


def test_a_grad_scaler_unscales_clips_and_steps() -> None:
    module = layers()
    adaptor = adamw(module)
    before = module[0].weight.detach().clone()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)  # type: ignore[attr-defined]  # torch exports it late

    scaler.scale(module(X).square().mean()).backward()
    scaler.unscale_(adaptor)
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    scaler.step(adaptor)
    scaler.update()
    module[0].weight.grad = torch.full_like(before, float("inf"))
    after = module[0].weight.detach().clone()
    scaler.scale(torch.ones(()))
    scaler.step(adaptor)

    assert not torch.equal(before, after)
    assert torch.equal(after, module[0].weight)


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


def test_a_loaded_state_dict_is_not_shared_with_its_source() -> None:
    left, right = layers(), layers()
    first, second = adamw(left), adamw(right)
    drive(first, left, 1)
    second.load_state_dict(first.state_dict())
    kept = first.state[left[0].weight]["exp_avg"].clone()

    drive(second, right, 2)

    assert torch.equal(first.state[left[0].weight]["exp_avg"], kept)


def test_wide_state_of_a_narrow_model_stays_wide_when_loaded() -> None:
    wide = torch.float32
    left, right = layers(torch.bfloat16), layers(torch.bfloat16)
    first = adamw(left, state_dtype=wide)
    drive(first, left, 1)

    for options in ({"state_dtype": wide}, {}):
        second = adamw(right, **options)
        second.load_state_dict(first.state_dict())
        drive(second, right, 2)

        assert second.state[right[0].weight]["exp_avg"].dtype == wide
        assert right[0].weight.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("simple", "peer"),
    [
        (AdamW(amsgrad=True), lambda ps: torch.optim.AdamW(ps, 1e-3, amsgrad=True)),
        (SGD(momentum=0.9), lambda ps: torch.optim.SGD(ps, 1e-3, momentum=0.9)),
        (SGD(), lambda ps: torch.optim.SGD(ps, 1e-3)),
        (NAdam(), lambda ps: torch.optim.NAdam(ps, 1e-3)),
        (RAdam(), lambda ps: torch.optim.RAdam(ps, 1e-3)),
        (Adamax(), lambda ps: torch.optim.Adamax(ps, 1e-3)),
        (Adadelta(), lambda ps: torch.optim.Adadelta(ps, 1e-3)),
        (ASGD(t0=2), lambda ps: torch.optim.ASGD(ps, 1e-3, t0=2)),
        (Rprop(), lambda ps: torch.optim.Rprop(ps, 1e-3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_state_dicts_of_torchs_optimizers_load_both_ways(
    simple: SimpleOptimizer[Any], peer: Callable[[Any], Any]
) -> None:
    left, right = Net(large=False), Net(large=False)
    theirs, ours = peer(left.parameters()), simple.bind(right, lr=1e-3, fused=False)
    drive(theirs, left, 1, 2)
    right.load_state_dict(left.state_dict())

    ours.load_state_dict(theirs.state_dict())
    drive(theirs, left, 3)
    drive(ours, right, 3)
    # torch's own load shares what it is given.
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    drive(theirs, left, 4)
    drive(ours, right, 4)

    assert distance(left, right) <= 1e-6


@pytest.mark.parametrize(
    ("simple", "cls", "options"),
    [
        (SGD(momentum=0.9), torch.optim.SGD, {"momentum": 0.9}),
        (AdamW(amsgrad=True), torch.optim.AdamW, {"amsgrad": True}),
        (NAdam(), torch.optim.NAdam, {}),
        (RAdam(), torch.optim.RAdam, {}),
        (Adamax(), torch.optim.Adamax, {}),
        (Adadelta(), torch.optim.Adadelta, {}),
        (ASGD(t0=1), torch.optim.ASGD, {"t0": 1}),
        (Rprop(), torch.optim.Rprop, {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_torchs_states_of_complex_parameters_load_and_go_on(
    simple: Any, cls: Any, options: dict[str, Any]
) -> None:
    start = torch.tensor([1 + 2j, -0.5 + 0.25j, 3j])
    modules = [nn.ParameterList([start.clone()]) for _ in range(2)]
    theirs = cls(modules[0].parameters(), lr=0.1, **options)
    ours = simple.bind(modules[1], lr=0.1)

    def backward(module: Any) -> None:
        module.zero_grad()
        (module[0] * (1 + 2j) - 1j).abs().square().sum().backward()

    for _ in range(2):
        backward(modules[0])
        theirs.step()
    modules[1].load_state_dict(modules[0].state_dict())
    ours.load_state_dict(theirs.state_dict())
    for module, optimizer in zip(modules, (theirs, ours), strict=True):
        backward(module)
        optimizer.step()

    assert torch.allclose(modules[0][0], modules[1][0], atol=1e-6)


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


def test_a_state_dict_of_another_optimizer_is_refused_before_anything_changes() -> None:
    module = layers()
    adam, sgd = adamw(module), SGD(momentum=0.9).bind(module, lr=1.0)
    drive(adam, module, 1)
    drive(sgd, module, 2)
    before = {k: dict(v) for k, v in sgd.state.items()}

    with pytest.raises(RecordMismatchError, match=r"state of AdamW.*SGD"):
        sgd.load_state_dict(adam.state_dict())
    with pytest.raises(
        RecordMismatchError, match=r"0\.weight.*exp_avg.*momentum_buffer"
    ):
        sgd.load_state_dict(torch_state(module))

    assert {k: dict(v) for k, v in sgd.state.items()}.keys() == before.keys()
    assert sgd.param_groups[0]["lr"] == 1.0


def torch_state(module: nn.Module) -> dict[str, Any]:
    optimizer = torch.optim.Adam(module.parameters())
    drive(optimizer, module, 1)
    return optimizer.state_dict()


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


def test_impure_errors_of_the_step_pickle() -> None:
    error = ImpureStepError("changed")

    assert str(pickle.loads(pickle.dumps(error))) == "changed"


def test_a_state_dict_that_fails_halfway_leaves_optimizer_and_hooks_as_they_were() -> (
    None
):
    module = layers()
    adaptor = AdamW().bind(module, lr=0.1)
    drive(adaptor, module, 1)
    group, before = adaptor.param_groups[0], str(adaptor.state_dict())
    stored = adaptor.state_dict()
    stored["param_groups"][0] |= {"lr": 0.5, "clip": "no JSON"}

    with pytest.raises(ValueError, match="Expecting value"):
        adaptor.load_state_dict(stored)

    assert str(adaptor.state_dict()) == before
    assert adaptor.param_groups[0] is group
    assert not vars(adaptor)["_optimizer_load_state_dict_pre_hooks"]


def replaced_head(simple: Any = None, **options: Any) -> tuple[Any, Any]:
    """Return a module, and its optimizer, whose last layer is new since a step."""
    module = layers()
    simple = SGD() if simple is None else simple
    adaptor = simple.bind(module, lr=0.1, **options)
    drive(adaptor, module, 0)
    torch.manual_seed(1)
    module[2] = nn.Linear(16, 4)
    return module, adaptor


def test_a_grad_scaler_unscales_a_parameter_that_was_replaced() -> None:
    module, adaptor = replaced_head()
    before = module[2].bias.detach().clone()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)  # type: ignore[attr-defined]  # torch exports it late

    module.zero_grad()
    scaler.scale(module(X).sum()).backward()
    with pytest.warns(RuntimeWarning, match=r"2\.weight, 2\.bias was replaced"):
        scaler.step(adaptor)

    assert torch.allclose(module[2].bias, before - 0.1 * len(X))


def test_gradients_of_a_parameter_that_was_replaced_are_zeroed_before_its_step() -> (
    None
):
    module, adaptor = replaced_head()
    module(X).sum().backward()

    with pytest.warns(RuntimeWarning, match="was replaced"):
        adaptor.zero_grad()

    assert module[2].weight.grad is None
    assert any(p is module[2].weight for p in adaptor.param_groups[0]["params"])


def test_a_parameter_that_was_replaced_moves_to_where_it_is_evaluated() -> None:
    module, adaptor = replaced_head(ScheduleFreeAdamW())
    before = module[2].weight.detach().clone()

    with pytest.warns(RuntimeWarning, match="was replaced"):
        adaptor.eval()

    assert not torch.equal(module[2].weight, before)


@pytest.mark.parametrize("is_followed", [False, True])
def test_what_replaced_a_parameter_may_be_added_as_a_group_of_its_own(
    *, is_followed: bool
) -> None:
    module, adaptor = replaced_head()
    if is_followed:
        with pytest.warns(RuntimeWarning, match="was replaced"):
            assert len(adaptor.param_groups) == 1

    adaptor.add_param_group({"params": module[2].parameters(), "lr": 0.0})
    before, first = module[2].weight.detach().clone(), module[0].weight.clone()
    drive(adaptor, module, 1)

    assert torch.equal(module[2].weight, before)
    assert not torch.equal(module[0].weight, first)
    new = [*module[2].parameters()]
    assert not any(p is q for p in adaptor.param_groups[0]["params"] for q in new)
    assert len(adaptor.param_groups) == 2


def test_groups_say_nothing_of_a_parameter_without_values_and_the_step_does() -> None:
    module = layers()
    adaptor = SGD().bind(module, lr=0.1)
    drive(adaptor, module, 0)
    module[2] = nn.Linear(16, 4, device="meta")
    module[2].bias.grad = torch.empty(4, device="meta")

    assert len(adaptor.param_groups) == 1
    with pytest.raises(ValueError, match=r"2\.weight is on the meta device"):
        adaptor.step()
