"""A state that is spread over processes goes on as if nothing had been."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.cli.main import main
from burnish.optim import AdamW
from burnish.records import RecordError
from burnish.train import HyperState

from ...forked_processes import in_processes, killed_while_saving
from ...sharded_nets import (
    backward,
    fsdp,
    needs_sharding,
    plain_net,
    tensor_parallel,
    whole,
    whole_values,
)

pytestmark = [needs_sharding, pytest.mark.filterwarnings("ignore")]


@dataclass(frozen=True)
class Config:
    lr: float = 1e-2


@dataclass
class State:
    step: int
    net: Any
    optim: Any


def begin_with(spread: Callable[[Any], Any]) -> Callable[[Config], State]:
    def begin(config: Config) -> State:
        net = spread(plain_net())
        return State(0, net, AdamW(weight_decay=0.01).bind(net, lr=config.lr))

    return begin


def load(
    folder: Path | str, spread: Any = fsdp, **options: Any
) -> HyperState[Config, State]:
    begin = begin_with(spread)
    return HyperState.load(Config, State, begin, checkpoint_dir=folder, **options)


def train(run: HyperState[Config, State], n_steps: int) -> None:
    for _ in range(n_steps):
        backward(run.state.net)
        run.state.optim.step()
        run.state.step += 1
        run.step()


def as_it_is(net: Any) -> Any:
    return net


@pytest.mark.parametrize(
    ("spread", "wait", "is_remote"),
    [
        (fsdp, True, False),
        (fsdp, False, False),
        (tensor_parallel, True, False),
        (fsdp, False, True),
    ],
)
def test_a_run_goes_on_to_the_bit(
    spread: Any,
    wait: bool,
    is_remote: bool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    folder = request.getfixturevalue("disk_url") if is_remote else tmp_path / "run"

    def act(rank: int) -> None:
        run = load(folder, spread, every=2, wait=wait)
        train(run, 5)
        run.wait()
        draws = torch.rand(3)

        torch.manual_seed(77)
        other = load(folder, spread, every=2)
        assert other.state.step == 4
        train(other, 1)
        assert torch.equal(torch.rand(3), draws)
        expected = whole_values(run.state.net)
        for name, values in whole_values(other.state.net).items():
            assert torch.equal(values, expected[name]), name

    in_processes(act, tmp_path / "processes", 2)


WAYS = [(fsdp, 2, fsdp, 3), (fsdp, 2, as_it_is, 1), (as_it_is, 1, fsdp, 2)]


@pytest.mark.parametrize(("spread", "n", "later", "n_later"), WAYS)
def test_other_numbers_of_processes_go_on(
    spread: Any, n: int, later: Any, n_later: int, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        run = load(tmp_path / "run", spread)
        train(run, 2)
        torch.save(whole_values(run.state.net), tmp_path / f"{rank}.pt")

    def go_on(rank: int) -> None:
        run = load(tmp_path / "run", later, rng=False)
        assert run.state.step == 2
        assert run.state.optim.state
        values = whole_values(run.state.net)
        for name, expected in torch.load(tmp_path / "0.pt").items():
            assert torch.equal(values[name], expected), name
        assert run.state.net[0].weight in set(run.state.optim.state)

    in_processes(act, tmp_path / "before", n)
    in_processes(go_on, tmp_path / "after", n_later)

    assert main(["show", str(tmp_path / "run")]) == 0
    assert main(["verify", str(tmp_path / "run")]) == 0


def test_an_optimizer_of_torch_goes_on_to_the_bit(tmp_path: Path) -> None:
    def begin(config: Config) -> State:
        net = fsdp(plain_net())
        return State(0, net, torch.optim.AdamW(net.parameters(), lr=config.lr))

    def act(rank: int) -> None:
        folder = tmp_path / "run"
        run = HyperState.load(Config, State, begin, checkpoint_dir=folder, every=2)
        train(run, 3)
        other = HyperState.load(Config, State, begin, checkpoint_dir=folder, every=2)
        train(other, 1)
        expected = whole_values(run.state.net)
        for name, values in whole_values(other.state.net).items():
            assert torch.equal(values, expected[name]), name

    in_processes(act, tmp_path / "processes", 2)


def test_damage_in_one_share_is_the_error_of_all(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run = load(tmp_path / "run")
        train(run, 1)
        torch.distributed.barrier()
        if rank == 0:
            part = sorted(tmp_path.glob("run/*/state.optim.mpk/part-*"))[1]
            data = bytearray(part.read_bytes())
            data[len(data) // 2] ^= 64
            part.write_bytes(data)
        torch.distributed.barrier()
        with pytest.raises(RecordError):
            load(tmp_path / "run")

    in_processes(act, tmp_path / "processes", 2)


def test_a_process_that_is_killed_in_mid_save_leaves_the_old_state(
    tmp_path: Path,
) -> None:
    def begin(rank: int) -> None:
        train(load(tmp_path / "run"), 1)

    def go_on(rank: int) -> None:
        run = load(tmp_path / "run")
        assert run.state.step == 1
        train(run, 1)

    in_processes(begin, tmp_path / "before", 2)
    before = contents(tmp_path / "run")
    for killed in (0, 1):
        killed_while_saving(go_on, tmp_path / f"killed{killed}", killed)
        after = contents(tmp_path / "run")
        assert before.items() <= after.items()
    in_processes(go_on, tmp_path / "after", 2)

    names = sorted(path.name for path in (tmp_path / "run").glob("*step*"))
    assert names == ["latest-step000000000002"]


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the content of each file in a folder."""
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_processes_that_save_different_steps_are_told(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run = load(tmp_path / "run")
        train(run, 1)
        run.state.step += rank
        with pytest.raises(ValueError, match="saves with folder"):
            run.save()

    in_processes(act, tmp_path / "processes", 2)

    assert [folder.name for folder in (tmp_path / "run").glob("*step*")] == [
        "latest-step000000000001"
    ]


def layers(names: str) -> nn.Sequential:
    """Return layers in the order of their names, each of a size of its own."""
    net = nn.Sequential()
    for name in names:
        net.add_module(name, nn.Linear(ord(name) - 96, 3))
    return net


def test_stages_of_a_pipeline_are_not_lost_but_the_first(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run = load(tmp_path / "run", lambda _: nn.Linear(6, 3 + rank))
        run.state.step += 1
        with pytest.raises(ValueError, match=r"process 1 saves with net of 2 param"):
            run.step()

    in_processes(act, tmp_path / "processes", 2)


def test_states_of_torchs_optimizer_follow_the_names_of_parameters(
    tmp_path: Path,
) -> None:
    def begin_in(order: str) -> Callable[[Config], State]:
        def begin(config: Config) -> State:
            net = fsdp(layers(order))
            return State(0, net, torch.optim.AdamW(net.parameters(), config.lr))

        return begin

    def stepped(order: str) -> HyperState[Config, State]:
        folder = tmp_path / "run"
        run = HyperState.load(Config, State, begin_in(order), checkpoint_dir=folder)
        for name, param in run.state.net.named_parameters():
            param.grad = torch.full_like(param, ord(name[0]))
        run.state.optim.step()
        run.state.step += 1
        run.step()
        return run

    def act(rank: int) -> None:
        stepped("abc")
        state = stepped("cab").state

        for name, param in state.net.named_parameters():
            moment = whole(state.optim.state[param]["exp_avg"])
            expected = torch.full_like(moment, ord(name[0]) * (1 - 0.9**2))
            assert torch.allclose(moment, expected), name

    in_processes(act, tmp_path / "processes", 2)
