"""Every engine gives the loop's numbers, and takes only what it can."""

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from burnish.optim import (
    ASGD,
    LAMB,
    SGD,
    Adadelta,
    Adafactor,
    Adamax,
    AdamW,
    Adan,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
    engine_report,
)
from burnish.optim.engines.tracing.recording import NotElementwise
from burnish.optim.engines.tracing.step_call import StepCall
from burnish.optim.engines.tracing.trace import BucketLayout, trace
from burnish.records import Record

from .nets import (
    Moments,
    Net,
    UserAdamW,
    distance,
    drive,
    engine_names,
    equal,
    plist,
    set_grads,
)


class Pair(Record):
    a: Tensor
    b: Tensor


@dataclass(frozen=True, kw_only=True)
class Stepping(SimpleOptimizer[Pair]):
    """An optimizer whose step is a function of tensor, gradient, and two tensors."""

    fn: Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]

    def init(self, tensor: Tensor) -> Pair:
        return Pair(torch.zeros_like(tensor), torch.ones_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Pair
    ) -> tuple[Tensor, Pair]:
        tensor, a, b = self.fn(tensor, grad, state.a, state.b)
        return tensor, Pair(a, b)


ELEMENTWISE: dict[str, Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]] = {
    "gradient becomes state": lambda p, g, a, b: (p - 0.1 * g, g, b),
    "states change places": lambda p, g, a, b: (p - 0.1 * (a + b * g), b, a + g),
    "states only change places": lambda p, g, a, b: (p - 0.1 * g * b, b, a),
    "one result for all": lambda p, g, a, b: (p - g, p - g, p - g),
    "tensor becomes state": lambda p, g, a, b: (p - 0.1 * g, p, b),
    "nothing changes": lambda p, g, a, b: (p, a, b),
    "constants": lambda p, g, a, b: (1 - 0.5 * p, 2 / (b + 1), torch.zeros_like(p)),
    "reversed operators": lambda p, g, a, b: (3 - p, 2 + g, 1.5 * b),
    "where": lambda p, g, a, b: (torch.where(g > 0, p - 0.1, p + 0.1), a, b),
    "where with a tensor": lambda p, g, a, b: (torch.where(g * p >= 0, p, 0.0), a, b),
    "masked": lambda p, g, a, b: (p - g * (g * p > 0).to(p.dtype), a, b),
    "comparisons": lambda p, g, a, b: (p.masked_fill((p > 0) == (g <= 0), 0.5), a, b),
    "clamps": lambda p, g, a, b: (
        p - g.clamp(-0.3, 0.3),
        g.clamp_min(0.1),
        b.clip(max=2),
    ),
    "extremes": lambda p, g, a, b: (
        p - g,
        torch.maximum(a, g),
        torch.minimum(b, g.abs()),
    ),
    "powers": lambda p, g, a, b: (p - g**2 + g**3, (g**2) ** 0.5, b ** (-1)),
    "functions": lambda p, g, a, b: (
        p - torch.tanh(g),
        torch.sigmoid(g) + torch.relu(g),
        torch.exp(-g.abs()).log1p() + torch.rsqrt(b.square() + 1),
    ),
    "lerps": lambda p, g, a, b: (p.lerp(g, 0.9), a.lerp(g, 0.1), torch.lerp(b, g, 0.5)),
    "own tensors in place": lambda p, g, a, b: (
        p.clone().sub_(g),
        (a * 1.0).add_(g),
        b,
    ),
    "a copy changed in place": lambda p, g, a, b: (
        p - g,
        a.clone().mul_(2).add_(g),
        a + 1,
    ),
    "torch functions": lambda p, g, a, b: (
        torch.sub(p, g, alpha=0.1),
        torch.addcmul(a, g, g, value=0.5),
        torch.addcdiv(b, g, g.abs() + 1, value=-0.5),
    ),
    "contracted sums": lambda p, g, a, b: (
        p * 0.9 - (a / (b.abs() + 1)) * 0.1,
        a * 0.9 + g * g * 0.1 + g * 0.2,
        b - (2.0 * g) * g + g / (g.abs() + 2),
    ),
    "an unused result": lambda p, g, a, b: ((p.exp(), p - g)[1], a, b),
    "detached": lambda p, g, a, b: (p.detach() - g.data, a.contiguous(), b),
    "zeros anew": lambda p, g, a, b: (
        p - g,
        torch.full_like(p, 0.25),
        torch.ones_like(g),
    ),
}


