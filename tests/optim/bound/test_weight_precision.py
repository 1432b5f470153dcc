"""Half-precision weights learn what is smaller than half of their last digit."""

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.optim import (
    SGD,
    AdamW,
    Group,
    Lion,
    Muon,
    RMSprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
    engine_report,
)
from burnish.records import Record

from ..every_optimizer import ENGINES
from ..nets import (
    Net,
    UserAdamW,
    drive,
    engine_names,
    equal,
    layers,
    plist,
    step_by_lists,
)
from ..steppers import ELEMENTWISE, Stepping

HALF = [torch.bfloat16, torch.float16]
WIDE = torch.float32
SIMPLE: list[SimpleOptimizer[Any]] = [
    SGD(),
    SGD(momentum=0.9),
    AdamW(),
    AdamW(amsgrad=True),
    RMSprop(momentum=0.9),
    Lion(),
    ScheduleFreeAdamW(),
    UserAdamW(),
]


def widened(net: nn.Module) -> Any:
    """Return a copy of a module in float32, with the same values."""
    return copy.deepcopy(net).float()


def same_grads(net: nn.Module, twin: nn.Module, seed: int) -> None:
    """Give two modules the gradients of one seed, exact in half precision."""
    generator = torch.Generator().manual_seed(seed)
    for param, other in zip(net.parameters(), twin.parameters(), strict=True):
        grad = torch.randn(param.shape, generator=generator).to(param.dtype)
        param.grad, other.grad = grad, grad.to(other.dtype)


def are_roundings(optimizer: Any, net: nn.Module) -> bool:
    """Return whether every weight is the rounding of its master."""
    return all(
        torch.equal(optimizer.state[p]["master"].to(p.dtype), p)
        for p in net.parameters()
    )


def n_renewed(optimizer: Any) -> int:
    return engine_report(optimizer)[0].n_renewed


@ENGINES
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("simple", SIMPLE, ids=repr)
def test_masters_move_as_float32_parameters_do(
    simple: SimpleOptimizer[Any], dtype: torch.dtype, fused: bool | None
) -> None:
    net = Net(dtype)
    twin = widened(net)
    optimizer = simple.bind(net, lr=1e-3, master_dtype=WIDE, fused=fused)
    # torch's kernels are not an engine of masters, and differ in the last digit.
    peer = simple.bind(twin, lr=1e-3, fused=bool(fused))

    for seed in range(10):
        same_grads(net, twin, seed)
        optimizer.step()
        peer.step()

    for param, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(optimizer.state[param]["master"], other, atol=1e-6)
    assert are_roundings(optimizer, net)
    assert n_renewed(optimizer) == 0


@ENGINES
def test_updates_that_a_half_precision_loses_add_up(fused: bool | None) -> None:
    net = plist(nn.Parameter(torch.ones(8).bfloat16()))
    plain = copy.deepcopy(net)
    optimizer = AdamW().bind(net, lr=1e-4, master_dtype=WIDE, fused=fused)
    peer = AdamW().bind(plain, lr=1e-4, state_dtype=WIDE, fused=fused)

    for _ in range(500):
        net[0].grad = torch.ones(8).bfloat16()
        plain[0].grad = torch.ones(8).bfloat16()
        optimizer.step()
        peer.step()

    assert torch.equal(plain[0], torch.ones(8).bfloat16())
    assert torch.allclose(net[0].float(), torch.tensor(0.95), atol=4e-3)


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_elementwise_step_moves_masters_as_the_loop_does(
    name: str, fused: bool | None
) -> None:
    nets = [Net(torch.bfloat16), Net(torch.bfloat16)]
    simple = Stepping(fn=ELEMENTWISE[name])
    engine = simple.bind(nets[0], lr=1.0, master_dtype=WIDE, fused=fused)
    loop = simple.bind(nets[1], lr=1.0, master_dtype=WIDE, fused=False)

    for seed in range(3):
        same_grads(nets[0], nets[1], seed)
        for net, optimizer in zip(nets, (engine, loop), strict=True):
            with torch.no_grad():
                net.a[seed] = 0.5
            optimizer.step()

    assert engine_names(engine) == {"compiled" if fused else "blocks"}
    assert n_renewed(engine) == n_renewed(loop) > 0
    assert are_roundings(engine, nets[0])
    for a, b in zip(*(net.parameters() for net in nets), strict=True):
        for field in ("master", "a", "b"):
            values = engine.state[a][field], loop.state[b][field]
            assert torch.allclose(*values, rtol=1e-4, atol=1e-5), field


