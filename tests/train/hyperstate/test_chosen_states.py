"""States of which a part is saved, and states that share what is unchanged."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.train import Blob, HyperState, Lazy, stateful_command
from burnish.train.hyperstate.stored_files import StoredFiles

from ..killed import killed_everywhere

torch.set_num_threads(1)

WIDE = 256


@dataclass
class Config:
    lr: float = 0.1


@burnish.module
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.base, self.head = nn.Linear(WIDE, WIDE), nn.Linear(WIDE, 2)


@dataclass
class State:
    step: int
    net: Net
    optim: torch.optim.Optimizer
    best: Blob[dict[str, Any]] = field(default_factory=dict[str, Any])


@dataclass
class LazyState(Lazy):
    step: int
    net: Net


def begin(config: Config) -> State:
    net = Net()
    with torch.no_grad():
        net.base.weight.fill_(3.0)  # as a base that is loaded
    burnish.freeze(net, "base.**")
    optim = torch.optim.Adam(net.head.parameters(), lr=config.lr)
    return State(0, net, optim)


def load(folder: Path, **options: Any) -> HyperState[Config, State]:
    return HyperState.load(Config, State, begin, checkpoint_dir=folder, **options)


def advance(run: HyperState[Config, State]) -> None:
    run.state.optim.zero_grad()
    run.state.net.head(torch.ones(1, WIDE)).sum().backward()
    run.state.optim.step()
    run.state.step += 1
    run.step()


def newest(folder: Path) -> Path:
    return max(folder.glob("latest-*"))


@pytest.mark.filterwarnings("ignore:.*are unchanged.*")
@pytest.mark.parametrize(
    "options",
    [
        {"only": burnish.trainable},
        {"only": "head.**"},
        {"exclude": {"net": "base.**"}, "unchanged": "link"},
    ],
)
def test_a_run_that_saves_a_part_of_its_module_goes_on_to_the_same_bits(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    run = load(tmp_path, **options)
    for _ in range(2):
        advance(run)

    again = load(tmp_path, **options)

    paths = {entry.path for entry in burnish.open_record(_net(tmp_path)).entries()}
    assert paths == {"head.weight", "head.bias"}
    assert again.state.step == 2
    assert torch.equal(again.state.net.base.weight, torch.full((WIDE, WIDE), 3.0))
    assert not again.state.net.base.weight.requires_grad
    for one in (run, again):
        advance(one)
    assert torch.equal(again.state.net.head.weight, run.state.net.head.weight)


def _net(folder: Path) -> Path:
    return newest(folder) / "state.net.mpk"


def test_what_was_left_out_is_told_when_it_is_restored(tmp_path: Path) -> None:
    advance(load(tmp_path, only="head.**"))

    with pytest.warns(RuntimeWarning, match=r"net: .* without 2 tensors"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"only": {"nett": "head.**"}}, "Did you mean 'net'"),
        ({"only": "heads.**"}, "matches nothing|nothing matches|Did you mean"),
        ({"unchanged": "links"}, "unchanged must be 'write' or 'link'"),
    ],
)
def test_a_choice_of_nothing_is_refused_and_nothing_is_written(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        load(tmp_path / "run", **options).save()

    assert list(tmp_path.glob("run/latest-*")) == []


@pytest.mark.parametrize("wait", [True, False])
def test_what_is_unchanged_is_linked_to_the_checkpoint_before(
    tmp_path: Path, wait: bool
) -> None:
    run = load(tmp_path, unchanged="link", wait=wait, keep_last=2)
    for _ in range(3):
        advance(run)
    run.wait()

    files = [*newest(tmp_path).glob("state.*net.mpk")]
    linked = [file for file in files if file.stat().st_nlink > 1]
    assert sum(file.stat().st_size for file in linked) > 4 * WIDE * WIDE
    burnish.verify_file(_net(tmp_path))
    again = load(tmp_path).state
    assert torch.equal(again.net.head.weight, run.state.net.head.weight)
    assert torch.equal(again.net.base.weight, run.state.net.base.weight)


def test_a_kill_leaves_the_old_state_whole_with_all_that_it_shares(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path / "start", unchanged="link"))
    folder = tmp_path / "run"

    def prepare() -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "start", folder)
        run = load(folder, unchanged="link", keep_last=2, wait=False)

        def save() -> None:
            advance(run)
            run.wait()

        return save

    n_kills = 0
    for _ in killed_everywhere(prepare, stride=25):
        n_kills += 1
        run = load(folder, unchanged="link", keep_last=2)
        assert run.state.step in (1, 2)
        assert run.state.net.base.weight.eq(3).all()
        advance(run)
        for file in folder.glob("*step*/*.mpk"):
            burnish.verify_file(file)
        assert len(os.listdir(folder)) == 2
    assert n_kills > 2


def test_fields_that_nobody_touched_take_their_shared_files_along(
    tmp_path: Path,
) -> None:
    run = load(tmp_path, unchanged="link", keep_last=None)
    for _ in range(2):
        advance(run)
    lazy = HyperState.load(
        Config, LazyState, _never, checkpoint_dir=tmp_path, ignore_extra=True
    )

    lazy.state.step = 9
    lazy.step()

    burnish.verify_file(_net(tmp_path))
    assert torch.equal(lazy.state.net.head.weight, run.state.net.head.weight)


def _never(config: Config) -> LazyState:
    raise AssertionError("the run goes on")


def test_a_process_that_was_sent_the_files_reads_shared_ones(tmp_path: Path) -> None:
    run = load(tmp_path, unchanged="link")
    for _ in range(2):
        advance(run)
    folder = newest(tmp_path)
    contents = {file.name: file.read_bytes() for file in folder.iterdir()}
    sent = StoredFiles(Path("elsewhere"), contents, is_here=False)

    with burnish.open_record(sent.readable("state.net.mpk")) as record:
        record.load_all()

    shared = next(name for name in contents if len(name) > len("state.net.mpk") + 9)
    del contents[shared]
    with pytest.raises(burnish.records.RecordFormatError, match=shared):
        burnish.open_record(sent.readable("state.net.mpk"))


def test_a_program_takes_the_options_of_load_and_no_others() -> None:
    program = stateful_command(Config, State, begin, only="head.**", unchanged="link")

    with pytest.raises(TypeError, match=r"no option 'keep_lasts'.*keep_last"):
        stateful_command(Config, State, begin, keep_lasts=1)  # type: ignore[call-arg]
    assert callable(program)
