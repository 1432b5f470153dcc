"""Every optimizer against its oracle: 50 steps, every option, every engine."""

import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    ASGD,
    LAMB,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
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

from .nets import Net, distance, drive, plist

Peer = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
Case = tuple[SimpleOptimizer[Any], Peer]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_optimizer
    import schedulefree
    from lion_pytorch import Lion as ReferenceLion


def torch_case(ours: type[Any], theirs: type[Any], **options: Any) -> Any:
    made: Any = ours(**options)
    name = f"{ours.__name__}-{'-'.join(options) or 'defaults'}"
    return pytest.param(
        made, lambda ps: theirs(ps, lr=1e-2, foreach=False, **options), id=name
    )


OPTIM: Any = torch.optim
TORCH = [
    torch_case(SGD, OPTIM.SGD),
    torch_case(SGD, OPTIM.SGD, weight_decay=0.1),
    torch_case(SGD, OPTIM.SGD, momentum=0.9),
    torch_case(SGD, OPTIM.SGD, momentum=0.9, dampening=0.2, weight_decay=0.1),
    torch_case(SGD, OPTIM.SGD, momentum=0.9, nesterov=True, weight_decay=0.1),
    torch_case(Adam, OPTIM.Adam),
    torch_case(Adam, OPTIM.Adam, betas=(0.7, 0.9), eps=1e-6, weight_decay=0.1),
    torch_case(Adam, OPTIM.Adam, amsgrad=True, weight_decay=0.1),
    torch_case(AdamW, OPTIM.AdamW),
    torch_case(AdamW, OPTIM.AdamW, betas=(0.7, 0.9), eps=1e-6, weight_decay=0.3),
    torch_case(AdamW, OPTIM.AdamW, amsgrad=True),
    torch_case(Adagrad, OPTIM.Adagrad),
    torch_case(
        Adagrad,
        OPTIM.Adagrad,
        lr_decay=0.1,
        weight_decay=0.1,
        initial_accumulator_value=0.5,
    ),
    torch_case(RMSprop, OPTIM.RMSprop),
    torch_case(RMSprop, OPTIM.RMSprop, centered=True, eps=1e-3),
    torch_case(RMSprop, OPTIM.RMSprop, momentum=0.9, weight_decay=0.1, alpha=0.9),
    torch_case(
        RMSprop, OPTIM.RMSprop, momentum=0.9, centered=True, weight_decay=0.1, eps=1e-3
    ),
    torch_case(Adafactor, OPTIM.Adafactor),
    torch_case(Adafactor, OPTIM.Adafactor, d=2.0, weight_decay=0.1, beta2_decay=-0.6),
    torch_case(Adafactor, OPTIM.Adafactor, eps=(1e-4, 1e-2)),
    torch_case(NAdam, OPTIM.NAdam),
    torch_case(NAdam, OPTIM.NAdam, betas=(0.7, 0.9), weight_decay=0.1, eps=1e-6),
    torch_case(
        NAdam,
        OPTIM.NAdam,
        momentum_decay=0.1,
        weight_decay=0.3,
        decoupled_weight_decay=True,
    ),
    torch_case(RAdam, OPTIM.RAdam),
    torch_case(RAdam, OPTIM.RAdam, betas=(0.7, 0.9), weight_decay=0.1, eps=1e-6),
    torch_case(RAdam, OPTIM.RAdam, betas=(0.5, 0.5)),
    torch_case(RAdam, OPTIM.RAdam, weight_decay=0.3, decoupled_weight_decay=True),
    torch_case(Adamax, OPTIM.Adamax),
    torch_case(Adamax, OPTIM.Adamax, betas=(0.7, 0.9), weight_decay=0.1, eps=1e-4),
    torch_case(Adadelta, OPTIM.Adadelta),
    torch_case(Adadelta, OPTIM.Adadelta, rho=0.5, weight_decay=0.1, eps=1e-3),
    torch_case(ASGD, OPTIM.ASGD),
    torch_case(ASGD, OPTIM.ASGD, t0=10, lambd=0.1, alpha=0.5, weight_decay=0.1),
    torch_case(Rprop, OPTIM.Rprop),
    torch_case(Rprop, OPTIM.Rprop, etas=(0.3, 1.5), step_sizes=(1e-3, 0.05)),
]


def adan(**options: Any) -> Peer:
    return lambda ps: pytorch_optimizer.Adan(ps, lr=1e-2, foreach=False, **options)  # type: ignore[arg-type]  # their type of parameters


def lamb(**options: Any) -> Peer:
    return lambda ps: pytorch_optimizer.Lamb(  # type: ignore[call-arg]  # their signature
        ps,
        lr=1e-2,
        foreach=False,
        weight_decouple=False,
        **options,  # type: ignore[arg-type]  # their type of parameters
    )


