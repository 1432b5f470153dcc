# pyright: reportPrivateUsage=false
# Nn.Module's tables have no public names.
"""Modules put together at random: parameters, views, ties, buffers and what reads them.

A module is a function of its seed, and draws from torch's generator as constructors do.
"""

import contextlib
import copy
import random
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Act = Callable[["RandomModule"], None]


def _sum(x: Tensor) -> Tensor:
    return x.sum()


with warnings.catch_warnings():
    # Torch says that it is deprecated; modules that use it are still about.
    warnings.filterwarnings("ignore", ".*torch.jit")
    scripted_sum: Callable[[Tensor], Tensor] = torch.jit.script(_sum)


class RandomModule(nn.Module):
    """What the acts of one seed make."""

    def __init__(self, seed: int, n_acts: int = 8, depth: int = 0) -> None:
        super().__init__()
        self.rng = random.Random(seed)
        self.depth = depth
        self.n_names = 0
        self.kept: dict[str, Any] = {}
        for act in self.rng.choices(ACTS, k=n_acts):
            act(self)

    def name(self) -> str:
        self.n_names += 1
        return f"x{self.n_names}"

    def some(self) -> nn.Parameter | None:
        known = list(self.parameters())
        return self.rng.choice(known) if known else None

    def keep(self, value: Any) -> None:
        """Put a tensor where modules keep tensors."""
        name, place = self.name(), self.rng.randrange(5)
        if isinstance(value, Tensor) and not value.requires_grad and place < 3:
            self.register_buffer(name, value, persistent=place > 0)
        elif place == 3:
            setattr(self, name, value)
        else:
            self.kept[name] = [value]


ACTS: list[Act] = []


def act(function: Act) -> Act:
    ACTS.append(function)
    return function


def shape(m: RandomModule) -> tuple[int, ...]:
    return m.rng.choice([(3,), (2, 3), (4, 4), (), (2, 3, 2, 2), (0, 2), (1, 1)])


REFUSALS = (RuntimeError, ValueError, IndexError, ZeroDivisionError)


def initialize(m: RandomModule, p: Tensor) -> None:
    """Call one initializer, perhaps one that refuses."""
    choice = m.rng.randrange(15)
    with torch.no_grad(), contextlib.suppress(*REFUSALS):
        match choice:
            case 0:
                nn.init.normal_(p, 1.0, 2.0)
            case 1:
                nn.init.uniform_(p, -1.0, 1.0)
            case 2:
                nn.init.kaiming_uniform_(p, a=2.0)
            case 3:
                nn.init.xavier_normal_(p)
            case 4:
                nn.init.trunc_normal_(p, std=m.rng.choice([0.5, 0.0]))
            case 5:
                nn.init.orthogonal_(p)
            case 6:
                nn.init.constant_(p, 2.5)
            case 7:
                p.data.normal_(0.0, m.rng.choice([1.0, -1.0]))
            case 8:
                p.mul_(3.0).add_(1.0)
            case 9:
                p[0] = 7.0
            case 10:
                p.data.view(-1)[-1:].fill_(4.0)
            case 11:
                nn.init.eye_(p)
            case 12:
                p.copy_(torch.ones_like(p) * 2)
            case 13:
                nn.init.normal_(p, generator=torch.Generator().manual_seed(3))
            case _:
                p.clamp_(-0.5, 0.5)


@act
def add_parameter(m: RandomModule) -> None:
    size = shape(m)
    data = m.rng.choice([torch.empty, torch.zeros, torch.ones, torch.randn])(size)
    if m.rng.random() < 0.2:
        data = data.to(m.rng.choice([torch.float16, torch.float64, torch.bfloat16]))
    if m.rng.random() < 0.2:
        m.keep(data)
    p = nn.Parameter(data)
    setattr(m, m.name(), p)
    if data.dtype is torch.float32 or m.rng.random() < 0.5:
        nn.init.uniform_(p)
    del data


@act
def add_initialized(m: RandomModule) -> None:
    p = nn.Parameter(torch.empty(shape(m)))
    nn.init.normal_(p)
    initialize(m, p)
    setattr(m, m.name(), p)


@act
def add_layer(m: RandomModule) -> None:
    make = m.rng.choice(
        [
            lambda: nn.Linear(3, 2),
            lambda: nn.Embedding(4, 2, padding_idx=0),
            lambda: nn.BatchNorm1d(3),
            lambda: nn.Conv2d(2, 2, 2),
            lambda: nn.LSTM(2, 2),
            lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
            lambda: nn.TransformerEncoderLayer(2, 1, 4),
        ]
    )
    m.add_module(m.name(), make())  # type: ignore[no-untyped-call]  # torch's LSTM


@act
def add_child(m: RandomModule) -> None:
    if m.depth < 2:
        child = RandomModule(m.rng.randrange(10**6), 4, m.depth + 1)
        m.add_module(m.name(), child)
        if m.rng.random() < 0.3:
            m.add_module(m.name(), copy.deepcopy(child))
        if m.rng.random() < 0.3:
            m.add_module(m.name(), child)


