"""Under a strategy that spreads a module, each process writes and reads its shares."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.utils.data import DataLoader, TensorDataset

from burnish.records import RecordError, open_record
from burnish.train import RecordCheckpoint

from ...forked_processes import in_processes
from ...sharded_nets import needs_sharding, plain_net, whole_values
from .models import SHORT_RUNS

pytestmark = [needs_sharding, *SHORT_RUNS, pytest.mark.filterwarnings("ignore")]


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = plain_net()

    def configure_model(self) -> None:
        from torch.distributed.fsdp import fully_shard

        if not hasattr(self.net[0].weight, "device_mesh"):
            mesh: Any = self.device_mesh
            fully_shard(self.net, mesh=mesh["data_parallel"])

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss: torch.Tensor = self.net(batch[0]).square().mean()
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


def fit(
    folder: Path | str, n_epochs: int, resumed: str | None = None, **options: Any
) -> tuple[Net, str]:
    distributed = options.pop("save_distributed_checkpoint", True)
    callback = RecordCheckpoint(dirpath=folder, save_last=True, **options)
    strategy = ModelParallelStrategy(
        data_parallel_size=torch.distributed.get_world_size(),
        tensor_parallel_size=1,
        save_distributed_checkpoint=distributed,
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=torch.distributed.get_world_size(),
        strategy=strategy,
        max_epochs=n_epochs,
        callbacks=[callback],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    net = Net()
    batches = DataLoader(TensorDataset(torch.arange(48.0).reshape(8, 6) / 48), 4)
    trainer.fit(net, batches, ckpt_path=resumed)
    return net, callback.last_model_path


def launched(monkeypatch: pytest.MonkeyPatch, rank: int, n: int = 2) -> None:
    for name, value in (("LOCAL_RANK", rank), ("RANK", rank), ("WORLD_SIZE", n)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("NODE_RANK", "0")


def test_shares_go_to_a_storage_and_the_newest_alone_stays(
    disk_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(rank: int) -> None:
        launched(monkeypatch, rank)
        _, path = fit(disk_url, 1, wait=False)
        again, newest = fit(disk_url, 2, resumed=path)
        whole, _ = fit(tmp_path / "whole", 2)

        expected = whole_values(whole)
        for name, values in whole_values(again).items():
            assert torch.equal(values, expected[name]), name
        assert newest.startswith("disk://runs/run/")

    in_processes(act, tmp_path / "processes", 2)

    manifests = [*tmp_path.glob("disk/runs/run/*/checkpoint.json")]
    parts = [*tmp_path.glob("disk/runs/run/*/model.*/part-*")]
    assert len(parts) == 2 * len(manifests)


@pytest.mark.parametrize(
    "options", [{}, {"wait": False}, {"save_distributed_checkpoint": False}]
)
def test_a_run_goes_on_to_the_bit(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(rank: int) -> None:
        launched(monkeypatch, rank)
        _, path = fit(tmp_path / "run", 1, **options)
        again, _ = fit(tmp_path / "again", 2, resumed=path, **options)
        whole, _ = fit(tmp_path / "whole", 2, **options)

        expected = whole_values(whole)
        for name, values in whole_values(again).items():
            assert torch.equal(values, expected[name]), name

    in_processes(act, tmp_path / "processes", 2)

    is_folder = options.get("save_distributed_checkpoint", True)
    assert (tmp_path / "run/last/model").is_dir() == is_folder
    assert not [*tmp_path.glob("run/**/*.distcp")]


def test_other_numbers_of_processes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(rank: int) -> None:
        launched(monkeypatch, rank)
        fit(tmp_path / "run", 1)

    def go_on(rank: int) -> None:
        launched(monkeypatch, rank, 3)
        fit(tmp_path / "more", 2, resumed=str(tmp_path / "run/last"))

    in_processes(act, tmp_path / "before", 2)
    in_processes(go_on, tmp_path / "after", 3)

    record = open_record(tmp_path / "more/last/model")
    assert record.to_state_dict()["net.0.weight"].shape == (7, 6)


def test_damage_in_one_share_is_the_error_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(rank: int) -> None:
        launched(monkeypatch, rank)
        _, path = fit(tmp_path / "run", 1)
        if rank == 0:
            part = sorted(Path(path).glob("model/part-*"))[1]
            data = bytearray(part.read_bytes())
            data[len(data) // 2] ^= 64
            part.write_bytes(data)
        torch.distributed.barrier()
        with pytest.raises(RecordError):
            fit(tmp_path / "again", 2, resumed=path)

    in_processes(act, tmp_path / "processes", 2)
