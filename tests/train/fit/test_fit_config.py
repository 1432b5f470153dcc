"""What a run's file may say of Lightning's Trainer and of its loggers."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger

from burnish.config import ConfigError, load
from burnish.train.fit import run_fit
from burnish.train.fit.fit_config import LoggerHparams, TrainerHparams

NO_PLAIN_DATA = {"self", "callbacks", "plugins", "logger"}
OF_THE_RUN = {"default_root_dir", "enable_checkpointing"}
"""What the run's folder and the model's hyperparameters decide."""


def test_every_option_of_the_trainer_that_is_plain_data_may_be_set() -> None:
    options = {*inspect.signature(Trainer.__init__).parameters}

    assert options - NO_PLAIN_DATA - OF_THE_RUN <= {*TrainerHparams().to_dict()}


def test_the_defaults_make_a_trainer() -> None:
    options = TrainerHparams(accelerator="cpu", min_steps=3).options()

    assert Trainer(**options, logger=False).min_steps == 3


def test_what_an_older_lightning_does_not_know_is_left_out_if_it_is_a_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def old_init(self: Any, *, max_epochs: int = 1) -> None: ...

    monkeypatch.setattr(Trainer, "__init__", old_init)

    assert TrainerHparams().options() == {"max_epochs": 10}
    assert TrainerHparams(barebones=True).options()["barebones"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_time", {"hours": 2}),
        ("val_check_interval", "00:00:10:00"),
        ("overfit_batches", 2),
        ("reload_dataloaders_every_n_epochs", 3),
    ],
)
def test_options_keep_their_kind(field: str, value: Any) -> None:
    assert getattr(load(TrainerHparams, {field: value}), field) == value


def test_logs_may_stand_in_a_folder_of_their_own(tmp_path: Path) -> None:
    hparams = LoggerHparams(save_dir=str(tmp_path / "logs" / "all"))

    logger = run_fit.logger_of(hparams, tmp_path / "run")

    assert isinstance(logger, CSVLogger)
    assert Path(logger.log_dir).is_relative_to(tmp_path / "logs" / "all")


def test_weights_and_biases_get_their_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning.pytorch import loggers

    monkeypatch.setattr(loggers, "WandbLogger", lambda **options: options)
    hparams = LoggerHparams(
        kind="wandb",
        save_dir=str(tmp_path),
        log_model="all",
        offline=False,
        anonymous=True,
    )

    options = run_fit.logger_of(hparams, tmp_path / "run")

    assert options["save_dir"] == tmp_path
    assert (options["log_model"], options["anonymous"]) == ("all", True)


def test_the_report_of_a_run_says_what_has_no_length() -> None:
    parts: list[object] = [[0] * 1200, iter(()), None]
    sizes = [run_fit._size(part) for part in parts]  # pyright: ignore[reportPrivateUsage]

    assert sizes == ["1,200", "a stream of", "no"]


@pytest.mark.parametrize(
    ("key", "value"), [("devices", 0), ("devices", -2), ("strategy", "nope")]
)
def test_what_lightning_refuses_is_told_with_its_key(key: str, value: Any) -> None:
    options = TrainerHparams(accelerator="cpu", **{key: value}).options()

    with pytest.raises(ConfigError, match=rf"run_config\.trainer\.{key}: ") as caught:
        run_fit.new_trainer(options, logger=False)
    assert len(str(caught.value).splitlines()) == 1
