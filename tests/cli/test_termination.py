"""SIGTERM ends a run with words and a status."""

import os
import signal
from pathlib import Path

import pytest
import torch

from burnish.cli import fit
from burnish.train.fit.history import History

from .runs import EXAMPLE_RUNS, FEW, words

torch.set_num_threads(1)


pytestmark = EXAMPLE_RUNS


@pytest.mark.parametrize("validations", [1, 2])
def test_sigterm_ends_a_run_with_a_word_on_its_checkpoint_and_143(
    validations: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    left = iter(range(validations - 1))

    def end_program(*_: object) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(History, "on_validation_end", end_program)
        status = fit.main(words("run", "max_epochs=3", *FEW))

    assert status == 143
    error = capsys.readouterr().err
    assert "error: burnish fit was ended by SIGTERM" in error
    assert "Traceback" not in error
    assert signal.getsignal(signal.SIGTERM) is before
    assert "ended by SIGTERM" in Path("run/report.html").read_text()
    has_saved = Path("run/checkpoints/last").exists()
    assert has_saved == (validations == 2)
    assert ("resume_from_checkpoint=" in error) == has_saved
    assert ("no checkpoint to resume from" in error) != has_saved
