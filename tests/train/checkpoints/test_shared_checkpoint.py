"""Checkpoints of what several processes hold together go on as if nothing had been."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.cli.main import main
from burnish.optim import AdamW
from burnish.records import RecordError
from burnish.records.tensors.shares import own_share
from burnish.train import Checkpoints
from burnish.train.checkpoints.shared_checkpoint import SharedCheckpoint

from ...forked_processes import in_processes, killed_while_saving
from ...records.gates import gate_at
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


class Run:
    """A module, its optimizer and a number that counts, sharded over processes."""

    def __init__(self, spread: Callable[[Any], Any]) -> None:
        self.net = spread(plain_net())
        self.optim = AdamW(weight_decay=0.01).bind(self.net, lr=1e-2)
        self.counts = {"seen": 0}

    @property
    def parts(self) -> dict[str, Any]:
        return {"model": self.net, "optim": self.optim, "counts": self.counts}

    def train(self, n_steps: int) -> None:
        for _ in range(n_steps):
            backward(self.net)
            self.optim.step()
            self.counts["seen"] += 1

    def bits(self) -> list[torch.Tensor]:
        return [own_share(p.detach()).clone() for p in self.net.parameters()]


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize(
    ("spread", "is_remote"), [(fsdp, False), (tensor_parallel, False), (fsdp, True)]
)
def test_a_run_goes_on_to_the_bit(
    spread: Callable[[Any], Any],
    is_remote: bool,
    wait: bool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    folder = request.getfixturevalue("disk_url") if is_remote else tmp_path / "run"

    def act(rank: int) -> None:
        run = Run(spread)
        with Checkpoints(folder, wait=wait, keep_last=2) as checkpoints:
            for step in range(1, 4):
                run.train(1)
                checkpoints.save(step, rng=True, loss=1.0 / step, **run.parts)
        run.train(2)
        draws = torch.rand(3)

        other = Run(spread)
        torch.manual_seed(77)
        checkpoints = Checkpoints(folder)
        assert checkpoints.steps == [2, 3]
        assert checkpoints.restore(rng=True, **other.parts) == 3
        assert other.counts == {"seen": 3}
        other.train(2)
        assert torch.equal(torch.rand(3), draws)
        for mine, expected in zip(other.bits(), run.bits(), strict=True):
            assert torch.equal(mine, expected)

    in_processes(act, tmp_path / "processes", 2)


@pytest.mark.parametrize("spread", [fsdp, tensor_parallel])
def test_parts_that_share_a_spread_module_come_back(
    spread: Callable[[Any], Any], tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        one, other = spread(plain_net()), spread(plain_net())
        checkpoints = Checkpoints(tmp_path / "run")
        checkpoints.save(
            1, actor=nn.ModuleList([one]), critic=nn.ModuleDict({"a": one})
        )
        checkpoints.save(
            2, actor=nn.ModuleList([one]), critic=nn.ModuleDict({"a": other})
        )
        before = whole_values(one)
        with torch.no_grad():
            for parameter in [*one.parameters(), *other.parameters()]:
                parameter.add_(1.0)
        checkpoints.save(
            3, actor=nn.ModuleList([one]), critic=nn.ModuleDict({"a": plain_net()})
        )
        parts: dict[str, Any] = {
            "actor": nn.ModuleList([one]),
            "critic": nn.ModuleDict({"a": one}),
        }

        with pytest.raises(RecordError, match=r"actor\.0.*critic\.a.*one tensor"):
            checkpoints.restore(3, **parts)
        for step in (1, 2):
            checkpoints.restore(step, **parts)
            assert all(
                torch.equal(a, b)
                for a, b in zip(
                    whole_values(one).values(), before.values(), strict=True
                )
            )

    in_processes(act, tmp_path / "processes", 2)


def test_other_processes_go_on_and_one_alone_as_well(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run = Run(fsdp)
        run.train(2)
        Checkpoints(tmp_path / "run").save(2, **run.parts)
        run.train(1)
        values = whole_values(run.net)
        if rank == 0:
            torch.save(values, tmp_path / "next.pt")

    in_processes(act, tmp_path / "before", 2)

    def go_on(rank: int = 0, spread: Any = fsdp) -> None:
        run = Run(spread)
        Checkpoints(tmp_path / "run").restore(**run.parts)
        run.train(1)
        expected = torch.load(tmp_path / "next.pt")
        for name, tensor in whole_values(run.net).items():
            assert torch.allclose(tensor, expected[name], rtol=0, atol=1e-6), name

    in_processes(go_on, tmp_path / "after", 3)
    go_on(spread=lambda net: net)
    assert Checkpoints(tmp_path / "run")[2]["model"]["0.weight"].shape == (7, 6)
    assert main(["verify", str(tmp_path / "run")]) == 0
    assert main(["show", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize("failing", [0, 1])
def test_a_save_that_fails_on_one_process_leaves_no_checkpoint(
    failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(rank: int) -> None:
        from burnish.records.io import sink

        def write(self: object, buffers: object) -> None:
            raise OSError(28, "No space left on device")

        run = Run(fsdp)
        checkpoints = Checkpoints(tmp_path / "run")
        checkpoints.save(1, **run.parts)
        with monkeypatch.context() as patch:
            if rank == failing:
                patch.setattr(sink.FileSink, "writev", write)
            with pytest.raises(OSError, match="full"):
                checkpoints.save(2, **run.parts)
        assert checkpoints.steps == [1]
        checkpoints.save(3, **run.parts)

    in_processes(act, tmp_path / "processes", 2)

    assert [file.name for file in sorted((tmp_path / "run").iterdir())] == [
        "step000000000001",
        "step000000000003",
    ]


def test_a_process_that_is_killed_in_mid_save_leaves_the_old_checkpoint(
    tmp_path: Path,
) -> None:
    def begin(rank: int) -> None:
        run = Run(fsdp)
        run.train(1)
        Checkpoints(tmp_path / "run").save(1, **run.parts)

    def go_on(rank: int) -> None:
        run = Run(fsdp)
        checkpoints = Checkpoints(tmp_path / "run")
        assert checkpoints.restore(**run.parts) == 1
        run.train(1)
        checkpoints.save(2, **run.parts)

    in_processes(begin, tmp_path / "before", 2)
    for killed in (0, 1):
        killed_while_saving(go_on, tmp_path / f"killed{killed}", killed)
        assert Checkpoints(tmp_path / "run").steps == [1]
    in_processes(go_on, tmp_path / "after", 2)

    names = [file.name for file in sorted((tmp_path / "run").iterdir())]
    assert names == ["step000000000001", "step000000000002"]


def test_two_saves_that_nobody_waits_for_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(rank: int) -> None:
        others = threading.Event()
        write = SharedCheckpoint.write

        def late_write(self: Any, new_folder: Any, *rest: Any) -> None:
            # On the first process the other save would overtake this one.
            if new_folder.func.__self__.root.name == "b":
                others.set()
            elif rank == 0:
                others.wait(0.3)
            write(self, new_folder, *rest)

        monkeypatch.setattr(SharedCheckpoint, "write", late_write)
        nets = {"a": fsdp(plain_net()), "b": fsdp(plain_net())}
        runs = {name: Checkpoints(tmp_path / name, wait=False) for name in nets}
        values = {name: whole_values(net) for name, net in nets.items()}
        for name, net in nets.items():
            runs[name].save(1, model=net)

        for name, net in nets.items():
            runs[name].wait()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.zero_()
            assert runs[name].restore(model=net) == 1
            again = whole_values(net)
            assert all(torch.equal(v, again[k]) for k, v in values[name].items())

    in_processes(act, tmp_path / "processes", 2)


def test_a_save_whose_group_ends_before_it_is_an_error_and_no_checkpoint_of_a_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()

    def act(rank: int) -> None:
        monkeypatch.chdir(here)
        checkpoints = Checkpoints(tmp_path / "run", wait=False)
        checkpoints.save(1, model=fsdp(plain_net())).wait()
        with gate_at(monkeypatch, SharedCheckpoint, "write") as gated:
            saved = checkpoints.save(2, model=fsdp(plain_net()))
            gated.gate.wait_for_arrival()
            torch.distributed.destroy_process_group()
        with pytest.raises(RuntimeError, match=r"call wait\(\) on background"):
            saved.wait()

        assert checkpoints.steps == [1]
        # There is no group any more in which to wait for the other.
        os._exit(0)

    in_processes(act, tmp_path / "processes", 2)

    assert not [*here.iterdir()]


def test_damage_in_one_process_s_share_leaves_all_parts_as_they_were(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        run = Run(fsdp)
        run.train(1)
        saved = Checkpoints(tmp_path / "run").save(1, **run.parts)
        if rank == 0:
            part = sorted(Path(saved.file("optim")).glob("part-*"))[1]
            data = bytearray(part.read_bytes())
            data[len(data) // 2] ^= 64
            part.write_bytes(data)
        torch.distributed.barrier()
        other = Run(fsdp)
        before = other.bits()
        with pytest.raises(RecordError):
            Checkpoints(tmp_path / "run").restore(**other.parts)

        assert all(map(torch.equal, before, other.bits()))
        assert not other.optim.state

    in_processes(act, tmp_path / "processes", 2)


def test_a_state_dict_in_shares_could_not_be_filled_again(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run = Run(fsdp)
        with pytest.raises(ValueError, match="sharded over processes"):
            Checkpoints(tmp_path / "run").save(1, part=run.net.state_dict())

    in_processes(act, tmp_path / "processes", 2)


class TorchRun(Run):
    """The same with an optimizer of torch, of two groups."""

    def __init__(self, spread: Callable[[Any], Any]) -> None:
        super().__init__(spread)
        first, *others = self.net.parameters()
        groups = [{"params": others}, {"params": [first], "lr": 1e-3}]
        self.optim: Any = torch.optim.AdamW(groups, lr=1e-2, amsgrad=True)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("spread", [fsdp, tensor_parallel])
def test_an_optimizer_of_torch_goes_on_to_the_bit(
    spread: Callable[[Any], Any], wait: bool, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        run = TorchRun(spread)
        run.train(2)
        with Checkpoints(tmp_path / "run", wait=wait) as checkpoints:
            checkpoints.save(2, **run.parts)
        run.train(2)

        other = TorchRun(spread)
        other.train(1)
        Checkpoints(tmp_path / "run").restore(**other.parts)
        other.train(2)
        assert all(map(torch.equal, other.bits(), run.bits()))

    in_processes(act, tmp_path / "processes", 2)

    stored = Checkpoints(tmp_path / "run")[2]["optim"]
    shapes = {entry.shape for entry in stored.entries()}
    assert shapes == {(), (7, 6), (7,), (1, 7), (1,)}


def as_it_is(net: Any) -> Any:
    return net


WAYS = [
    (fsdp, 2, fsdp, 3),
    (fsdp, 2, fsdp, 1),
    (fsdp, 2, as_it_is, 1),
    (as_it_is, 1, fsdp, 2),
]


@pytest.mark.parametrize(("spread", "n", "later", "n_later"), WAYS)
def test_an_optimizer_of_torch_goes_on_in_other_numbers_of_processes(
    spread: Any, n: int, later: Any, n_later: int, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        run = TorchRun(spread)
        run.train(2)
        Checkpoints(tmp_path / "run").save(2, **run.parts)
        run.train(1)
        torch.save(whole_values(run.net), tmp_path / f"{rank}.pt")

    def go_on(rank: int) -> None:
        run = TorchRun(later)
        Checkpoints(tmp_path / "run").restore(**run.parts)
        run.train(1)
        for name, values in torch.load(tmp_path / "0.pt").items():
            assert torch.allclose(whole(run.net.get_parameter(name)), values), name

    in_processes(act, tmp_path / "before", n)
    in_processes(go_on, tmp_path / "after", n_later)


def layers(names: str) -> nn.Sequential:
    """Return layers in the order of their names, each of a size of its own."""
    net = nn.Sequential()
    for name in names:
        net.add_module(name, nn.Linear(ord(name) - 96, 3))
    return net


@pytest.mark.parametrize("later", ["abc", "cab"])
def test_shares_of_torchs_optimizer_follow_the_names_of_parameters(
    later: str, tmp_path: Path
) -> None:
    def stepped(names: str, factor: float) -> tuple[nn.Sequential, Any]:
        net = fsdp(layers(names))
        optim = torch.optim.AdamW(net.parameters())
        for name in names:
            for param in net.get_submodule(name).parameters():
                param.grad = torch.full_like(param, factor * ord(name))
        optim.step()
        return net, optim

    def moments(net: nn.Sequential, optim: Any) -> dict[str, torch.Tensor]:
        return {
            name: whole(optim.state[param]["exp_avg"])
            for name, param in net.named_parameters()
        }

    def act(rank: int) -> None:
        net, optim = stepped("abc", 1.0)
        Checkpoints(tmp_path / "run").save(1, model=net, optim=optim)
        other, resumed = stepped(later, 2.0)

        Checkpoints(tmp_path / "run").restore(model=other, optim=resumed)
        restored = moments(other, resumed)
        assert {n: m.flatten()[0] for n, m in restored.items()} == {
            n: m.flatten()[0] for n, m in moments(net, optim).items()
        }

        resumed.step()  # torch refuses whole states of parameters in shares

    in_processes(act, tmp_path / "processes", 2)


def test_a_state_that_is_cut_otherwise_than_its_parameter_is_refused(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        run = TorchRun(fsdp)
        run.train(1)
        weight = run.net[0].weight
        run.optim.state[weight]["row"] = weight[:, :3].detach()
        with pytest.raises(ValueError, match="keeps 'row' of shape"):
            Checkpoints(tmp_path / "run").save(1, **run.parts)

    in_processes(act, tmp_path / "processes", 2)


def test_processes_that_save_different_parts_or_steps_are_told(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        run, checkpoints = Run(fsdp), Checkpoints(tmp_path / "run")
        parts = {"model": run.net, **({} if rank else {"optim": run.optim})}
        with pytest.raises(ValueError, match="process 1 saves with parts in shares"):
            checkpoints.save(1, rng=False, **parts)
        with pytest.raises(ValueError, match="process 1 saves with step 1"):
            checkpoints.save(rank, **run.parts)
        with pytest.raises(ValueError, match="process 1 saves with folder"):
            Checkpoints(tmp_path / f"run{rank}").save(1, **run.parts)
        with pytest.raises(ValueError, match="process 1 saves with wait False"):
            Checkpoints(tmp_path / "run", wait=rank == 0).save(1, **run.parts)
        with pytest.raises(TypeError, match="nothing to save"):
            checkpoints.save(1, rng=False, **({} if rank else run.parts))
        assert checkpoints.steps == []

    in_processes(act, tmp_path / "processes", 2)