def test_small_equal_matrices_keep_masters_in_their_stack() -> None:
    matrices = nn.ModuleList([nn.Linear(8, 8, bias=False) for _ in range(3)])
    net = matrices.to(torch.bfloat16)
    twin = copy.deepcopy(net)
    stack = Muon().bind(net, lr=1e-3, master_dtype=WIDE)
    loop = Muon().bind(twin, lr=1e-3, master_dtype=WIDE, fused=False)
    for seed in range(4):
        same_grads(net, twin, seed)
        stack.step()
        loop.step()

    assert engine_names(stack) == {"stacked"}
    assert are_roundings(stack, net)
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        masters = stack.state[a]["master"], loop.state[b]["master"]
        assert torch.allclose(*masters, atol=1e-4)


def test_lists_of_accelerators_keep_masters() -> None:
    left, right = layers(torch.bfloat16), layers(torch.bfloat16)
    engine = UserAdamW().bind(left, lr=1e-2, master_dtype=WIDE)
    loop = UserAdamW().bind(right, lr=1e-2, master_dtype=WIDE, fused=False)
    drive(engine, left, 1)
    drive(loop, right, 1)
    step_by_lists(engine)
    with torch.no_grad():
        left[0].bias.zero_()
        right[0].bias.zero_()

    drive(engine, left, 2, 3)
    drive(loop, right, 2, 3)

    assert engine_names(engine) == {"foreach"}
    assert are_roundings(engine, left)
    assert n_renewed(engine) == n_renewed(loop) == 16


@ENGINES
def test_a_weight_that_somebody_wrote_gives_its_master_anew(fused: bool | None) -> None:
    net = plist(nn.Parameter(torch.ones(100, 3).bfloat16()))
    optimizer = SGD().bind(net, lr=1e-3, master_dtype=WIDE, fused=fused)
    net[0].grad = torch.ones(100, 3).bfloat16()
    optimizer.step()
    assert n_renewed(optimizer) == 0

    with torch.no_grad():
        net[0][10:20] = 2.0
    optimizer.step()

    master = optimizer.state[net[0]]["master"]
    assert torch.equal(master[10:20], torch.tensor(2.0 - 1e-3).expand(10, 3))
    assert torch.allclose(master[:10], torch.tensor(1.0 - 2e-3))
    assert n_renewed(optimizer) == 30
    assert "30 elements of master weights were rebuilt" in repr(
        engine_report(optimizer)
    )


@pytest.mark.parametrize("fused", [None, True])
def test_a_change_of_one_of_many_blocks_is_counted(fused: bool | None) -> None:
    net = plist(nn.Parameter(torch.ones(300_000).bfloat16()))
    optimizer = SGD().bind(net, lr=1e-3, master_dtype=WIDE, fused=fused)
    net[0].grad = torch.ones(300_000).bfloat16()
    optimizer.step()

    with torch.no_grad():
        net[0][-5:] = 2.0
    optimizer.step()
    optimizer.step()

    assert n_renewed(optimizer) == 5


@ENGINES
def test_weights_that_are_loaded_give_their_masters_anew(fused: bool | None) -> None:
    net, other = layers(torch.bfloat16), layers(torch.bfloat16)
    optimizer = AdamW().bind(net, lr=1e-3, master_dtype=WIDE, fused=fused)
    drive(optimizer, net, 1, 2)
    with torch.no_grad():
        for param in other.parameters():
            param.add_(1.0)

    net.load_state_dict(other.state_dict())
    drive(optimizer, net, 3)

    assert n_renewed(optimizer) > 0
    assert are_roundings(optimizer, net)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-2)