def both(
    step: Callable[[Any, Any, Any, Any], Any], fused: bool | None, dtype: torch.dtype
) -> tuple[Net, Net, set[str]]:
    """Step two modules, one on the engine and one in the loop."""
    left, right = Net(dtype), Net(dtype)
    engine = Stepping(fn=step).bind(left, lr=0.1, fused=fused)
    loop = Stepping(fn=step).bind(right, lr=0.1, fused=False)
    for seed in range(3):
        drive(engine, left, seed)
        drive(loop, right, seed)
        for a, b in zip(left.parameters(), right.parameters(), strict=True):
            for name in ("a", "b"):
                difference = engine.state[a][name] - loop.state[b][name]
                assert difference.abs().max().item() < 1e-5 if a.numel() else True
    return left, right, engine_names(engine)


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_steps_are_replayed_with_the_loops_numbers(
    name: str, fused: bool | None
) -> None:
    left, right, engines = both(ELEMENTWISE[name], fused, torch.float32)

    assert engines == {"compiled" if fused else "blocks"}
    assert distance(left, right) <= 2e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("fused", [None, True])
def test_every_floating_dtype_rounds_as_the_loop_does(
    dtype: torch.dtype, fused: bool | None
) -> None:
    left, right = Net(dtype), Net(dtype)
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)

    drive(engine, left, *range(4))
    drive(loop, right, *range(4))

    # Half precisions round after every operation, on every engine.
    tolerance = {torch.float64: 1e-14, torch.bfloat16: 1e-2, torch.float16: 1e-3}
    assert distance(left, right) <= tolerance[dtype]
    assert engine_names(engine) == {"compiled" if fused else "blocks"}


def test_blocks_of_bfloat16_are_the_loop_to_the_bit() -> None:
    left, right = Net(torch.bfloat16), Net(torch.bfloat16)

    drive(UserAdamW().bind(left, lr=1e-2), left, *range(4))
    drive(UserAdamW().bind(right, lr=1e-2, fused=False), right, *range(4))

    assert equal(left, right)


REFUSED: dict[str, tuple[Callable[[Any, Any, Any, Any], Any], str]] = {
    "norm": (lambda p, g, a, b: (p - g / (g.norm() + 1), a, b), "norm"),
    "sum": (lambda p, g, a, b: (p - g.sum() * 1e-3, a, b), "sum"),
    "item": (lambda p, g, a, b: (p - g * g.sum().item() * 1e-3, a, b), "sum"),
    "branch on values": (
        lambda p, g, a, b: (p - g if (g * g).mean() > 9 else p, a, b),
        "mean",
    ),
    "noise": (lambda p, g, a, b: (p - g + 0 * torch.randn_like(g), a, b), "randn_like"),
    "another power": (lambda p, g, a, b: (p - g.abs() ** 1.3, a, b), "power"),
    "numpy": (lambda p, g, a, b: (p - torch.from_numpy(g.numpy()), a, b), "numpy"),
    "indexing": (lambda p, g, a, b: (p - g[...], a, b), "indexing"),
    "max of two": (
        lambda p, g, a, b: (p - g * float(max(g.abs().sum(), 1)) * 1e-4, a, b),
        "sum",
    ),
}


@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("name", REFUSED)
def test_steps_that_are_not_elementwise_run_as_they_are_written(
    name: str, fused: bool | None
) -> None:
    step, why = REFUSED[name]
    # These read values that an empty tensor does not have.
    left, right = (plist(torch.ones(3, 2), torch.full((4,), 2.0)) for _ in "ab")
    engine = Stepping(fn=step).bind(left, lr=0.1, fused=fused)
    loop = Stepping(fn=step).bind(right, lr=0.1, fused=False)

    drive(engine, left, 1, 2)
    drive(loop, right, 1, 2)

    assert {row.engine for row in engine_report(engine)} == {"loop"}
    assert why in engine_report(engine)[0].why
    assert equal(left, right)


def test_a_tensor_that_is_neither_argument_nor_state_is_refused() -> None:
    closed_over = torch.randn(4)
    module: Any = nn.Linear(4, 1, bias=False)
    adaptor = Stepping(fn=lambda p, g, a, b: (p - closed_over * g, a, b)).bind(
        module, lr=1
    )

    drive(adaptor, module, 1)

    assert engine_names(adaptor) == {"loop"}


