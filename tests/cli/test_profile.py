"""`burnish profile` writes the file that it announces."""

from pathlib import Path

import pytest
import torch

from burnish.cli import profile

from .runs import EXAMPLES, words

torch.set_num_threads(1)


pytestmark = [
    # Lightning's own use of a class that torch renamed.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
    # Lightning proposes more worker processes for every loader that has none.
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*:Warning"),
    # The folder of checkpoints and logs is not empty when a run is resumed.
    pytest.mark.filterwarnings("ignore:.*exists and is not empty.*:Warning"),
    # Hydra's parser of arguments is older than Python's newest.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:hydra"),
]


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_CONFIG_PATH", str(EXAMPLES))


def test_the_file_that_profile_announces_exists(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert profile.main(words("run")) == 0

    file = Path(capsys.readouterr().out.split("profile: ")[1].strip())
    assert file.name == "profile.txt"
    assert "training_step" in file.read_text()