@ENGINES
def test_weights_that_are_not_finite_are_counted_once(fused: bool | None) -> None:
    net = plist(nn.Parameter(torch.ones(4).float().half()))
    optimizer = SGD().bind(net, lr=1.0, master_dtype=WIDE, fused=fused)
    net[0].grad = torch.tensor([0.0, float("nan"), -6e4, 0.0]).half()
    optimizer.step()
    optimizer.step()
    assert n_renewed(optimizer) == 0

    with torch.no_grad():
        net[0][3] = float("nan")
    optimizer.step()
    optimizer.step()

    assert n_renewed(optimizer) == 1
    assert net[0].isnan().tolist() == [False, True, False, True]
    # The weight overflowed, and comes back with its master.
    assert net[0][2].isinf()
    assert optimizer.state[net[0]]["master"][2] == 1.0 + 4 * 6e4


@ENGINES
def test_float32_parameters_have_no_master(fused: bool | None) -> None:
    net = nn.Sequential(nn.Linear(8, 4).bfloat16(), nn.Linear(8, 4), nn.Linear(8, 4))
    net[2].half()
    net[1].weight.requires_grad_(False)
    optimizer = AdamW().bind(net, lr=1e-3, master_dtype=WIDE, fused=fused)

    drive(optimizer, net, 1, 2)

    has_master = {name: "master" in s for name, s in named_states(optimizer, net)}
    assert has_master["0.weight"]
    assert has_master["2.bias"]
    assert not has_master["1.bias"]


def named_states(optimizer: Any, net: nn.Module) -> list[tuple[str, Any]]:
    pairs = net.named_parameters()
    return [(name, optimizer.state[p]) for name, p in pairs if p in optimizer.state]


def test_a_frozen_weight_has_neither_state_nor_master() -> None:
    net = layers(torch.bfloat16)
    net[0].weight.requires_grad_(False)
    optimizer = AdamW().bind(net, lr=1e-3, master_dtype=WIDE)

    for name, param in net.named_parameters():
        param.grad = None if name == "0.weight" else torch.ones_like(param)
    optimizer.step()

    assert net[0].weight not in optimizer.state
    assert "master" in optimizer.state[net[0].bias]


def test_masters_in_float64_belong_to_float32_parameters() -> None:
    net = plist(nn.Parameter(torch.ones(3)))
    optimizer = SGD().bind(net, lr=1e-9, master_dtype=torch.float64)
    for _ in range(100):
        net[0].grad = torch.ones(3)
        optimizer.step()

    assert torch.allclose(
        optimizer.state[net[0]]["master"],
        torch.tensor(1 - 1e-7, dtype=torch.float64),
        atol=1e-12,
        rtol=0,
    )
    assert not torch.equal(net[0], torch.ones(3))


@ENGINES
def test_states_may_be_narrower_than_masters(fused: bool | None) -> None:
    net = layers(torch.bfloat16)
    optimizer = AdamW().bind(
        net, lr=1e-3, master_dtype=WIDE, state_dtype=torch.bfloat16, fused=fused
    )

    drive(optimizer, net, 1, 2)

    fields = optimizer.state[net[0].weight]
    assert fields["exp_avg"].dtype is torch.bfloat16
    assert fields["master"].dtype is WIDE
    assert are_roundings(optimizer, net)


