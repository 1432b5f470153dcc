"""Parts that have tensors in common come back with them, and with one value."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from burnish import module
from burnish.optim import SGD, AdamW
from burnish.records import RecordMismatchError
from burnish.train import Checkpoints, HyperState, Lazy, load_state

torch.set_num_threads(1)


@module
class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x)


@module
class Head(nn.Module):
    def __init__(self, encoder: nn.Module, n_outputs: int = 1) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(2, n_outputs)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.encoder(x))


def heads_on(first: nn.Module, second: nn.Module) -> dict[str, Any]:
    return {"actor": Head(first, 3), "critic": Head(second)}


def test_a_tensor_that_two_parts_have_is_not_filled_with_two_values(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, **heads_on(Encoder(), Encoder()))
    encoder = Encoder()
    parts = heads_on(encoder, encoder)
    before = {name: part.state_dict() for name, part in parts.items()}
    copies = {n: {k: v.clone() for k, v in s.items()} for n, s in before.items()}

    with pytest.raises(RecordMismatchError, match=r"actor\.enc.*weight and critic"):
        checkpoints.restore(**parts)

    for name, state in before.items():
        assert all(torch.equal(v, copies[name][k]) for k, v in state.items())
    checkpoints.restore(actor=parts["actor"])


def test_parts_that_were_tied_are_restored_tied(tmp_path: Path) -> None:
    checkpoints, encoder, other = Checkpoints(tmp_path), Encoder(), Encoder()
    checkpoints.save(1, **heads_on(encoder, encoder))

    checkpoints.restore(**heads_on(other, other))

    assert torch.equal(other.layer.weight, encoder.layer.weight)


def test_parts_that_are_tied_no_more_are_refused_unless_that_is_meant(
    tmp_path: Path,
) -> None:
    checkpoints, encoder = Checkpoints(tmp_path), Encoder()
    checkpoints.save(1, **heads_on(encoder, encoder))
    parts = heads_on(Encoder(), Encoder())
    before = parts["actor"].encoder.layer.weight.clone()

    with pytest.raises(
        RecordMismatchError, match=r"critic\.enc.* but are separate tensors here"
    ):
        checkpoints.restore(**parts)
    assert torch.equal(parts["actor"].encoder.layer.weight, before)

    checkpoints.restore(**parts, hyperparameters="ignore")

    for head in (parts["actor"], parts["critic"]):
        assert torch.equal(head.encoder.layer.weight, encoder.layer.weight)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_an_optimizer_of_another_module_than_is_restored_is_refused(
    tmp_path: Path, momentum: float
) -> None:
    checkpoints, encoder = Checkpoints(tmp_path), Encoder()
    optim = SGD(momentum=momentum).bind(encoder, lr=0.1)
    encoder(torch.ones(1, 2)).sum().backward()
    optim.step()
    checkpoints.save(1, model=encoder, optim=optim)
    other = Encoder()
    before = other.layer.weight.clone()

    with pytest.raises(RecordMismatchError, match=r"optim and model: .*another one"):
        checkpoints.restore(model=other, optim=optim)
    assert torch.equal(other.layer.weight, before)

    checkpoints.restore(model=other, optim=optim, hyperparameters="ignore")
    checkpoints.restore(model=encoder, optim=optim)
    checkpoints.restore(model=Encoder())
    checkpoints.restore(optim=optim)


def test_a_tensor_is_filled_in_place_and_left_if_another_part_does_not_fit(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, log_alpha=torch.full([1], 0.5), net=Encoder())
    log_alpha = torch.zeros(1, requires_grad=True)

    with pytest.raises(RecordMismatchError):
        checkpoints.restore(log_alpha=log_alpha, net=nn.Linear(3, 3))
    assert log_alpha.item() == 0.0
    checkpoints.restore(log_alpha=log_alpha)

    assert log_alpha.item() == 0.5
    assert log_alpha.requires_grad
    for other in (torch.zeros(2), torch.zeros(1, dtype=torch.float64)):
        with pytest.raises(RecordMismatchError, match=r"log_alpha: found torch\.fl"):
            checkpoints.restore(log_alpha=other)


@dataclass
class Config:
    lr: float = 0.1


@dataclass
class State:
    step: int
    actor: Head
    critic: Head
    log_alpha: torch.Tensor
    optim: torch.optim.Optimizer
    alpha_optim: torch.optim.Optimizer


def begin(config: Config) -> State:
    torch.manual_seed(0)
    encoder = Encoder()
    parts: Any = heads_on(encoder, encoder)
    log_alpha = torch.zeros(1, requires_grad=True)
    params = {*parts["actor"].parameters(), *parts["critic"].parameters()}
    optim = torch.optim.Adam(sorted(params, key=lambda p: p.numel()), config.lr)
    alpha_optim = torch.optim.Adam([log_alpha], config.lr)
    return State(0, **parts, log_alpha=log_alpha, optim=optim, alpha_optim=alpha_optim)


def train(run: HyperState[Config, State], n_steps: int) -> None:
    state = run.state
    for _ in range(n_steps):
        x = torch.ones(1, 2) * (state.step + 1)
        outputs = torch.cat([state.actor(x), state.critic(x)], 1)
        loss = outputs.square().sum() * state.log_alpha.exp().sum()
        state.optim.zero_grad()
        state.alpha_optim.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # of torch
        state.optim.step()
        state.alpha_optim.step()
        state.step += 1
        run.step()


def test_a_state_of_tied_modules_and_a_trained_tensor_goes_on_to_the_bit(
    tmp_path: Path,
) -> None:
    whole = HyperState.load(Config, State, begin, checkpoint_dir=tmp_path / "whole")
    train(whole, 6)
    folder = tmp_path / "stopped"
    train(HyperState.load(Config, State, begin, checkpoint_dir=folder), 3)

    again = HyperState.load(Config, State, begin, checkpoint_dir=folder)
    train(again, 3)

    state = again.state
    assert state.actor.encoder is state.critic.encoder
    assert state.alpha_optim.param_groups[0]["params"][0] is state.log_alpha
    assert torch.equal(state.log_alpha, whole.state.log_alpha)
    for name in ("actor", "critic"):
        pairs = zip(
            getattr(state, name).parameters(),
            getattr(whole.state, name).parameters(),
            strict=True,
        )
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_trained_tensor_is_read_where_no_program_is(tmp_path: Path) -> None:
    @dataclass
    class Looked:
        step: int
        log_alpha: torch.Tensor

    def begin_small(_: Config) -> Looked:
        return Looked(1, torch.ones(1, requires_grad=True))

    run = HyperState.load(Config, Looked, begin_small, checkpoint_dir=tmp_path)
    run.save()

    (folder,) = tmp_path.iterdir()
    assert load_state(Looked, folder).log_alpha.item() == 1.0


@dataclass
class Empty:
    pass


@dataclass
class Growing:
    step: int
    net: Head
    aux: Head | None = None


@dataclass
class LazilyGrowing(Lazy):
    step: int
    net: Head
    aux: Head | None = None


@pytest.mark.parametrize("state_cls", [Growing, LazilyGrowing])
def test_what_a_later_object_shares_is_not_lost_in_silence(
    state_cls: Any, tmp_path: Path
) -> None:
    def begin(config: Empty) -> Any:
        return state_cls(0, Head(Encoder()))

    def begin_with_both(config: Empty) -> Any:
        net = Head(Encoder())
        return state_cls(0, net, Head(net.encoder))

    def load(initial_state: Any, **options: Any) -> Any:
        run = HyperState.load(
            Empty, state_cls, initial_state, checkpoint_dir=tmp_path, **options
        )
        return run.state.net, run.state.aux

    run = HyperState.load(Empty, state_cls, begin, checkpoint_dir=tmp_path)
    run.state.aux = Head(run.state.net.encoder)
    run.state.step = 1
    run.step()

    with pytest.raises(
        RecordMismatchError, match=r"aux\.encoder.* and net\.encoder.*separate"
    ):
        load(begin)
    net, aux = load(begin, hyperparameters="ignore")
    assert torch.equal(aux.encoder.layer.weight, net.encoder.layer.weight)
    net, aux = load(begin_with_both)
    assert aux.encoder is net.encoder


def test_an_average_of_what_is_stepped_is_restored_beside_it(tmp_path: Path) -> None:
    def begun() -> dict[str, Any]:
        net = nn.Linear(2, 2)
        optim = AdamW().bind(net, lr=0.1)
        return {"model": net, "optim": optim, "average": AveragedModel(net)}

    parts = begun()
    parts["model"](torch.ones(1, 2)).sum().backward()
    parts["optim"].step()
    # It is copied once the parameters have IDs.
    parts["average"] = AveragedModel(parts["model"])
    Checkpoints(tmp_path).save(1, **parts)

    step = Checkpoints(tmp_path).restore(**begun())

    assert step == 1

    # A program that has restored the module already does not restore it again.
    later_parts = begun()
    del later_parts["model"]
    step = Checkpoints(tmp_path).restore(**later_parts)

    assert step == 1
    assert len(later_parts["optim"].state) == 2