class Certificate(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own subclassing has no types
    """Refuses every operation that torch does not tag as pointwise."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = (
            "zeros_like",
            "ones_like",
            "full_like",
            "detach",
            "alias",
            "clone",
            "_to_copy",
            "scalar_tensor",
        )
        name = func.overloadpacket.__name__
        if torch.Tag.pointwise not in func.tags and name not in made:
            raise NotElementwise(name)
        return func(*args, **(kwargs or {}))


def certificate() -> Any:
    mode: Any = Certificate
    return mode()


CERTIFIED: list[SimpleOptimizer[Any]] = [
    UserAdamW(),
    SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
    AdamW(amsgrad=True, cautious=True),
    Adan(),
    RMSprop(centered=True, momentum=0.5),
    Lion(),
    ScheduleFreeAdamW(),
    LAMB(),
    Adafactor(),
    NAdam(weight_decay=0.1),
    RAdam(weight_decay=0.1, decoupled_weight_decay=True),
    Adamax(weight_decay=0.1),
    Adadelta(weight_decay=0.1),
    ASGD(weight_decay=0.1),
    Rprop(),
    *(Stepping(fn=fn) for fn in ELEMENTWISE.values()),
    *(Stepping(fn=fn) for fn, _ in REFUSED.values()),
]


@pytest.mark.parametrize("simple", CERTIFIED, ids=lambda s: type(s).__name__)
def test_what_the_recording_calls_elementwise_torch_calls_pointwise(
    simple: SimpleOptimizer[Any],
) -> None:
    like = torch.randn(6)
    state = simple.init(like)
    fields = state.fields()
    tensors = {k: v for k, v in fields.items() if isinstance(v, Tensor)}
    numbers = {k: v for k, v in fields.items() if isinstance(v, int | float)}
    absent = {k: None for k, v in fields.items() if v is None}
    layout = BucketLayout(
        like, type(state), tuple(tensors), (torch.float32,) * (2 + len(tensors)), absent
    )

    try:
        trace(StepCall(simple, 0.1), layout, numbers)
        recorded = True
    except NotElementwise:
        recorded = False
    try:
        with certificate(), torch.no_grad():
            simple.step(0.1, like, like.clone(), state)
        certified = True
    except NotElementwise:
        certified = False

    assert not recorded or certified


def test_branches_on_numbers_and_shapes_are_followed_at_every_step() -> None:
    class Count(Record):
        t: int
        m: Tensor

    @dataclass(frozen=True, kw_only=True)
    class Warm(SimpleOptimizer[Count]):
        def init(self, tensor: Tensor) -> Count:
            return Count(0, torch.zeros_like(tensor))

        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: Count
        ) -> tuple[Tensor, Count]:
            m = state.m * 0.9 + grad if state.t % 2 else grad * math.cos(state.t)
            if tensor.ndim > 1:
                m = m * (1 / tensor.shape[0])
            return tensor - m * lr, Count(state.t + 1, m)

    left, right = Net(), Net()
    del left.empty, right.empty
    for fused in (None, True):
        engine = Warm().bind(left, lr=0.1, fused=fused)
        loop = Warm().bind(right, lr=0.1, fused=False)

        drive(engine, left, *range(6))
        drive(loop, right, *range(6))

        assert distance(left, right) <= 1e-5
        assert engine_names(engine) <= {"compiled", "blocks"}


@pytest.mark.parametrize("fused", [None, True])
def test_a_shape_that_is_asked_for_at_some_steps_only_is_that_of_each_parameter(
    fused: bool | None,
) -> None:
    class Count(Record):
        t: int
        m: Tensor

    @dataclass(frozen=True, kw_only=True)
    class Late(SimpleOptimizer[Count]):
        def init(self, tensor: Tensor) -> Count:
            return Count(0, torch.zeros_like(tensor))

        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: Count
        ) -> tuple[Tensor, Count]:
            m = state.m * 0.9 + grad
            if state.t % 3 == 2:
                m = torch.add(m, grad, alpha=tensor.ndim) * (1 / max(tensor.numel(), 1))
            return tensor - m * lr, Count(state.t + 1, m)

    left, right = Net(), Net()
    engine = Late().bind(left, lr=0.1, fused=fused)
    loop = Late().bind(right, lr=0.1, fused=False)

    for seed in range(7):
        drive(engine, left, seed)
        drive(loop, right, seed)
        assert distance(left, right) <= 1e-5


@pytest.mark.parametrize("fused", [False, None, True])
def test_what_is_written_through_data_is_written_as_in_the_loop(
    fused: bool | None,
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Through(SimpleOptimizer[None]):
        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: None
        ) -> tuple[Tensor, None]:
            update = grad * 2.0
            update.data.add_(grad)
            grad.data.mul_(1.0)
            return tensor - update * lr, None

    module, peer = nn.Linear(3, 2), nn.Linear(3, 2)
    peer.load_state_dict(module.state_dict())
    adaptor = Through().bind(module, lr=0.1, fused=fused)
    for seed in range(3):
        set_grads(module, seed)
        set_grads(peer, seed)
        adaptor.step()
        for param in peer.parameters():
            assert param.grad is not None
            param.data -= 3 * param.grad * 0.1

    assert distance(module, peer) <= 1e-6


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_first_state_that_is_the_gradient_does_not_alias_it(
    fused: bool | None,
) -> None:
    module, peer = nn.Linear(3, 2), nn.Linear(3, 2)
    peer.load_state_dict(module.state_dict())
    adaptor = SGD(momentum=0.9).bind(module, lr=0.1, fused=fused)
    oracle = torch.optim.SGD(peer.parameters(), lr=0.1, momentum=0.9, foreach=False)
    for parameter in (*module.parameters(), *peer.parameters()):
        parameter.grad = torch.zeros_like(parameter)

    for seed in range(6):
        for net, optimizer in ((module, adaptor), (peer, oracle)):
            # Gradients accumulate in place: an aliased state would change with them.
            optimizer.zero_grad(set_to_none=False)
            torch.manual_seed(seed)
            net(torch.randn(5, 3)).square().sum().backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
            optimizer.step()

    assert distance(module, peer) <= 1e-6


@pytest.mark.parametrize("fused", [False, None, True])
def test_channels_last_and_transposed_parameters_keep_their_format(
    fused: bool | None,
) -> None:
    left, right = odd_formats(), odd_formats()
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)
    strides = [p.stride() for p in left]

    drive(engine, left, *range(4))
    drive(loop, right, *range(4))

    assert distance(left, right) <= 1e-6
    assert [p.stride() for p in left] == strides


def odd_formats() -> Any:
    torch.manual_seed(0)
    conv = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    with_gaps = torch.randn(6, 8)[:, ::2]
    return plist(
        nn.Parameter(conv),
        nn.Parameter(torch.randn(5, 4).t()),
        nn.Parameter(with_gaps),
    )


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_gradient_of_another_memory_format_is_stepped_right(
    fused: bool | None,
) -> None:
    module = plist(torch.zeros(2, 3, 4, 4))
    grad = torch.randn(2, 3, 4, 4)
    adaptor = SGD().bind(module, lr=1.0, fused=fused)
    module[0].grad = grad.to(memory_format=torch.channels_last)

    adaptor.step()

    assert torch.allclose(module[0], -grad)


@pytest.mark.parametrize("fused", [False, None, True])
def test_sparse_gradients_are_stepped_as_dense_ones(fused: bool | None) -> None:
    sparse, dense = (nn.Embedding(6, 3, sparse=s) for s in (True, False))
    dense.load_state_dict(sparse.state_dict())

    for module in (sparse, dense):
        adaptor = UserAdamW().bind(module, lr=0.1, fused=fused)
        for _ in range(3):
            adaptor.zero_grad()
            module(torch.tensor([1, 4, 4])).square().sum().backward()
            adaptor.step()

    assert distance(sparse, dense) <= 1e-6


@pytest.mark.parametrize("fused", [False, None, True])
def test_parameters_that_share_memory_are_stepped_one_after_the_other(
    fused: bool | None,
) -> None:
    modules = [shared_memory(), shared_memory()]
    engine = UserAdamW().bind(modules[0], lr=1e-2, fused=fused)
    loop = UserAdamW().bind(modules[1], lr=1e-2, fused=False)

    drive(engine, modules[0], 1, 2, 3)
    drive(loop, modules[1], 1, 2, 3)

    assert equal(*modules)


def shared_memory() -> Any:
    base = torch.arange(12.0)
    return plist(nn.Parameter(base[:8]), nn.Parameter(base[4:]))


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_gradient_inside_another_parameter_is_stepped_as_in_the_loop(
    fused: bool | None,
) -> None:
    results = []
    for choice in (fused, False):
        module = plist(torch.ones(6), torch.arange(6.0))
        module[0].grad = module[1].detach()
        module[1].grad = torch.ones(6)
        adaptor = SGD().bind(module, lr=0.5, fused=choice)
        adaptor.step()
        results.append(module)

    assert equal(*results)


@pytest.mark.parametrize("fused", [False, None, True])
def test_parameters_without_gradient_stay_and_keep_their_own_count(
    fused: bool | None,
) -> None:
    left, right = Net(large=False), Net(large=False)
    adaptor = AdamW().bind(left, lr=1e-2, fused=fused)
    oracle = torch.optim.AdamW(right.parameters(), lr=1e-2, foreach=False)

    for seed in range(6):
        for net, optimizer in ((left, adaptor), (right, oracle)):
            for parameter in net.parameters():
                parameter.grad = None
            set_some_grads(net, seed)
            optimizer.step()

    assert distance(left, right) <= 2e-6


def set_some_grads(net: nn.Module, seed: int) -> None:
    for i, parameter in enumerate(net.parameters()):
        if (seed + i) % 3:
            parameter.grad = torch.full_like(parameter, math.sin(seed + i))


@pytest.mark.parametrize("fused", [None, True])
def test_moved_and_reallocated_parameters_are_seen_at_the_next_step(
    fused: bool | None,
) -> None:
    left, right = Net(large=False), Net(large=False)
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)

    for seed in range(4):
        for net, optimizer in ((left, engine), (right, loop)):
            for parameter in net.parameters():
                parameter.data = parameter.data.clone()
            drive(optimizer, net, seed)
    left.double()
    right.double()
    drive(engine, left, 9)
    drive(loop, right, 9)

    assert distance(left, right) <= 1e-6
    assert left.a.dtype == torch.float64


@pytest.mark.parametrize("fused", [None, True])
def test_changed_states_are_seen_at_the_next_step(fused: bool | None) -> None:
    left, right = Net(large=False), Net(large=False)
    engine = UserAdamW().bind(left, lr=1e-2, fused=fused)
    loop = UserAdamW().bind(right, lr=1e-2, fused=False)
    for net, optimizer in ((left, engine), (right, loop)):
        drive(optimizer, net, 1, 2)
        optimizer.state[net.a]["t"] = 50
        optimizer.state[net.b]["m"] = torch.full((5,), 3.0)
        optimizer.state[net.get_parameter("conv")] = {}

        drive(optimizer, net, 3)

    assert distance(left, right) <= 1e-6
    assert engine.state[left.a]["t"] == 51


def test_state_dtype_keeps_and_computes_in_it() -> None:
    half, full = Net(torch.bfloat16), Net(torch.float64)
    for a, b in zip(half.parameters(), full.parameters(), strict=True):
        b.data = a.detach().double()
    for fused in (False, None, True):
        adaptor = AdamW().bind(half, lr=1e-3, state_dtype=torch.float32, fused=fused)

        drive(adaptor, half, 1, 2)

        assert adaptor.state[half.a]["exp_avg"].dtype == torch.float32
        assert half.a.dtype == torch.bfloat16


@pytest.mark.parametrize("fused", [None, True])
def test_state_dtype_gives_the_numbers_of_the_loop(fused: bool | None) -> None:
    left, right = Net(torch.bfloat16), Net(torch.bfloat16)
    wide = torch.float32
    engine = AdamW().bind(left, lr=1e-2, state_dtype=wide, fused=fused)
    loop = AdamW().bind(right, lr=1e-2, state_dtype=wide, fused=False)

    drive(engine, left, *range(5))
    drive(loop, right, *range(5))

    assert distance(left, right) <= 2e-2
    assert engine_names(engine) == {"compiled" if fused else "blocks"}


@pytest.mark.parametrize("fused", [False, None, True])
def test_complex_parameters_are_stepped_as_pairs_of_real_ones(
    fused: bool | None,
) -> None:
    left, right = (plist(torch.ones(3, dtype=torch.complex64)) for _ in "ab")
    adaptor = AdamW().bind(left, lr=0.1, fused=fused)
    oracle = torch.optim.AdamW(right.parameters(), lr=0.1, foreach=False)

    for net, optimizer in ((left, adaptor), (right, oracle)):
        for k in range(3):
            net[0].grad = torch.tensor([1 + 2j, -1j, k + 0j], dtype=torch.complex64)
            optimizer.step()

    assert torch.allclose(left[0], right[0], atol=1e-6)


def test_two_threads_give_the_numbers_of_one() -> None:
    big = [plist(torch.ones(1200, 500), torch.ones(7)) for _ in "ab"]
    for threads, net in zip((1, 2), big, strict=True):
        torch.set_num_threads(threads)
        try:
            drive(UserAdamW().bind(net, lr=0.1, fused=True), net, 1, 2)
        finally:
            torch.set_num_threads(1)

    assert equal(*big)


def test_a_report_before_the_first_step_says_what_it_will_run_on() -> None:
    module = Net()
    adaptors = [UserAdamW().bind(module, lr=0.1, fused=f) for f in (None, True, False)]

    before = [engine_names(adaptor) for adaptor in adaptors]

    assert before == [{"blocks"}, {"compiled"}, {"loop"}]
    assert "6 parameters" in repr(engine_report(AdamW().bind(Net(large=False), lr=1)))
    assert not adaptors[0].state


def test_shipped_optimizers_with_a_kernel_of_torch_run_on_it() -> None:
    for simple in (AdamW(), SGD(momentum=0.9)):
        assert engine_names(simple.bind(Net(), lr=0.1)) == {"torch_fused"}


def test_a_subclass_of_a_shipped_optimizer_is_stepped_by_its_own_step() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Still(AdamW):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Any) -> Any:
            return tensor, state

    module = Net(large=False)
    before = module.a.detach().clone()

    drive(Still().bind(module, lr=1.0), module, 1)

    assert torch.equal(module.a, before)


def test_muon_in_stacks_moves_as_muon_alone() -> None:
    left, right = (
        plist(
            *[
                torch.randn(6, 4, generator=torch.Generator().manual_seed(i))
                for i in range(5)
            ]
        )
        for _ in "ab"
    )

    drive(Muon().bind(left, lr=0.1), left, 1, 2)
    drive(Muon().bind(right, lr=0.1, fused=False), right, 1, 2)

    assert distance(left, right) <= 1e-2


def test_moments_of_a_user_are_a_record() -> None:
    assert issubclass(Moments, Record)


@pytest.mark.parametrize("fused", [False, None, True])
def test_parameters_that_share_memory_are_in_turn_whatever_their_gradients_are(
    fused: bool | None,
) -> None:
    base = torch.arange(12.0)
    module = plist(nn.Parameter(base[:8]), nn.Parameter(base[4:]))
    # An expanded gradient has another memory format, and so another engine.
    module[0].grad = torch.ones(()).expand(8)
    module[1].grad = torch.ones(8)
    adaptor = Stepping(fn=lambda p, g, a, b: (p * 0.5 - g, a, b)).bind(
        module, lr=1.0, fused=fused
    )

    adaptor.step()

    expected = torch.arange(12.0)
    expected[:8] = expected[:8] * 0.5 - 1
    expected[4:] = expected[4:] * 0.5 - 1
    assert torch.equal(base, expected)


def doubled_copy(p: Any, g: Any, a: Any, b: Any) -> Any:
    moved = p - g
    moved.contiguous().mul_(2.0)
    return moved, a, b


@pytest.mark.parametrize("fused", [None, True])
def test_what_contiguous_copies_and_what_it_does_not_is_as_it_is_written(
    fused: bool | None,
) -> None:
    left, right = odd_formats(), odd_formats()

    drive(Stepping(fn=doubled_copy).bind(left, lr=1.0, fused=fused), left, 1)
    drive(Stepping(fn=doubled_copy).bind(right, lr=1.0, fused=False), right, 1)

    assert equal(left, right)


class Scaled(SimpleOptimizer[None]):
    """Mixes the parameter with a tensor of its own."""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
        moved = tensor - grad * torch.tensor(0.3, dtype=torch.float64)
        return moved * (1 / 3), None


@pytest.mark.parametrize("fused", [None, True])
def test_a_scalar_parameter_is_promoted_by_a_tensor_as_in_the_loop(
    fused: bool | None,
) -> None:
    net = plist(torch.tensor(2.0), torch.tensor([2.0, 3.0]))
    net[1].grad = torch.ones(2)
    adaptor = Scaled().bind(net, lr=1.0, fused=fused)
    adaptor.step()
    assert engine_names(adaptor) <= {"blocks", "compiled"}
    net[0].grad = torch.tensor(1.0)

    # Of two scalars the wider dtype wins, and a step has to give what came.
    with pytest.raises(TypeError, match="float64"):
        adaptor.step()


class Mask(Record):
    seen: Tensor
    n: Tensor


@dataclass(frozen=True, kw_only=True)
class Masking(SimpleOptimizer[Mask]):
    """Keeps a mask, and a tensor that stays."""

    whole: bool

    def init(self, tensor: Tensor) -> Mask:
        dtype = torch.int64 if self.whole else None
        return Mask(tensor > 0, torch.zeros_like(tensor, dtype=dtype))

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Mask) -> Any:
        moved = torch.where(state.seen, tensor - grad, tensor * 0.5)
        return moved, Mask(moved > grad, state.n)


@pytest.mark.parametrize(("whole", "engine"), [(False, "compiled"), (True, "blocks")])
@pytest.mark.filterwarnings("ignore:fused=True falls back")
def test_masks_are_states_of_compiled_steps_and_whole_numbers_fall_back(
    *, whole: bool, engine: str
) -> None:
    left, right = Net(large=False), Net(large=False)
    adaptor = Masking(whole=whole).bind(left, lr=1.0, fused=True)
    loop = Masking(whole=whole).bind(right, lr=1.0, fused=False)

    drive(adaptor, left, 1, 2, 3)
    drive(loop, right, 1, 2, 3)

    assert engine_names(adaptor) == {engine}
    assert equal(left, right)
    for a, b in zip(left.parameters(), right.parameters(), strict=True):
        assert torch.equal(adaptor.state[a]["seen"], loop.state[b]["seen"])


class Hidden(Record):
    unit: ClassVar[float] = 1.0
    _mean: Tensor
    _count: int = 0


@dataclass(frozen=True, kw_only=True)
class Averaging(SimpleOptimizer[Hidden]):
    """An optimizer whose state has private fields and a class variable."""

    def init(self, tensor: Tensor) -> Hidden:
        return Hidden(torch.zeros_like(tensor))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Hidden
    ) -> tuple[Tensor, Hidden]:
        mean = state._mean * 0.9 + grad * state.unit  # pyright: ignore[reportPrivateUsage]  # the point
        count = state._count + 1  # pyright: ignore[reportPrivateUsage]  # the point
        return tensor - mean * (lr / count), Hidden(mean, count)


@pytest.mark.parametrize("fused", [None, True, False])
def test_private_fields_of_a_state_are_stepped_and_stored_and_class_variables_not(
    fused: bool | None,
) -> None:
    expected = plist(torch.ones(3))
    mean = torch.zeros(3)
    net, again = plist(torch.ones(3)), plist(torch.ones(3))
    saved = b""
    optimizer = Averaging().bind(net, lr=0.1, fused=fused)

    for seed in (1, 2, 3):
        set_grads(expected, seed)
        mean = mean * 0.9 + expected[0].grad
        expected[0].data -= mean * (0.1 / seed)
        drive(optimizer, net, seed)
        resumed = Averaging().bind(again, lr=0.1, fused=fused)
        if saved:
            resumed.load_record(saved)
        drive(resumed, again, seed)
        saved = resumed.save_record()

    assert distance(net, expected) < 1e-6
    assert equal(net, again)
    assert sorted(optimizer.state[net[0]]) == ["_count", "_mean"]


def test_a_compiled_job_keeps_the_gradients_that_it_was_prepared_with() -> None:
    net = plist(torch.ones(5))
    optimizer = Lion().bind(net, lr=0.1, fused=True)
    drive(optimizer, net, 1)
    plans = optimizer._runner.plans()  # pyright: ignore[reportPrivateUsage]  # users have no face for it
    (bucket,) = plans[0].buckets
    assert bucket.engine.name == "compiled"
    grads = [torch.ones(5)]
    assert bucket.fits(grads)
    gradient = weakref.ref(grads[0])

    job = bucket.engine.prepare(bucket, grads, StepCall(Lion(), 0.1))
    grads.clear()

    assert gradient() is not None
    job()
    assert gradient() is None