def resumed_runs(
    how: str, tmp_path: Path, **options: Any
) -> tuple[tuple[Net, Any], tuple[Net, Any]]:
    """Return module and optimizer of a run of 10 steps, and of one resumed after 5."""
    net = Net(torch.bfloat16)
    optimizer = AdamW().bind(net, lr=1e-3, **options)
    drive(optimizer, net, *range(5))

    again = Net(torch.bfloat16)
    resumed: Any = AdamW().bind(again, lr=1e-3, **options)
    if how == "record":
        burnish.save_record(net, tmp_path / "net.mpk")
        optimizer.save_record(tmp_path / "optim.mpk")
        burnish.load_record(again, tmp_path / "net.mpk")
        resumed.load_record(tmp_path / "optim.mpk")
    elif how == "state_dict":
        # The parameters of another module have other IDs.
        again.load_state_dict(net.state_dict())
        torch.save(optimizer.state_dict(), tmp_path / "optim.pt")
        resumed.load_state_dict(torch.load(tmp_path / "optim.pt"))
    else:
        again, resumed = copy.deepcopy((net, optimizer))
    drive(optimizer, net, *range(5, 10))
    drive(resumed, again, *range(5, 10))
    return (net, optimizer), (again, resumed)


@ENGINES
@pytest.mark.parametrize("how", ["record", "state_dict", "pickle"])
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(
    how: str, fused: bool | None, tmp_path: Path
) -> None:
    (net, optimizer), (again, resumed) = resumed_runs(
        how, tmp_path, master_dtype=WIDE, fused=fused
    )

    assert equal(net, again)
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        masters = optimizer.state[a]["master"], resumed.state[b]["master"]
        assert torch.equal(*masters)
    assert n_renewed(resumed) == 0


def test_an_old_record_without_masters_begins_them_from_the_weights() -> None:
    net = layers(torch.bfloat16)
    old = AdamW().bind(net, lr=1e-2, state_dtype=WIDE)
    drive(old, net, 1, 2)
    optimizer = AdamW().bind(net, lr=1e-2, master_dtype=WIDE)

    report = optimizer.load_record(old.into_record())
    drive(optimizer, net, 3)

    assert len(report.loaded) == 6
    assert optimizer.state[net[0].weight]["step"] == 3
    assert are_roundings(optimizer, net)
    assert n_renewed(optimizer) == 0


def test_an_old_record_of_no_state_begins_masters_as_well() -> None:
    net = layers(torch.bfloat16)
    old = SGD().bind(net, lr=1e-2)
    drive(old, net, 1)
    optimizer = SGD().bind(net, lr=1e-2, master_dtype=WIDE)

    optimizer.load_record(old.into_record())
    drive(optimizer, net, 2)

    assert are_roundings(optimizer, net)


@pytest.mark.filterwarnings("ignore:.*stored with exp_avg in bfloat16")
@pytest.mark.parametrize(
    "options", [{"master_dtype": WIDE}, {"rounding": "stochastic"}], ids=str
)
def test_a_state_dict_of_torch_goes_on_with_weights_that_learn(
    options: dict[str, Any],
) -> None:
    net = layers(torch.bfloat16)
    theirs = torch.optim.AdamW(net.parameters(), lr=1e-2)
    drive(theirs, net, 1, 2)
    optimizer = AdamW().bind(net, lr=1e-2, **options)

    optimizer.load_state_dict(theirs.state_dict())
    drive(optimizer, net, 3)

    assert optimizer.state[net[0].weight]["step"] == 3
    assert n_renewed(optimizer) == 0


@pytest.mark.parametrize("simple", [SGD(), AdamW()], ids=repr)
def test_masters_that_an_optimizer_does_not_keep_are_left_out_and_told(
    simple: SimpleOptimizer[Any],
) -> None:
    net = layers(torch.bfloat16)
    first = simple.bind(net, lr=1e-2, master_dtype=WIDE)
    drive(first, net, 1, 2)
    optimizer = simple.bind(net, lr=1e-2)

    report = optimizer.load_record(first.into_record())
    with pytest.warns(RuntimeWarning, match=r"0\.weight.* with a master weight"):
        optimizer.load_state_dict(first.state_dict())
    drive(optimizer, net, 3)

    told = [text for text in report.changed if "master_dtype=torch.float32" in text]
    assert len(told) == 1
    assert "0.weight" in told[0]
    assert "master" not in optimizer.state[net[0].weight]


