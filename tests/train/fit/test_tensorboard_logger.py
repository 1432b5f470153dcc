"""What is logged for TensorBoard within one second."""

import time
from pathlib import Path

import pytest

pytest.importorskip("tensorboardX")

from burnish.train.fit.tensorboard_logger import EventFilesLogger


@pytest.mark.parametrize("n_loggers", [1, 2])
def test_what_is_logged_later_in_the_same_second_leaves_what_was_logged(
    n_loggers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    loggers = [EventFilesLogger(tmp_path, name="logs", version="")] * 2
    if n_loggers == 2:
        loggers[1] = EventFilesLogger(tmp_path, name="logs", version="")
    for logger, name in zip(loggers, ("training/loss", "test/loss"), strict=True):
        logger.log_metrics({name: 1.0}, step=1)
        logger.finalize("success")

    files = [*(tmp_path / "logs").glob("events.out.*")]
    content = b"".join(file.read_bytes() for file in files)
    assert len(files) == 2
    assert b"training/loss" in content
    assert b"test/loss" in content
