"""Checkpoints that share what is unchanged, each complete by itself."""

import errno
import itertools
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import SGD, AdamW
from burnish.records import RecordChecksumError, RecordError
from burnish.records.entries.entries import path_index
from burnish.train import Checkpoints

from ..killed import killed_everywhere
from .runs import filled, same

WIDTH = 256


class Adapted(nn.Module):
    """A base of a quarter of a megabyte, and adapters of rank 4."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(WIDTH, WIDTH)
        self.down = nn.Linear(WIDTH, 4, bias=False)
        self.up = nn.Linear(4, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        base: torch.Tensor = self.base(x)
        low: torch.Tensor = self.up(self.down(x))
        return base + low


def adapted(value: float | None = None) -> Adapted:
    """Return a module with the same base each time, and adapters of one value."""
    torch.manual_seed(0)
    model = Adapted()
    burnish.freeze(model, "base.**")
    if value is not None:
        filled(model.down, value)
    return model


def linked(folder: Path, **options: Any) -> Checkpoints:
    return Checkpoints(folder, unchanged="link", **options)


def is_whole(folder: Path, step: int, value: float) -> bool:
    """Return whether a step restores to adapters of ``value``, every byte checked."""
    model = filled(Adapted(), -1.0)
    burnish.freeze(model, "base.**")
    Checkpoints(folder).restore(step, model=model)
    burnish.verify_file(Checkpoints(folder)[step].file("model"))
    return same(model, adapted(value))


def n_written(folder: str | os.PathLike[str]) -> int:
    statuses = [file.stat() for file in Path(folder).iterdir()]
    return sum(s.st_size for s in statuses if s.st_nlink == 1)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst"])
def test_a_run_with_a_frozen_base_writes_its_adapters(
    suffix: str, wait: bool, tmp_path: Path
) -> None:
    model = adapted()
    optim = AdamW().bind(model, lr=0.1)
    whole = linked(tmp_path / "whole", suffix=suffix, wait=wait, keep_last=None)
    part = Checkpoints(tmp_path / "part", suffix=suffix, only=burnish.trainable)
    for step in range(3):
        optim.zero_grad()
        model(torch.ones(1, WIDTH)).square().sum().backward()
        optim.step()
        saved = whole.save(step, model=model, optim=optim, rng=True).wait()
        alone = part.save(step, model=model, optim=optim, rng=True)
        if step:
            assert n_written(saved.folder) <= n_written(alone.folder) + 4000

    again = Adapted()
    burnish.freeze(again, "base.**")
    new_optim = AdamW().bind(again, lr=0.1)
    assert whole.restore(model=again, optim=new_optim, rng=True) == 2
    assert same(again, model)
    for step in range(3):
        burnish.verify_file(whole[step].file("model"))


def test_a_frozen_flag_decides_nothing(tmp_path: Path) -> None:
    model, run = adapted(1.0), linked(tmp_path)
    run.save(1, model=model)
    model.base.weight.data.zero_()
    run.save(2, model=model)
    burnish.thaw(model, "**")
    third = run.save(3, model=model)

    again = adapted()
    assert run.restore(2, model=again) == 2
    assert not again.base.weight.any()
    assert n_written(third.folder) < 4000


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))])
def test_folders_are_whole_in_whatever_order_others_go(
    order: tuple[int, ...], tmp_path: Path
) -> None:
    run = linked(tmp_path, keep_last=None)
    folders = [run.save(step, model=adapted(float(step))).folder for step in range(4)]

    left = {*order}
    for step in order[:-1]:
        shutil.rmtree(folders[step])
        left.remove(step)
        assert all(is_whole(tmp_path, other, float(other)) for other in left)


def test_old_checkpoints_are_pruned_and_new_ones_stay(tmp_path: Path) -> None:
    run = linked(tmp_path, keep_last=1)
    for step in range(5):
        run.save(step, model=adapted(float(step)))

    assert run.steps == [4]
    assert is_whole(tmp_path, 4, 4.0)


@pytest.mark.parametrize("way", ["copied", "moved"])
def test_a_folder_elsewhere_is_whole(way: str, tmp_path: Path) -> None:
    run = linked(tmp_path / "run")
    for step in (1, 2):
        run.save(step, model=adapted(float(step)))
    (tmp_path / "other").mkdir()
    place = tmp_path / "other" / run[2].folder.name
    (shutil.copytree if way == "copied" else shutil.move)(run[2].folder, place)
    shutil.rmtree(tmp_path / "run")

    assert is_whole(tmp_path / "other", 2, 2.0)
    linked(tmp_path / "other").save(3, model=adapted(3.0))
    assert is_whole(tmp_path / "other", 3, 3.0)


def test_a_step_that_is_saved_again_is_linked_to_what_it_replaces(
    tmp_path: Path,
) -> None:
    run = linked(tmp_path)
    run.save(1, model=adapted(1.0))
    saved = run.save(1, model=adapted(2.0))

    assert is_whole(tmp_path, 1, 2.0)
    assert len([*Path(saved).glob("model*")]) == 3


def test_a_run_that_goes_on_in_another_process_links_to_the_newest(
    tmp_path: Path,
) -> None:
    Checkpoints(tmp_path).save(1, model=adapted(1.0))
    saved = linked(tmp_path).save(2, model=adapted(2.0))

    assert n_written(saved.folder) < WIDTH * WIDTH
    assert is_whole(tmp_path, 2, 2.0)


@pytest.mark.parametrize("wait", [True, False])
def test_a_kill_at_any_call_leaves_the_old_or_the_new(
    wait: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def prepare() -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        linked(folder).save(1, model=adapted(1.0))

        def save() -> None:
            run = linked(folder, keep_last=1, wait=wait)
            run.save(2, model=adapted(2.0)).wait()

        return save

    n_kills = 0
    for _ in killed_everywhere(prepare, stride=3 if wait else 7):
        n_kills += 1
        steps = Checkpoints(folder).steps
        assert steps in ([1], [1, 2], [2])
        assert all(is_whole(folder, step, float(step)) for step in steps)
        linked(folder, keep_last=1).save(3, model=adapted(3.0))
        assert os.listdir(folder) == ["step000000000003"]
        assert is_whole(folder, 3, 3.0)
    assert n_kills > (10 if wait else 3)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM])
def test_where_files_cannot_be_linked_they_are_written_and_a_log_says_so_once(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    run = linked(tmp_path, keep_last=1)
    with caplog.at_level(logging.WARNING, "burnish"):
        for step in range(3):
            run.save(step, model=adapted(float(step)))

    assert is_whole(tmp_path, 2, 2.0)
    assert len(caplog.records) == 1
    assert "written again" in caplog.text
    assert os.strerror(number) in caplog.text


def test_damage_to_what_is_shared_is_told_of_each_that_shares_it(
    tmp_path: Path,
) -> None:
    run = linked(tmp_path)
    for step in (1, 2, 3):
        run.save(step, model=adapted(float(step)))
    with open(run[1].file("model"), "r+b") as file:
        file.seek(10_000)
        file.write(bytes(64))

    model = adapted(9.0)
    for step in (1, 2, 3):
        with pytest.raises(RecordChecksumError, match=r"model.*base\.weight"):
            run.restore(step, model=model)
        with pytest.raises(RecordChecksumError, match=r"base\.weight"):
            burnish.verify_file(run[step].file("model"))
    assert same(model, adapted(9.0))


def test_several_modules_and_optimizers_are_linked_each(tmp_path: Path) -> None:
    model, ema, other = adapted(1.0), adapted(2.0), adapted(3.0)
    optims = [SGD(momentum=0.9).bind(net, lr=0.1) for net in (model, other)]
    run = linked(tmp_path)
    for step in (1, 2):
        for net, optim in zip((model, other), optims, strict=True):
            optim.zero_grad()
            net(torch.ones(1, WIDTH)).square().sum().backward()
            optim.step()
        saved = run.save(step, a=model, ema=ema, b=other, oa=optims[0], ob=optims[1])

    assert n_written(saved.folder) < 2 * WIDTH * WIDTH
    again, again_ema, again_other = adapted(), adapted(), adapted()
    assert run.restore(a=again, ema=again_ema, b=again_other) == 2
    assert all(
        same(*pair) for pair in ((again, model), (again_ema, ema), (again_other, other))
    )


def test_what_was_chosen_can_be_linked_too(tmp_path: Path) -> None:
    run = linked(tmp_path, exclude="down.**")
    run.save(1, model=adapted(1.0))
    saved = run.save(2, model=adapted(2.0))

    assert n_written(saved.folder) < 4000
    with saved["model"] as record:
        assert [*path_index(record)] == ["base.weight", "base.bias", "up.weight"]


class Adapter(nn.Module):
    """A layer of GPT-2 with an adapter of rank 8 beside it."""

    def __init__(self, base: nn.Module, n_in: int, n_out: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(n_in, 8, bias=False)
        self.up = nn.Linear(8, n_out, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        base: torch.Tensor = self.base(x)
        low: torch.Tensor = self.up(self.down(x))
        return base + low


def adapted_gpt2() -> Any:
    """Return a small GPT-2 with adapters, the same each time."""
    transformers: Any = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=2,
        n_embd=64,
        n_head=2,
        vocab_size=512,
        n_positions=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    net = transformers.GPT2LMHeadModel(config)
    burnish.freeze(net)
    for block in net.transformer.h:
        weight = block.attn.c_attn.weight
        block.attn.c_attn = Adapter(block.attn.c_attn, *weight.shape)
    return net


def train_gpt2(net: Any, optim: torch.optim.Optimizer) -> None:
    optim.zero_grad()
    tokens = torch.arange(16)[None]
    net(input_ids=tokens, labels=tokens).loss.backward()
    optim.step()


def saved_gpt2(folder: Path, n: int) -> tuple[Any, Any]:
    """Return a GPT-2 and its optimizer after ``n`` steps, each of them saved."""
    net = adapted_gpt2()
    optim, run = AdamW().bind(net, lr=0.01), linked(folder, keep_last=2)
    for step in range(n):
        train_gpt2(net, optim)
        run.save(step, model=net, optim=optim, rng=True)
    return net, optim


def test_gpt2_with_adapters_is_whole_after_pruning_in_each_copy_and_goes_on(
    tmp_path: Path,
) -> None:
    net, optim = saved_gpt2(tmp_path / "run", 5)
    run = linked(tmp_path / "run")
    assert run.steps == [3, 4]
    base = sum(p.nbytes for p in net.parameters() if not p.requires_grad)
    assert n_written(run[4].folder) < base

    for step in run.steps:
        place = tmp_path / str(step)
        shutil.copytree(run[step].folder, place / run[step].folder.name)
        for part in ("model", "optim"):
            burnish.verify_file(Checkpoints(place)[step].file(part))
    shutil.rmtree(tmp_path / "run")
    train_gpt2(net, optim)
    again = adapted_gpt2()
    new_optim = AdamW().bind(again, lr=0.01)
    assert linked(tmp_path / "4").restore(model=again, optim=new_optim, rng=True) == 4
    train_gpt2(again, new_optim)
    assert same(again, net)


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_gpt2_of_which_a_shared_file_is_gone_or_damaged_says_what_to_do(
    how: str, tmp_path: Path
) -> None:
    net, _ = saved_gpt2(tmp_path, 3)
    run = linked(tmp_path)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    files = Path(run[2]).glob("model.*.mpk")
    shared = max(files, key=lambda file: file.stat().st_size)
    if how == "missing":
        shared.unlink()
    else:
        content = bytearray(shared.read_bytes())
        content[len(content) // 2] ^= 1
        shared.write_bytes(content)

    words = "not beside it.*older" if how == "missing" else "checksum.*older"
    with pytest.raises(RecordError, match=f"(?s){words}"):
        burnish.verify_file(run[2].file("model"))
    with pytest.raises(RecordError, match=f"(?s){words}"):
        run.restore(2, model=net)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize(
    ("suffix", "unchanged", "words"),
    [
        (".json", "link", "needs the suffix '.mpk'"),
        (".mpk.gz", "link", "needs the suffix '.mpk'"),
        (".mpk", "copy", "'write' or 'link', got 'copy'"),
    ],
)
def test_what_cannot_be_linked_is_refused(
    suffix: str, unchanged: Literal["link"], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        Checkpoints(tmp_path, suffix=suffix, unchanged=unchanged)
