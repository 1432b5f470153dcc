"""Loops that are left, readers beside a writer, and what a restored optimizer tells."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import AdamW
from burnish.records import RecordFormatError
from burnish.train import Checkpoints
from burnish.train.checkpoints.checkpoint import Checkpoint
from burnish.train.resumable_loader import ResumableLoader, ResumableSampler


def loader() -> Any:
    return ResumableLoader(range(10), batch_size=2, shuffle=True, seed=3)  # type: ignore[arg-type]  # a range is a dataset


def sampler() -> Any:
    return ResumableSampler(10, seed=3)


def drawn(place: Any) -> list[Any]:
    return [x.tolist() if isinstance(x, torch.Tensor) else x for x in place]


@pytest.mark.parametrize("make", [loader, sampler])
def test_a_loop_that_is_left_goes_on_with_the_next_epoch_when_resumed(
    make: Any,
) -> None:
    whole, again = make(), make()
    for _ in whole:
        break

    again.load_state_dict(whole.state_dict())

    assert drawn(again) == drawn(whole)
    assert again.state_dict() == whole.state_dict()


@pytest.mark.parametrize("make", [loader, sampler])
def test_a_state_within_a_loop_goes_on_with_the_rest(make: Any) -> None:
    whole, again = make(), make()
    rest: list[Any] = []
    for i, item in enumerate(whole):
        if i == 1:
            again.load_state_dict(whole.state_dict())
        if i > 1:
            rest.append(item)

    assert [len(drawn(again)), again.state_dict()] == [len(rest), whole.state_dict()]


@pytest.mark.parametrize("make", [loader, sampler])
def test_a_loop_that_is_left_late_moves_no_other_loop(make: Any) -> None:
    place = make()
    first = iter(place)
    next(first)
    second = iter(place)
    next(second)

    first.close()

    assert place.state_dict()["epoch"] == 1
    assert place.state_dict()["position"] > 0


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep_last=None)
    for step in steps:
        checkpoints.save(step, x=[step])
    return checkpoints


@pytest.mark.parametrize("way", ["read", "restore"])
def test_a_reader_at_the_moment_of_retention_gets_the_newer_one(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = saved(tmp_path, 1)
    method = getattr(Checkpoint, way)
    calls: list[Any] = []

    def late(*args: Any, **options: Any) -> Any:
        if not calls:
            calls.append(args)
            saved(tmp_path, 2)
            shutil.rmtree(tmp_path / "step000000000001")
        return method(*args, **options)

    monkeypatch.setattr(Checkpoint, way, staticmethod(late) if way == "read" else late)
    x: list[int] = []

    assert checkpoints.restore(x=x) == 2
    assert x == [2]


def test_a_manifest_of_another_step_is_refused(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    file = tmp_path / "step000000000001" / "checkpoint.json"
    tree = json.loads(file.read_text())
    file.write_text(json.dumps({**tree, "step": 7}))

    with pytest.raises(RecordFormatError, match="step 7"):
        checkpoints.restore(x=[])


@pytest.mark.parametrize("name", ["../x.mpk", "/tmp/x.mpk", "a/b.mpk", ".."])
def test_a_manifest_that_names_a_file_elsewhere_is_refused(
    name: str, tmp_path: Path
) -> None:
    checkpoints = saved(tmp_path, 1)
    file = tmp_path / "step000000000001" / "checkpoint.json"
    tree = json.loads(file.read_text())
    tree["parts"]["x"]["file"] = name
    file.write_text(json.dumps(tree))

    with pytest.raises(RecordFormatError):
        checkpoints.restore(x=[])


def test_a_restored_optimizer_warns_of_another_engine(tmp_path: Path) -> None:
    def bound(fused: bool | None) -> Any:
        net = nn.Linear(3, 2)
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        optim = AdamW().bind(net, lr=0.1, fused=fused)
        optim.step()
        return optim

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, optim=bound(None))

    with pytest.warns(RuntimeWarning, match="optim: group 0: saved on the engine"):
        checkpoints.restore(optim=bound(False))