def schedule_free(**options: Any) -> Peer:
    def build(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        peer: Any = schedulefree.AdamWScheduleFree(
            list(parameters), lr=1e-2, foreach=False, **options
        )
        peer.train()
        made: torch.optim.Optimizer = peer
        return made

    return build


def lion(**options: Any) -> Peer:
    return lambda ps: ReferenceLion(ps, lr=1e-2, **options)


REFERENCES = [
    pytest.param(Lion(), lion(), id="Lion"),
    pytest.param(
        Lion(betas=(0.8, 0.95), weight_decay=0.1),
        lion(betas=(0.8, 0.95), weight_decay=0.1),
        id="Lion-options",
    ),
    pytest.param(Adan(), adan(), id="Adan"),
    pytest.param(Adan(weight_decay=0.1), adan(weight_decay=0.1), id="Adan-decay"),
    pytest.param(
        Adan(weight_decay=0.1, no_prox=True, betas=(0.9, 0.8, 0.95)),
        adan(weight_decay=0.1, weight_decouple=True, betas=(0.9, 0.8, 0.95)),
        id="Adan-no_prox",
    ),
    pytest.param(LAMB(), lamb(), id="LAMB"),
    pytest.param(
        LAMB(betas=(0.8, 0.9), weight_decay=0.1),
        lamb(betas=(0.8, 0.9), weight_decay=0.1),
        id="LAMB-options",
    ),
    pytest.param(ScheduleFreeAdamW(), schedule_free(), id="ScheduleFreeAdamW"),
    pytest.param(
        ScheduleFreeAdamW(warmup_steps=7, weight_decay=0.1, r=1.0, betas=(0.8, 0.9)),
        schedule_free(warmup_steps=7, weight_decay=0.1, r=1.0, betas=(0.8, 0.9)),
        id="ScheduleFreeAdamW-options",
    ),
]


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)]
)
@pytest.mark.parametrize(("ours", "peer"), [*TORCH, *REFERENCES])
def test_fifty_steps_are_those_of_the_oracle(
    ours: SimpleOptimizer[Any],
    peer: Peer,
    dtype: torch.dtype,
    tolerance: float,
    fused: bool | None,
) -> None:
    left, right = Net(dtype, large=False), Net(dtype, large=False)
    if isinstance(ours, LAMB | Adafactor | Lion):
        # Their references take the norm of nothing, or the sign of rounding.
        del left.empty, right.empty
    adaptor = ours.bind(left, lr=1e-2, fused=fused)

    drive(adaptor, left, *range(50))
    with numbers_of(dtype):
        drive(peer(right.parameters()), right, *range(50))

    scale = 1.0 + max(
        p.detach().abs().max().item() for p in right.parameters() if p.numel()
    )
    assert distance(left, right) <= tolerance * scale


