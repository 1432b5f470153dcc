"""One checkpoint: looked into alone, and restored all at once."""

import copy
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.core import named_params
from burnish.optim import AdamW
from burnish.records import (
    Record,
    RecordChecksumError,
    RecordFormatError,
    RecordMismatchError,
)
from burnish.train import Checkpoint, Checkpoints
from burnish.train.checkpoints.part import Part

from .runs import filled, net, same

torch.set_num_threads(1)


def test_a_misfit_changes_none_of_the_parts(tmp_path: Path) -> None:
    model = filled(net(), 1.0)
    optim = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    generator = torch.Generator()
    Checkpoints(tmp_path).save(1, model=model, optim=optim, gen=generator)
    other = filled(net(), 2.0)
    groups = [{"params": [p]} for p in other.parameters()]
    fewer = torch.optim.SGD(groups, lr=0.25)
    moved = torch.Generator().manual_seed(5)
    before = moved.get_state()

    with pytest.raises(RecordMismatchError, match=r"optim: the SGD refused its state"):
        Checkpoints(tmp_path).restore(gen=moved, model=other, optim=fewer)

    assert same(other, filled(net(), 2.0))
    assert torch.equal(moved.get_state(), before)
    assert fewer.param_groups[0]["lr"] == 0.25


def test_a_missing_part_is_told_what_there_is(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, model=net())

    with pytest.raises(RecordMismatchError, match=r"modle: not in the .*'model'\?"):
        Checkpoints(tmp_path).restore(modle=net())


def test_a_flipped_bit_is_caught_before_anything_changes(tmp_path: Path) -> None:
    model = filled(net(), 1.0)
    optim = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(3, 4)).sum().backward()
    optim.step()
    saved = Checkpoints(tmp_path).save(1, model=model, optim=optim)
    data = bytearray(Path(saved.file("optim")).read_bytes())
    data[-60] ^= 1
    Path(saved.file("optim")).write_bytes(data)
    other = filled(net(), 2.0)

    with pytest.raises((RecordChecksumError, RecordFormatError), match=r"optim\.mpk"):
        Checkpoints(tmp_path).restore(model=other, optim=optim)

    assert same(other, filled(net(), 2.0))


def test_a_checkpoint_can_be_looked_into_alone(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path).save(5, model=filled(net(), 1.0), loss=0.5)

    again = Checkpoint.read(saved.folder)

    assert again.step == 5
    assert again.values == {"loss": 0.5}
    assert again["loss"] == 0.5
    assert bool((again["model"]["0.weight"] == 1.0).all())
    with pytest.raises(KeyError, match=r"no part 'mode'.*Did you mean 'model'"):
        _ = again["mode"]
    with pytest.raises(KeyError, match="has no checkpoint 6; it has 5"):
        _ = Checkpoints(tmp_path)[6]


def test_a_restore_saves_nothing_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, other = filled(net(), 1.0), filled(net(), 2.0)
    Checkpoints(tmp_path).save(1, model=model, optim=AdamW().bind(model, lr=0.5))
    optim = AdamW().bind(other, lr=0.1)
    monkeypatch.setattr(Part, "prepare_for_code_of_others", _refuse)
    copies = "burnish.core.state.loading.commit._SureCopies"
    monkeypatch.setattr(f"{copies}.undo", _refuse)

    Checkpoints(tmp_path).restore(model=other, optim=optim)

    assert same(other, model)
    assert optim.param_groups[0]["lr"] == 0.5


def _refuse(*_: object) -> None:
    raise AssertionError("copied what nobody can change halfway")


class Average:
    """Half of a module's first weight as it is when the state comes."""

    def __init__(self, module: nn.Module, *, is_broken: bool = False) -> None:
        self.module, self.is_broken = module, is_broken
        self.half = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"decay": 0.5}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        weight = next(self.module.parameters())
        self.half = state["decay"] * float(weight.detach().flatten()[0])
        if self.is_broken:
            raise ValueError("no average")


def test_a_part_that_looks_at_one_before_it_sees_what_was_restored(
    tmp_path: Path,
) -> None:
    model = filled(net(), 1.0)
    Checkpoints(tmp_path).save(1, model=model, average=Average(model))
    other = filled(net(), 2.0)
    average = Average(other)

    Checkpoints(tmp_path).restore(model=other, average=average)

    assert average.half == 0.5


def test_a_part_that_looks_at_one_before_it_and_fails_leaves_both(
    tmp_path: Path,
) -> None:
    model = filled(net(), 1.0)
    Checkpoints(tmp_path).save(1, model=model, average=Average(model))
    other = filled(net(), 2.0)
    ids = [param.id for param in named_params(other)]

    with pytest.raises(RecordMismatchError, match=r"Average refused .* no average"):
        Checkpoints(tmp_path).restore(
            model=other, average=Average(other, is_broken=True)
        )

    assert same(other, filled(net(), 2.0))
    assert [param.id for param in named_params(other)] == ids


def test_an_optimizer_goes_by_the_ids_that_its_module_gets_in_the_same_restore(
    tmp_path: Path,
) -> None:
    model = filled(net(), 1.0)
    optim = AdamW().bind(model, lr=0.5)
    model(torch.randn(3, 4)).sum().backward()
    optim.step()
    Checkpoints(tmp_path).save(1, model=model, optim=optim)
    other = filled(net(), 2.0)
    resumed = AdamW().bind(other, lr=0.5)
    n_stored = len(optim.state)

    Checkpoints(tmp_path).restore(model=other, optim=resumed)

    assert len(resumed.state) == n_stored
    stored_ids = [param.id for param in named_params(model)]
    assert [param.id for param in named_params(other)] == stored_ids