def test_a_master_of_another_shape_is_refused() -> None:
    net = layers(torch.bfloat16)
    optimizer = AdamW().bind(net, lr=1e-2, master_dtype=WIDE)
    drive(optimizer, net, 1)
    optimizer.state[net[0].weight]["master"] = torch.zeros(3)

    with pytest.raises(ValueError, match=r"0\.weight.*master has shape \(3,\)"):
        drive(optimizer, net, 2)


def test_a_master_that_is_taken_away_begins_anew() -> None:
    net = layers(torch.bfloat16)
    optimizer = AdamW().bind(net, lr=1e-2, master_dtype=WIDE)
    drive(optimizer, net, 1)
    del optimizer.state[net[0].weight]["master"]

    drive(optimizer, net, 2)

    assert optimizer.state[net[0].weight]["step"] == 2
    assert are_roundings(optimizer, net)


def test_weights_on_shared_memory_learn() -> None:
    memory = torch.ones(64).bfloat16()
    net = plist(nn.Parameter(memory), nn.Parameter(memory.view(8, 8)))
    optimizer = SGD().bind(net, lr=1e-4, master_dtype=WIDE)

    for _ in range(500):
        for param in net:
            param.grad = torch.ones_like(param)
        optimizer.step()

    assert torch.equal(net[0], net[1].view(-1))
    assert abs(net[0].float().mean().item() - 0.9) < 0.02


@ENGINES
def test_evaluation_moves_the_master_there_and_back(fused: bool | None) -> None:
    net = layers(torch.bfloat16)
    twin = widened(net)
    optimizer = ScheduleFreeAdamW().bind(net, lr=1e-2, master_dtype=WIDE, fused=fused)
    peer = ScheduleFreeAdamW().bind(twin, lr=1e-2, fused=fused)
    for seed in range(5):
        same_grads(net, twin, seed)
        for one in (optimizer, peer):
            one.step()
            one.eval()
            one.train()

    optimizer.eval()
    peer.eval()

    assert are_roundings(optimizer, net)
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(optimizer.state[a]["master"], b, atol=1e-6)


def test_states_wider_than_the_weight_move_it_to_where_it_is_evaluated() -> None:
    net = layers(torch.bfloat16)
    optimizer = ScheduleFreeAdamW().bind(net, lr=1e-2, state_dtype=WIDE)
    drive(optimizer, net, 1, 2)
    before = net[0].weight.detach().clone()

    optimizer.eval()

    assert net[0].weight.dtype is torch.bfloat16
    assert not torch.equal(net[0].weight, before)


def test_groups_clips_and_closures_go_with_masters() -> None:
    net = layers(torch.bfloat16)
    optimizer = AdamW().bind(
        net,
        lr=1e-3,
        groups=[Group("**.bias", optimizer=SGD(momentum=0.9), lr=1e-2)],
        clip=burnish.optim.ClipGlobalNorm(1.0),
        maximize=True,
        master_dtype=WIDE,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = net(torch.ones(4, 8).bfloat16()).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]

    assert losses[-1] > losses[0]
    assert are_roundings(optimizer, net)


def test_a_scaled_gradient_that_is_infinite_leaves_masters_as_they_are() -> None:
    net = layers(torch.bfloat16)
    optimizer = AdamW().bind(net, lr=1e-2, master_dtype=WIDE)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    drive(optimizer, net, 1)
    before = optimizer.state[net[0].weight]["master"].clone()

    scaler.scale(net(torch.full((4, 8), float("inf")).bfloat16()).sum()).backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(optimizer.state[net[0].weight]["master"], before)

    optimizer.zero_grad()
    scaler.scale(net(torch.ones(4, 8).bfloat16()).square().mean()).backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
    scaler.step(optimizer)
    assert not torch.equal(optimizer.state[net[0].weight]["master"], before)


def test_the_report_says_why_a_kernel_of_torch_is_left_out() -> None:
    net = layers(torch.bfloat16)
    optimizer = AdamW().bind(net, lr=1e-3, master_dtype=WIDE)

    assert "torch's kernel keeps no master weights" in engine_report(optimizer)[0].why


class Mastered(Record):
    master: Tensor


