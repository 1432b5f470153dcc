"""Folders of checkpoints: whole, without pickle, and Lightning's own too."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from burnish.records import RecordChecksumError, RecordFormatError
from burnish.train import RecordCheckpoint, RecordIO, load_lightning

from ..killed import killed_everywhere
from .models import SHORT_RUNS, Net, Plain, data, trainer

torch.set_num_threads(1)


pytestmark = SHORT_RUNS


def test_no_pickle_is_written_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)

    run = trainer(tmp_path, 1)
    run.fit(Net({}), datamodule=data())
    kept: Any = run.checkpoint_callback
    again = trainer(tmp_path, 2)
    again.fit(Net({}), datamodule=data(), ckpt_path=kept.last_model_path)

    assert again.current_epoch == 2


def test_checkpoints_that_lightning_wrote_are_read(tmp_path: Path) -> None:
    loader: Any = DataLoader(TensorDataset(torch.randn(20, 10)), 5)
    model = Plain(4)
    run = trainer(tmp_path, 1)
    run.fit(model, loader)
    run.save_checkpoint(tmp_path / "old.ckpt")

    again = load_lightning(Plain, str(tmp_path / "old.ckpt"))

    assert torch.equal(again.layer.weight, model.layer.weight)


def test_what_is_no_data_is_named_and_the_last_checkpoint_stays(
    tmp_path: Path,
) -> None:
    tree = {"state_dict": {"w": torch.ones(2)}, "global_step": 3}
    RecordIO().save_checkpoint(tree, tmp_path / "last")

    bad = {**tree, "hyper_parameters": {"act": nn.ReLU()}}
    with pytest.raises(TypeError, match=r"training\.hyper_parameters\.act: a "):
        RecordIO().save_checkpoint(bad, tmp_path / "last")

    back = RecordIO().load_checkpoint(tmp_path / "last")
    assert torch.equal(back["state_dict"]["w"], torch.ones(2))
    assert os.listdir(tmp_path) == ["last"]


def test_a_checkpoint_never_takes_the_place_of_a_folder_of_other_files(
    tmp_path: Path,
) -> None:
    results, empty = tmp_path / "results", tmp_path / "empty"
    results.mkdir()
    empty.mkdir()
    (results / "thesis.txt").write_text("years")

    with pytest.raises(FileExistsError, match=r"other files \(thesis\.txt.*results'"):
        RecordIO().save_checkpoint({"state_dict": {}}, results)

    assert os.listdir(results) == ["thesis.txt"]
    for _ in range(2):
        RecordIO().save_checkpoint({"state_dict": {}}, empty)
    assert sorted(os.listdir(tmp_path)) == ["empty", "results"]


def test_a_kill_while_the_last_is_replaced_leaves_one_of_both(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def prepare() -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        RecordIO().save_checkpoint(tree(1), folder / "last")
        return lambda: RecordIO().save_checkpoint(tree(2), folder / "last")

    def tree(n: int) -> dict[str, Any]:
        return {"state_dict": {"w": torch.full((2,), float(n))}, "global_step": n}

    n_kills = 0
    for _ in killed_everywhere(prepare):
        n_kills += 1
        back = RecordIO().load_checkpoint(folder / "last")
        assert back["state_dict"]["w"].tolist() == [float(back["global_step"])] * 2
    assert n_kills > 10


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    tree = {"state_dict": {"w": torch.arange(100.0)}, "global_step": 3}
    RecordIO().save_checkpoint(tree, tmp_path / "last")
    data = bytearray((tmp_path / "last/model.mpk").read_bytes())
    data[-100] ^= 4
    (tmp_path / "last/model.mpk").write_bytes(data)

    with pytest.raises((RecordChecksumError, RecordFormatError), match=r"model\.mpk"):
        RecordIO().load_checkpoint(tmp_path / "last")


def tree_of(base: torch.Tensor, step: int) -> dict[str, Any]:
    weights = {"base": base, "head": torch.full((3,), float(step))}
    return {"global_step": step, "state_dict": weights}


def n_written(folder: Path) -> int:
    statuses = [file.stat() for file in folder.iterdir()]
    return sum(status.st_size for status in statuses if status.st_nlink == 1)


@pytest.mark.parametrize("wait", [True, False])
def test_what_is_unchanged_is_linked_and_each_folder_is_whole(
    wait: bool, tmp_path: Path
) -> None:
    base, writer = torch.randn(1 << 16), RecordIO(unchanged="link", wait=wait)
    for step in range(3):
        writer.save_checkpoint(tree_of(base, step), tmp_path / str(step))
    writer.finish()
    assert all(n_written(tmp_path / str(step)) < base.nbytes // 8 for step in (1, 2))

    writer.remove_checkpoint(tmp_path / "0")
    writer.remove_checkpoint(tmp_path / "1")
    loaded = RecordIO().load_checkpoint(tmp_path / "2")["state_dict"]
    assert torch.equal(loaded["base"], base)
    assert loaded["head"].tolist() == [2.0] * 3


def test_a_run_that_goes_on_links_to_what_it_loaded(tmp_path: Path) -> None:
    base = torch.randn(1 << 16)
    RecordIO().save_checkpoint(tree_of(base, 1), tmp_path / "1")
    writer = RecordIO(unchanged="link")
    writer.load_checkpoint(tmp_path / "1")
    writer.save_checkpoint(tree_of(base, 2), tmp_path / "2")

    assert n_written(tmp_path / "2") < base.nbytes // 8


def test_unchanged_is_write_or_link() -> None:
    with pytest.raises(ValueError, match="'write' or 'link', got 'copy'"):
        RecordIO(unchanged="copy")  # type: ignore[arg-type]  # a mistake
    with pytest.raises(ValueError, match="'write' or 'link', got 'copy'"):
        RecordCheckpoint(unchanged="copy")  # type: ignore[arg-type]  # a mistake


@pytest.mark.parametrize("is_root", [True, False])
@pytest.mark.parametrize("wait", [True, False])
def test_a_run_in_a_storage_resumes_and_keeps_the_newest_alone(
    is_root: bool, wait: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec: Any = pytest.importorskip("fsspec")
    monkeypatch.chdir(tmp_path)
    root = f"memory://lightning/{tmp_path.name}"
    loader: Any = DataLoader(TensorDataset(torch.ones(20, 10)), 5)

    def fit(n_epochs: int, resume: str | None, url: str) -> tuple[Plain, str]:
        torch.manual_seed(7)
        model = Plain(4)
        keeper = RecordCheckpoint(None if is_root else url, wait=wait)
        folder: Any = url if is_root else tmp_path
        run = trainer(folder, n_epochs, callbacks=[keeper])
        run.fit(model, loader, ckpt_path=resume)
        return model, keeper.best_model_path

    _, saved = fit(1, None, f"{root}/a")
    resumed, newest = fit(2, saved, f"{root}/a")
    uninterrupted, _ = fit(2, None, f"{root}/b")

    assert torch.equal(resumed.layer.weight, uninterrupted.layer.weight)
    assert newest.startswith(f"{root}/a")
    loaded = load_lightning(Plain, newest)
    assert torch.equal(loaded.layer.weight, resumed.layer.weight)
    storage = fsspec.filesystem("memory")
    files: list[str] = storage.find(f"/lightning/{tmp_path.name}/b")
    assert len({file.rpartition("/")[0] for file in files}) == 1
    assert not [*tmp_path.glob("memory*")]
    storage.rm("/lightning", recursive=True)


def test_links_to_a_storage_are_refused_before_anything_is_saved() -> None:
    checkpoints = RecordIO(unchanged="link")

    with pytest.raises(ValueError, match="hard links"):
        checkpoints.save_checkpoint({"state_dict": {}}, "memory://lightning/links")


def test_weights_that_a_forked_process_hands_back_are_a_file_that_lightning_reads(
    tmp_path: Path,
) -> None:
    weights, file = nn.BatchNorm1d(3).state_dict(), tmp_path / ".temp.ckpt"

    RecordIO().save_checkpoint(weights, file)

    for reader in (TorchCheckpointIO(), RecordIO()):
        read: Any = reader.load_checkpoint(file)
        assert read.keys() == weights.keys()
        assert all(torch.equal(read[name], weights[name]) for name in weights)
    RecordIO().remove_checkpoint(file)
    assert not file.exists()