def test_a_failure_after_an_optimizer_of_ours_leaves_its_state_and_its_module(
    tmp_path: Path,
) -> None:
    model = filled(net(), 1.0)
    Checkpoints(tmp_path).save(
        1, model=model, optim=AdamW().bind(model, lr=0.5), average=Average(model)
    )
    other = filled(net(), 2.0)
    optim = AdamW(weight_decay=0.3).bind(other, lr=0.25)
    other(torch.randn(3, 4)).sum().backward()
    optim.step()
    before, values = optim.into_record().clone(), copy.deepcopy(other)

    with pytest.raises(RecordMismatchError, match="Average refused"):
        Checkpoints(tmp_path).restore(
            model=other, optim=optim, average=Average(other, is_broken=True)
        )

    assert optim.save_record() == before.save()
    assert same(other, values)


class Pair(Record):
    """What `Linked` is stored as."""

    left: int
    right: int


class Linked:
    """Two numbers that are always equal, but halfway through a load that fails."""

    def __init__(self, value: int, *, is_broken: bool = False) -> None:
        self.left = self.right = value
        self.is_broken = is_broken

    def into_record(self) -> Pair:
        if self.left != self.right:
            raise ValueError("the state of something half loaded")
        return Pair(left=self.left, right=self.right)

    def load_record(self, source: Any) -> None:
        stored = source.typed(Pair)
        self.left = stored.left
        if self.is_broken:
            self.is_broken = False
            raise ValueError("no right one")
        self.right = stored.right


class LinkedState:
    """The same as a state dict."""

    def __init__(self, value: int, *, is_broken: bool = False) -> None:
        self.left = self.right = value
        self.is_broken = is_broken

    def state_dict(self) -> dict[str, Any]:
        if self.left != self.right:
            raise ValueError("the state of something half loaded")
        return {"left": self.left, "right": self.right}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.left = state["left"]
        if self.is_broken:
            self.is_broken = False
            raise ValueError("no right one")
        self.right = state["right"]


@pytest.mark.parametrize("kind", [Linked, LinkedState])
def test_what_has_no_readable_state_after_it_failed_halfway_is_put_back(
    tmp_path: Path, kind: type[Linked | LinkedState]
) -> None:
    Checkpoints(tmp_path).save(1, pair=kind(5))
    pair = kind(2, is_broken=True)

    with pytest.raises(RecordMismatchError, match="refused its state: no right one"):
        Checkpoints(tmp_path).restore(pair=pair)

    assert (pair.left, pair.right) == (2, 2)


def test_parts_without_names_are_told_how_to_name_them(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    checkpoints: Any = Checkpoints(tmp_path)
    checkpoint = checkpoints.save(1, model=net)

    with pytest.raises(TypeError, match=r"Write checkpoints\.restore\(model=net\)"):
        checkpoints.restore(1, net)
    with pytest.raises(TypeError, match=r"restore\(dict\(model=net\)\), got a Linear"):
        checkpoint.restore(net)
    with pytest.raises(TypeError, match=r"burnish\.load_record\(.*strict="):
        checkpoint.restore({"model": net}, strict=False)


class Limited:
    """Gets the signal of a time limit while it is loaded."""

    def state_dict(self) -> dict[str, Any]:
        return {"value": 1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        signal.raise_signal(signal.SIGALRM)


def test_what_the_handler_of_a_signal_raises_is_no_refusal_of_a_part(
    tmp_path: Path,
) -> None:
    def end(number: int, frame: object) -> None:
        raise TimeoutError("over an hour")

    Checkpoints(tmp_path).save(1, part=Limited())
    before = signal.signal(signal.SIGALRM, end)
    try:
        with pytest.raises(TimeoutError, match="over an hour"):
            Checkpoints(tmp_path).restore(part=Limited())
    finally:
        signal.signal(signal.SIGALRM, before)


def test_one_object_is_not_filled_from_two_different_parts(tmp_path: Path) -> None:
    first, second = filled(net(), 1.0), filled(net(), 2.0)
    Checkpoints(tmp_path).save(1, model=first, average=second, again=first)
    target = filled(net(), 3.0)

    with pytest.raises(RecordMismatchError, match="model and average: they were"):
        Checkpoints(tmp_path).restore(model=target, average=target)

    assert same(target, filled(net(), 3.0))
    Checkpoints(tmp_path).restore(model=target, again=target)
    assert same(target, first)


@pytest.mark.parametrize("loss", [0.5, float("nan")])
def test_a_part_of_another_step_is_named_whatever_numbers_were_saved(
    loss: float, tmp_path: Path
) -> None:
    """A NaN is unequal to itself, so that the manifest seemed to be replaced."""
    checkpoints = Checkpoints(tmp_path)
    first, second = (checkpoints.save(n, model=net(), loss=loss) for n in (1, 2))
    shutil.copyfile(first.file("model"), second.file("model"))

    with pytest.raises(RecordFormatError, match="was not saved with step 2"):
        checkpoints.restore(model=net())


def test_a_checkpoint_iterates_over_the_names_of_what_it_holds(tmp_path: Path) -> None:
    checkpoint = Checkpoints(tmp_path).save(1, model=net(), loss=0.5)

    assert [*checkpoint] == ["model", "loss"]
    assert "loss" in checkpoint
    assert "optim" not in checkpoint


def test_a_step_passed_by_name_is_told_where_it_goes(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, model=net())

    with pytest.raises(RecordMismatchError, match=r"The step comes first.*restore\(1,"):
        checkpoints.restore(step=1, model=net())
