"""`burnish fit` logs for TensorBoard and for Weights & Biases, without network."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from burnish.cli.main import main
from burnish.train.fit.fit_config import LoggerHparams
from burnish.train.fit.run_fit import logger_of

from ...lightning_warnings import LIGHTNING_WARNINGS
from . import live_models

needs_tensorboard = pytest.mark.skipif(
    find_spec("tensorboardX") is None and find_spec("tensorboard") is None,
    reason="neither tensorboardX nor tensorboard is installed",
)
needs_wandb = pytest.mark.skipif(
    find_spec("wandb") is None, reason="wandb, 24 MB, is not installed"
)

pytestmark = [
    *LIGHTNING_WARNINGS,
    # Of Hydra's parser of arguments, of protobuf, of wandb and of what they import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FILE = f"""
model_config:
  module_name: {live_models.__name__}.Net
  checkpoint: null
data_config:
  module_name: {live_models.__name__}.DataOfNet
  loader: {{batch_size: 8}}
run_config:
  trainer: {{max_epochs: 1, accelerator: cpu, log_every_n_steps: 1}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(FILE)
    return tmp_path


def fit(*words: str) -> int:
    quiet = ["enable_progress_bar=false", "enable_model_summary=false"]
    return main(["fit", "--config-name", "net", *quiet, *words])


@needs_tensorboard
def test_tensorboard_has_every_metric_and_the_hyperparameters() -> None:
    assert fit("logger.kind=tensorboard", "hydra.run.dir=run") == 0

    content = b"".join(f.read_bytes() for f in Path("run/logs").glob("events.out.*"))
    assert b"training/loss" in content
    assert b"lr-" in content
    assert "width: 4" in Path("run/logs/hparams.yaml").read_text()


@needs_tensorboard
def test_tensorboard_has_each_run_of_a_sweep_in_its_own_folder() -> None:
    sweep = ["model_config.width=2,3", "hydra.sweep.dir=sweep", "-m"]

    assert fit("logger.kind=tensorboard", *sweep) == 0

    for run, width in (("0", 2), ("1", 3)):
        text = Path(f"sweep/{run}/logs/hparams.yaml").read_text()
        assert f"width: {width}" in text


@needs_wandb
def test_weights_and_biases_keep_each_run_of_a_sweep_apart_and_offline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    sweep = ["model_config.width=2,3", "hydra.sweep.dir=sweep", "-m"]

    assert fit("logger.kind=wandb", *sweep) == 0

    for run in ("0", "1"):
        [place] = Path(f"sweep/{run}/wandb").glob("offline-run-*")
        [log] = place.glob("*.wandb")
        assert b"training/loss" in log.read_bytes()


def test_checkpoints_are_not_sent_where_there_is_no_network() -> None:
    hparams = LoggerHparams(kind="wandb", log_model="all")

    with pytest.raises(ValueError, match=r"log_model=all.*offline=false"):
        logger_of(hparams, Path())
