"""`burnish profile` writes the file that it announces."""

from pathlib import Path

import pytest
import torch

from burnish.cli import profile

from .runs import EXAMPLE_RUNS, words

torch.set_num_threads(1)


pytestmark = EXAMPLE_RUNS


def test_the_file_that_profile_announces_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert profile.main(words("run")) == 0

    file = Path(capsys.readouterr().out.split("profile: ")[1].strip())
    assert file.name == "profile.txt"
    assert "training_step" in file.read_text()
