"""Lightning's checkpoints that nobody waits for: none is missing when it is needed."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from burnish.records.writing import held_records
from burnish.train import Checkpoint, RecordCheckpoint, RecordIO, load_lightning
from burnish.train.lightning.checkpoint_folder import is_checkpoint

from ...records.gates import LONG, Gate, GatedCall, full_disk, gate_at
from .models import SHORT_RUNS, Plain, trainer

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedCall]:
    with gate_at(monkeypatch, Checkpoint, "write") as gated:
        yield gated


def tree(value: float) -> dict[str, Any]:
    return {"global_step": 1, "state_dict": {"w": torch.full((3,), value)}}


def names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


def test_a_checkpoint_is_what_it_was_at_the_call_and_a_load_waits(
    tmp_path: Path, gated: GatedCall
) -> None:
    writer, checkpoint = RecordIO(wait=False), tree(1.0)

    writer.save_checkpoint(checkpoint, tmp_path / "last")
    gated.gate.wait_for_arrival()
    checkpoint["state_dict"]["w"].fill_(2)
    is_begun = writer.is_saving(tmp_path / "last")
    gated.gate.open()

    assert (
        writer.load_checkpoint(tmp_path / "last")["state_dict"]["w"].tolist() == [1] * 3
    )
    assert is_begun
    assert not writer.is_saving(tmp_path / "last")


def test_who_asks_for_a_checkpoint_by_its_path_waits_for_it(
    tmp_path: Path, gated: GatedCall
) -> None:
    writer, answers = RecordIO(wait=False), list[bool]()
    writer.save_checkpoint(tree(1.0), tmp_path / "last")
    gated.gate.wait_for_arrival()

    asker = threading.Thread(
        target=lambda: answers.append(is_checkpoint(tmp_path / "last"))
    )
    asker.start()
    gated.gate.open()
    asker.join(LONG)

    assert answers == [True]
    writer.teardown()


def test_what_is_to_be_removed_goes_when_the_new_one_is_there(
    tmp_path: Path, gated: GatedCall
) -> None:
    writer = RecordIO(wait=False)
    gated.gate.open()
    writer.save_checkpoint(tree(1.0), tmp_path / "a")
    writer.finish()
    gated.gate = Gate()

    writer.save_checkpoint(tree(2.0), tmp_path / "b")
    gated.gate.wait_for_arrival()
    writer.remove_checkpoint(tmp_path / "a")
    before = names(tmp_path)
    gated.gate.open()
    writer.teardown()

    assert before == ["a"]
    assert names(tmp_path) == ["b"]


def test_a_save_that_fails_removes_nothing(tmp_path: Path, gated: GatedCall) -> None:
    writer = RecordIO(wait=False)
    gated.gate.open()
    writer.save_checkpoint(tree(1.0), tmp_path / "a")
    writer.finish()
    gated.error = full_disk()

    writer.save_checkpoint(tree(2.0), tmp_path / "b")
    writer.remove_checkpoint(tmp_path / "a")
    with pytest.raises(OSError, match="No space left"):
        writer.save_checkpoint(tree(3.0), tmp_path / "c")

    assert names(tmp_path) == ["a"]
    gated.error = None
    writer.save_checkpoint(tree(3.0), tmp_path / "c")
    writer.teardown()
    assert names(tmp_path) == ["c"]


def test_a_removal_after_the_save_has_ended_is_made_at_once(tmp_path: Path) -> None:
    writer = RecordIO(wait=False)
    writer.save_checkpoint(tree(1.0), tmp_path / "a")
    writer._saves.join()  # pyright: ignore[reportPrivateUsage]  # nobody has asked yet

    writer.remove_checkpoint(tmp_path / "a")

    assert names(tmp_path) == []


@pytest.mark.parametrize("save_last", [True, "link"])
def test_a_run_is_saved_and_resumed_as_one_that_waits(
    save_last: Any, tmp_path: Path
) -> None:
    callback = RecordCheckpoint(
        tmp_path, monitor="train_loss", save_last=save_last, wait=False
    )
    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)
    model = Plain(4)
    run = trainer(tmp_path, 3, callbacks=[callback])
    run.fit(model, loader)

    again = load_lightning(Plain, callback.last_model_path)
    resumed = trainer(tmp_path, 4, callbacks=[callback])
    resumed.fit(Plain(4), loader, ckpt_path=callback.last_model_path)

    assert torch.equal(again.layer.weight, model.layer.weight)
    assert resumed.current_epoch == 4
    assert Path(callback.best_model_path).name in names(tmp_path)
    assert len([name for name in names(tmp_path) if name.startswith("epoch")]) == 1


class Noting(RecordCheckpoint):
    """Knows the weights of each checkpoint as they are when it is saved."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.weights: dict[str, torch.Tensor] = {}
        self.n_held = 0

    def _save_checkpoint(self, trainer: Any, filepath: str) -> None:
        weight: Any = trainer.lightning_module.layer.weight
        self.weights[filepath] = weight.detach().clone()
        super()._save_checkpoint(trainer, filepath)
        self.n_held += trainer.strategy.checkpoint_io.report.n_held


def test_lazy_saves_of_each_step_are_of_that_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_records, "LEAST", 1)
    callback = Noting(
        tmp_path,
        "{step}",
        save_top_k=-1,
        every_n_train_steps=1,
        wait=False,
        snapshot="lazy",
        staging=64,
    )
    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)
    trainer(tmp_path, 2, callbacks=[callback]).fit(Plain(4), loader)

    assert len(callback.weights) == 8
    assert callback.n_held > 0
    for file, weight in callback.weights.items():
        assert torch.equal(load_lightning(Plain, file).layer.weight, weight)


def test_the_end_of_a_run_raises_the_error_of_its_last_save(
    tmp_path: Path, gated: GatedCall
) -> None:
    gated.error = full_disk()
    gated.gate.open()
    callback = RecordCheckpoint(tmp_path, wait=False)
    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)

    with pytest.raises(OSError, match="No space left"):
        trainer(tmp_path, 1, callbacks=[callback]).fit(Plain(4), loader)


def test_a_name_that_is_being_written_is_taken(
    tmp_path: Path, gated: GatedCall
) -> None:
    callback = RecordCheckpoint(tmp_path, wait=False)
    run = trainer(tmp_path, 1, callbacks=[callback])
    writer = RecordIO(wait=False)
    run.strategy.checkpoint_io = writer  # type: ignore[misc]  # has a setter

    writer.save_checkpoint(tree(1.0), tmp_path / "a")
    gated.gate.wait_for_arrival()
    is_taken = callback.file_exists(str(tmp_path / "a"), run)
    gated.gate.open()

    assert is_taken
    writer.teardown()