class Mastering(SimpleOptimizer[Mastered]):
    def init(self, tensor: Tensor) -> Mastered:
        return Mastered(torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Mastered
    ) -> tuple[Tensor, Mastered]:
        return tensor - lr * grad, Mastered(state.master + grad)


def test_a_state_with_a_field_of_that_name_is_refused_at_binding() -> None:
    with pytest.raises(TypeError, match="Mastered has a field 'master'"):
        Mastering().bind(layers(torch.bfloat16), lr=0.1, master_dtype=WIDE)


def test_an_author_may_call_a_field_master() -> None:
    net, again = layers(torch.bfloat16), layers(torch.bfloat16)
    optimizer = Mastering().bind(net, lr=0.1)
    drive(optimizer, net, 1)
    resumed = Mastering().bind(again, lr=0.1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = resumed.load_record(optimizer.into_record(), strict=False)

    assert not report.changed
    assert n_renewed(optimizer) == 0


@ENGINES
def test_a_field_called_master_is_its_authors_where_weights_are_rounded(
    fused: bool | None,
) -> None:
    net, again = layers(torch.bfloat16), layers(torch.bfloat16)
    options: dict[str, Any] = {"rounding": "stochastic", "fused": fused}
    optimizer = Mastering().bind(net, lr=0.1, **options)
    drive(optimizer, net, 1, 2)
    resumed = Mastering().bind(again, lr=0.1, **options)

    again.load_state_dict(net.state_dict())
    resumed.load_record(optimizer.into_record())
    drive(optimizer, net, 3)
    drive(resumed, again, 3)

    fields = resumed.state[again[0].weight]
    assert equal(net, again)
    assert fields["master"].dtype is torch.bfloat16
    assert fields["rounding_step"] == 3
    assert n_renewed(optimizer) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64, "float32", 32])
def test_a_dtype_that_no_master_can_have_is_refused(dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"master_dtype must be torch\.float32"):
        AdamW().bind(layers(), lr=0.1, master_dtype=dtype)