@act
def add_slice_of_more(m: RandomModule) -> None:
    whole = torch.zeros(6)
    setattr(m, m.name(), nn.Parameter(whole[:3]))
    if m.rng.random() < 0.5:
        m.keep(whole)
    if m.rng.random() < 0.5:
        setattr(m, m.name(), nn.Parameter(whole[2:]))


@act
def add_from_numpy(m: RandomModule) -> None:
    array = torch.zeros(4).numpy()
    p = nn.Parameter(torch.from_numpy(array))
    nn.init.normal_(p)
    setattr(m, m.name(), p)
    m.kept[m.name()] = array


@act
def add_integers(m: RandomModule) -> None:
    p = nn.Parameter(torch.empty(4, dtype=torch.int64), requires_grad=False)
    with torch.no_grad():
        try:
            p.normal_()
        except (RuntimeError, NotImplementedError):
            p.fill_(m.rng.randrange(9))
    setattr(m, m.name(), p)


def changing(function: Callable[[RandomModule, nn.Parameter], None]) -> Act:
    """Do something with a parameter that is there already."""

    @act
    def changes(m: RandomModule) -> None:
        p = m.some()
        if p is not None:
            function(m, p)

    return changes


@changing
def initialize_again(m: RandomModule, p: nn.Parameter) -> None:
    initialize(m, p)


@changing
def keep_view(m: RandomModule, p: nn.Parameter) -> None:
    show: Callable[[], Tensor] = m.rng.choice(
        [
            lambda: p.data,
            lambda: p.detach(),
            lambda: p.detach()[1:] if p.ndim else p.data,
            lambda: p.data.view(-1),
            lambda: p.data.t() if p.ndim < 3 else p.data,
            lambda: p.data.reshape(-1),
            lambda: p.data.unsqueeze(0),
            lambda: p.detach().flatten(),
            lambda: torch.narrow(p.data.view(-1), 0, 0, min(1, p.numel())),
        ]
    )
    view = show()
    m.keep(view)
    if m.rng.random() < 0.3:
        initialize(m, view)


@changing
def keep_copy(m: RandomModule, p: nn.Parameter) -> None:
    m.keep(p.detach().clone())


@changing
def keep_array(m: RandomModule, p: nn.Parameter) -> None:
    if p.dtype is not torch.bfloat16:
        m.kept[m.name()] = p.detach().numpy()


@changing
def keep_number(m: RandomModule, p: nn.Parameter) -> None:
    m.kept[m.name()] = float(p.detach().double().sum())


@changing
def read_through_vmap(m: RandomModule, p: nn.Parameter) -> None:
    if p.ndim and p.shape[0]:
        m.kept[m.name()] = torch.vmap(lambda x: x.double().sum())(p.detach())
        m.keep(torch.func.grad(lambda x: (x * x).sum())(p.detach().double()))


@changing
def read_through_script(m: RandomModule, p: nn.Parameter) -> None:
    m.keep(scripted_sum(p).detach())


@changing
def tie(m: RandomModule, p: nn.Parameter) -> None:
    setattr(m, m.name(), p)


@changing
def alias(m: RandomModule, p: nn.Parameter) -> None:
    data = p.data.view(-1)[1:] if m.rng.random() < 0.3 and p.numel() > 1 else p.data
    setattr(m, m.name(), nn.Parameter(data, requires_grad=False))


@changing
def replace(m: RandomModule, p: nn.Parameter) -> None:
    for name, known in list(m._parameters.items()):
        if known is p:
            setattr(m, name, nn.Parameter(p.data.clone(), p.requires_grad))
            return


@changing
def freeze(m: RandomModule, p: nn.Parameter) -> None:
    p.requires_grad_(False)


@changing
def point_elsewhere(m: RandomModule, p: nn.Parameter) -> None:
    p.data = torch.full_like(p, 5.0) if m.rng.random() < 0.5 else p.data.clone()


@changing
def convert(m: RandomModule, p: nn.Parameter) -> None:
    if m.rng.random() < 0.2:
        m.double()


@act
def draw(m: RandomModule) -> None:
    m.keep(torch.rand(3))


@act
def seed_and_draw(m: RandomModule) -> None:
    match m.rng.randrange(5):
        case 0:
            torch.manual_seed(m.rng.randrange(3))
            layer = nn.Linear(2, 2)
            m.keep(torch.randn(3))
        case 1:
            with torch.random.fork_rng():
                torch.manual_seed(m.rng.randrange(3))
                layer = nn.Linear(2, 2)
                m.keep(torch.randn(3))
        case 2:
            with torch.random.fork_rng():
                layer = nn.Linear(2, 2)
                m.keep(torch.randn(3))
        case 3:
            state = torch.default_generator.get_state()
            torch.default_generator.manual_seed(m.rng.randrange(10**6))
            layer = nn.Linear(2, 2)
            m.keep(torch.randn(3))
            torch.default_generator.set_state(state)
        case _:
            generator = torch.Generator().manual_seed(5)
            layer = nn.Linear(2, 2)
            nn.init.normal_(layer.weight, generator=generator)
            m.keep(torch.randn(3, generator=generator))
    m.add_module(m.name(), layer)
