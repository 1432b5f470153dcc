"""Configurations of short runs, and a run that fails."""

from pathlib import Path

import pytest

from ..lightning_warnings import LIGHTNING_WARNINGS

FEW = ["limit_train_batches=2", "log_every_n_steps=1"]


EXAMPLES = Path(__file__).parent.parent.parent / "examples/training"

EXAMPLE_RUNS = [
    pytest.mark.usefixtures("folder_with_examples"),
    *LIGHTNING_WARNINGS,
    # Hydra's parser of arguments is older than Python's newest.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:hydra"),
]


def words(folder: str, *more: str) -> list[str]:
    short = ["enable_progress_bar=false", "enable_model_summary=false"]
    name = [] if "--config-name" in more else ["--config-name", "digits"]
    return [*name, f"hydra.run.dir={folder}", *short, *more]


FAILING = """
import torch
from burnish.train import DataHparams, DataModule, Model, ModelHparams

class Hparams(ModelHparams):
    fails_in: str = "nothing"

class Net(Model[Hparams]):
    def __init__(self, hparams):
        super().__init__(hparams)
        self.layer = torch.nn.Linear(4, 2)
        if self.thparams.fails_in == "init":
            raise LookupError("no such thing")

    def training_step(self, batch, i):
        if self.thparams.fails_in == "os":
            open("weights.bin")
        part = batch[:, :3] if self.thparams.fails_in == "step" else batch
        return self.layer(part).sum()

    def validation_step(self, batch, i):
        pass

class Data(DataModule[DataHparams]):
    def get_dataset(self):
        return torch.ones(8, 4)
"""


FAILING_FILE = """
model_config:
  module_name: failing_net.Net
  fails_in: nothing
  checkpoint: null
  optimizer: {module_name: torch.optim.SGD, kwargs: {lr: 0.1}}
data_config: {module_name: failing_net.Data, loader: {batch_size: 4}}
run_config:
  trainer: {max_epochs: 1, accelerator: cpu, log_every_n_steps: 1}
"""