def distances(a: nn.Module, b: nn.Module) -> int:
    """Return how many elements of two modules differ."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return sum(int((x != y).sum()) for x, y in pairs)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("fused", [None, True])
def test_every_engine_rounds_with_the_same_bits(
    dtype: torch.dtype, fused: bool | None
) -> None:
    nets = [Net(dtype), Net(dtype)]
    # Products and sums of SGD are the same to the bit on every engine.
    engine = SGD().bind(nets[0], lr=1e-3, rounding="stochastic", fused=fused)
    loop = SGD().bind(nets[1], lr=1e-3, rounding="stochastic", fused=False)

    drive(engine, nets[0], *range(5))
    drive(loop, nets[1], *range(5))

    assert engine_names(engine) == {"compiled" if fused else "blocks"}
    assert equal(*nets)
    assert not equal(nets[0], Net(dtype))


@pytest.mark.parametrize("fused", [None, True])
def test_blocks_of_a_large_parameter_have_the_bits_of_their_place(
    fused: bool | None,
) -> None:
    nets = [plist(nn.Parameter(torch.ones(3, 100_001).bfloat16())) for _ in range(2)]
    engine = SGD().bind(nets[0], lr=1e-3, rounding="stochastic", fused=fused)
    loop = SGD().bind(nets[1], lr=1e-3, rounding="stochastic", fused=False)

    drive(engine, nets[0], 1)
    drive(loop, nets[1], 1)

    assert equal(*nets)


def test_lists_of_accelerators_round_with_the_bits_of_the_loop() -> None:
    left, right = Net(torch.bfloat16), Net(torch.bfloat16)
    engine = SGD().bind(left, lr=1e-2, rounding="stochastic")
    loop = SGD().bind(right, lr=1e-2, rounding="stochastic", fused=False)
    drive(engine, left, 1)
    drive(loop, right, 1)
    step_by_lists(engine)

    drive(engine, left, 2, 3)
    drive(loop, right, 2, 3)

    assert engine_names(engine) == {"foreach"}
    # Lists contract a product and a sum, as blocks do, and round otherwise then.
    assert distances(left, right) <= 3


def test_stacks_round_with_the_bits_of_the_loop() -> None:
    matrices = nn.ModuleList([nn.Linear(8, 8, bias=False) for _ in range(3)])
    net = matrices.to(torch.bfloat16)
    twin = copy.deepcopy(net)
    stack = Muon().bind(net, lr=1e-3, rounding="stochastic")
    loop = Muon().bind(twin, lr=1e-3, rounding="stochastic", fused=False)

    drive(stack, net, 1, 2)
    drive(loop, twin, 1, 2)

    assert engine_names(stack) == {"stacked"}
    assert distances(net, twin) <= 3


@ENGINES
def test_parameters_that_lie_in_another_order_are_rounded_as_their_indices_say(
    fused: bool | None,
) -> None:
    values = torch.randn(8, 3, 4, 4).bfloat16()
    laid_out = values.to(memory_format=torch.channels_last)
    nets = [plist(nn.Parameter(values.clone())), plist(nn.Parameter(laid_out))]
    names: list[set[str]] = []
    for net in nets:
        optimizer = SGD().bind(net, lr=1e-3, rounding="stochastic", fused=fused)
        for _ in range(3):
            net[0].grad = torch.ones_like(net[0])
            optimizer.step()
        names.append(engine_names(optimizer))

    assert torch.equal(nets[0][0], nets[1][0])
    assert names[1] == {"loop"}


@ENGINES
@pytest.mark.parametrize("dtype", HALF)
def test_rounded_updates_add_up_on_average(
    dtype: torch.dtype, fused: bool | None
) -> None:
    net = plist(nn.Parameter(torch.ones(4000).to(dtype)))
    optimizer = SGD().bind(net, lr=1e-4, rounding="stochastic", fused=fused)
    for _ in range(500):
        net[0].grad = torch.ones(4000).to(dtype)
        optimizer.step()

    assert abs(net[0].float().mean().item() - 0.95) < 2e-3
    assert len(net[0].unique()) > 2


@ENGINES
@pytest.mark.parametrize("how", ["record", "state_dict", "pickle"])
def test_a_resumed_run_rounds_as_an_uninterrupted_one(
    how: str, fused: bool | None, tmp_path: Path
) -> None:
    (net, _), (again, resumed) = resumed_runs(
        how, tmp_path, rounding="stochastic", seed=5, fused=fused
    )

    assert equal(net, again)
    assert resumed.state[again.a]["rounding_step"] == 10


def test_runs_of_one_seed_are_equal_and_those_of_another_are_not() -> None:
    nets = [Net(torch.bfloat16) for _ in range(3)]
    for net, seed in zip(nets, (1, 1, 2), strict=True):
        optimizer = SGD().bind(net, lr=1e-3, rounding="stochastic", seed=seed)
        drive(optimizer, net, *range(3))

    assert equal(nets[0], nets[1])
    assert distances(nets[0], nets[2]) > 1000


def test_a_layer_that_was_renamed_goes_on_with_its_bits() -> None:
    first = nn.ModuleDict({"old": nn.Linear(9, 7)}).bfloat16()
    optimizer = SGD().bind(first, lr=1e-3, rounding="stochastic")
    drive(optimizer, first, 1, 2)
    renamed = nn.ModuleDict({"new": copy.deepcopy(first["old"])})
    resumed = SGD().bind(renamed, lr=1e-3, rounding="stochastic")

    resumed.load_record(optimizer.into_record(), rename={"old": "new"})
    drive(optimizer, first, 3, 4)
    drive(resumed, renamed, 3, 4)

    assert equal(first, renamed)


def test_rounding_leaves_generators_and_float32_parameters_alone() -> None:
    net, twin = layers(), layers()
    net[0].bfloat16()
    torch.manual_seed(3)
    optimizer = AdamW().bind(net, lr=1e-3, rounding="stochastic", fused=False)
    peer = AdamW().bind(twin, lr=1e-3, fused=False)
    before = torch.get_rng_state()

    for seed in range(3):
        same_grads(twin, net, seed)
        optimizer.step()
        peer.step()

    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(net[2].weight, twin[2].weight)
    assert "rounding_step" not in optimizer.state[net[2].weight]
    assert optimizer.state[net[0].weight]["rounding_step"] == 3


@ENGINES
def test_what_an_update_leaves_alone_is_not_rounded(fused: bool | None) -> None:
    net = Net(torch.bfloat16)
    before = copy.deepcopy(net)
    optimizer = SGD().bind(net, lr=1e-3, rounding="stochastic", fused=fused)

    for param in net.parameters():
        param.grad = torch.zeros_like(param)
    optimizer.step()

    assert equal(net, before)


def test_a_late_parameter_counts_its_own_steps() -> None:
    net = layers(torch.bfloat16)
    optimizer = SGD().bind(net, lr=1e-3, rounding="stochastic")
    net[0].weight.requires_grad_(False)
    for seed in range(3):
        drive_some(optimizer, net, seed, skipped="0.weight")
    drive(optimizer, net, 3)

    steps = {name: s["rounding_step"] for name, s in named_states(optimizer, net)}
    assert steps.pop("0.weight") == 1
    assert set(steps.values()) == {4}


def drive_some(optimizer: Any, net: nn.Module, seed: int, *, skipped: str) -> None:
    """Step all parameters but one."""
    for name, param in net.named_parameters():
        generator = torch.Generator().manual_seed(seed)
        grad = torch.randn(param.shape, generator=generator).to(param.dtype)
        param.grad = None if name == skipped else grad
    optimizer.step()


def test_an_old_record_begins_to_round_and_a_new_one_may_stop() -> None:
    net = layers(torch.bfloat16)
    old = AdamW().bind(net, lr=1e-2)
    drive(old, net, 1, 2)
    optimizer = AdamW().bind(net, lr=1e-2, rounding="stochastic")

    optimizer.load_record(old.into_record())
    drive(optimizer, net, 3)
    report = old.load_record(optimizer.into_record())
    with pytest.warns(RuntimeWarning, match="counter of stochastic rounding"):
        old.load_state_dict(optimizer.state_dict())
    drive(old, net, 4)

    assert optimizer.state[net[0].weight]["rounding_step"] == 1
    assert optimizer.state[net[0].weight]["step"] == 3
    assert sum("rounding='stochastic'" in text for text in report.changed) == 1


def test_the_report_says_that_a_kernel_of_torch_does_not_round_so() -> None:
    optimizer = AdamW().bind(layers(torch.bfloat16), lr=1e-3, rounding="stochastic")

    why = engine_report(optimizer)[0].why
    assert "torch's kernel does not round stochastically" in why


def test_rounding_and_masters_are_one_or_the_other() -> None:
    with pytest.raises(ValueError, match="master_dtype and rounding"):
        AdamW().bind(
            layers(), lr=0.1, master_dtype=torch.float32, rounding="stochastic"
        )


@pytest.mark.parametrize("rounding", ["up", None, 1])
def test_a_rounding_that_there_is_not_is_refused(rounding: Any) -> None:
    with pytest.raises(ValueError, match="rounding must be 'nearest' or 'stochastic'"):
        AdamW().bind(layers(), lr=0.1, rounding=rounding)


def test_a_seed_is_a_whole_number() -> None:
    seed: Any = 0.5
    with pytest.raises(TypeError, match="seed must be an int"):
        AdamW().bind(layers(), lr=0.1, rounding="stochastic", seed=seed)


@pytest.mark.parametrize("option", ["master_dtype", "state_dtype"])
def test_a_dtype_in_text_is_answered_with_the_dtype(option: str) -> None:
    options: dict[str, Any] = {option: "float32"}

    with pytest.raises(ValueError, match=rf"a string; .*: {option}=torch\.float32"):
        AdamW().bind(nn.Linear(2, 2), lr=1e-3, **options)