@contextmanager
def numbers_of(dtype: torch.dtype) -> Generator[None]:
    """Let torch keep the numbers of a state (`eta`, `mu_product`) in ``dtype``."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(usual)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has none")
@pytest.mark.parametrize(
    "options",
    [{}, {"nesterov": False, "weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw"}],
)
@pytest.mark.parametrize("fused", [False, None])
def test_muon_is_that_of_torch(options: Any, fused: bool | None) -> None:
    left, right = matrices(), matrices()
    adaptor = Muon(**options).bind(left, lr=1e-2, fused=fused)
    muon: Any = torch.optim.Muon
    oracle = muon(right.parameters(), lr=1e-2, **options)

    drive(adaptor, left, *range(20))
    drive(oracle, right, *range(20))

    # A stack is multiplied by another routine, which rounds bfloat16 elsewhere.
    assert distance(left, right) <= (2e-6 if fused is False else 2e-2)


def matrices() -> Any:
    torch.manual_seed(0)
    return plist(torch.randn(8, 5), torch.randn(5, 8), torch.randn(8, 5))


def test_equal_small_matrices_are_stacked_and_large_ones_are_not() -> None:
    small = Muon().bind(matrices(), lr=0.1)
    large = Muon().bind(nn.Linear(200, 200, bias=False), lr=0.1)

    names = [[row.engine for row in engine_report(o)] for o in (small, large)]

    assert names == [["stacked", "stacked"], ["loop"]]


@pytest.mark.parametrize(
    "simple", [NAdam(), RAdam(), Adamax(), Adadelta(), ASGD(), Rprop()], ids=repr
)
def test_optimizers_without_a_kernel_of_torch_run_in_blocks_or_compiled(
    simple: SimpleOptimizer[Any],
) -> None:
    names = [
        {row.engine for row in engine_report(simple.bind(Net(), lr=0.1, fused=fused))}
        for fused in (None, True, False)
    ]

    assert names == [{"blocks"}, {"compiled"}, {"loop"}]


@pytest.mark.parametrize(
    "simple",
    [AdamW(), NAdam(), RAdam(), Adamax(), Adadelta(), ASGD(), Rprop()],
    ids=lambda simple: type(simple).__name__,
)
def test_maximizing_is_minimizing_with_the_gradient_turned(
    simple: SimpleOptimizer[Any],
) -> None:
    peer = getattr(OPTIM, type(simple).__name__)
    for fused in (False, None, True):
        up, down = Net(large=False), Net(large=False)
        adaptor = simple.bind(up, lr=1e-2, maximize=True, fused=fused)
        oracle = peer(down.parameters(), lr=1e-2, maximize=True)

        drive(adaptor, up, *range(10))
        drive(oracle, down, *range(10))

        assert distance(up, down) <= 2e-6


def test_cautious_decay_spares_weights_that_move_away_from_zero() -> None:
    module: Any = nn.Linear(2, 1, bias=False)
    module.weight.data = torch.tensor([[1.0, -1.0]])
    adaptor = AdamW(weight_decay=0.5, cautious=True).bind(module, lr=0.1, fused=False)
    module.weight.grad = torch.tensor([[1.0, 1.0]])

    adaptor.step()

    # Both move by lr; the first, of the moment's sign, decays by lr * 0.5 as well.
    expected = torch.tensor([[0.95 - 0.1, -1.0 - 0.1]])
    assert torch.allclose(module.weight.detach(), expected, atol=1e-6)


def test_weights_of_schedule_free_are_averages_in_eval_and_come_back() -> None:
    left, right = Net(torch.float64, large=False), Net(torch.float64, large=False)
    adaptor = ScheduleFreeAdamW().bind(left, lr=1e-2)
    peer: Any = schedule_free()(right.parameters())
    drive(adaptor, left, *range(5))
    drive(peer, right, *range(5))

    adaptor.eval()
    peer.eval()
    in_eval = distance(left, right)
    with pytest.raises(RuntimeError, match=r"optim\.train\(\)"):
        adaptor.step()
    adaptor.train()
    peer.train()
    drive(adaptor, left, 6)
    drive(peer, right, 6)

    assert in_eval <= 1e-12
    assert distance(left, right) <= 1e-12


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize(
    ("ours", "theirs", "option", "on", "off"),
    [
        (Adam, OPTIM.Adam, "amsgrad", True, False),
        (AdamW, OPTIM.AdamW, "amsgrad", True, False),
        (RMSprop, OPTIM.RMSprop, "centered", True, False),
        (RMSprop, OPTIM.RMSprop, "momentum", 0.9, 0.0),
        (SGD, OPTIM.SGD, "momentum", 0.9, 0.0),
    ],
)
def test_an_option_turned_off_leaves_its_state_and_finds_it_when_turned_on_again(
    ours: Any, theirs: Any, option: str, on: Any, off: Any, fused: bool | None
) -> None:
    net, peer = (plist(torch.ones(3), torch.ones(2)) for _ in range(2))
    optimizers = [
        ours(**{option: on}).bind(net, lr=0.01, fused=fused),
        theirs(peer.parameters(), lr=0.01, foreach=False, **{option: on}),
    ]

    for step, value in enumerate([on, on, off, off, off, on]):
        for module, optimizer in zip((net, peer), optimizers, strict=True):
            optimizer.param_groups[0][option] = value
            for param in module.parameters():
                param.grad = torch.full_like(param, 2.0 / (step + 1) ** 2)
            if step == 3:  # a step of other parameters is planned anew
                module[1].grad = None
            optimizer.step()

        assert distance(net, peer) <= 2e-6


@pytest.mark.parametrize("fused", [False, None, True])
def test_the_record_of_amsgrad_is_stepped_without_it_where_bind_says_so(
    fused: bool | None,
) -> None:
    nets = [plist(torch.ones(3)) for _ in range(2)]
    steps = []
    for net, amsgrad in zip(nets, (True, False), strict=True):
        before = Adam(amsgrad=amsgrad).bind(net, lr=0.01)
        net[0].grad = torch.full_like(net[0], 5.0)
        before.step()
        optim = Adam().bind(net, lr=0.01, fused=fused)
        optim.load_record(before.save_record())
        for _ in range(3):
            net[0].grad = torch.full_like(net[0], 0.1)
            optim.step()
        steps.append(net[0].detach())

    first, second = steps
    assert torch.allclose(first, second, rtol=0, atol=1e-7)
