"""All processes of a run begin with the same, or are refused."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import RecordFormatError
from burnish.train import Checkpoints, HyperState

from ...forked_processes import in_two_processes
from .states import Config, State, begin

torch.set_num_threads(1)


@dataclass
class Other:
    width: int = 3


@dataclass
class Drawn:
    seed: int = field(default_factory=lambda: int(torch.randint(1 << 30, ())))


@dataclass
class Counter:
    step: int = 0


def same_name() -> Any:
    """Return a class that is called as another one, and has another field."""

    @dataclass
    class Config:
        width: float = 3.0

    Config.__qualname__ = "Config"
    return Config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"config_cls": Other},
            "config_cls Other, and process 0 with config_cls Config",
        ),
        ({"config_cls": same_name()}, "width: float, and process 0 with"),
        (
            {"state_cls": Counter},
            "state_cls Counter, and process 0 with state_cls State",
        ),
        ({"wait": False}, "wait False, and process 0 with wait True"),
        ({"on_signal": signal.SIGUSR1}, "on_signal .*, and process 0 with on_signal N"),
        ({"overrides": ["width=4"]}, r"overrides \['width=4'\], and process 0 with"),
        ({"every": 2}, "every 2, and process 0 with every 1"),
        ({"checkpoint_key": "n"}, "checkpoint_key n, and process 0"),
        ({"checkpoint_dir": None}, "checkpoint_dir no, and process 0"),
    ],
)
def test_processes_that_ask_for_different_runs_are_all_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        arguments: dict[str, Any] = {
            "config_cls": Config,
            "state_cls": State,
            "initial_state": begin,
            "checkpoint_dir": tmp_path / "run",
            "rng": False,
            **(change if rank else {}),
        }
        with pytest.raises(
            ValueError, match=f"^process 1 loads the run with .*{words}"
        ):
            HyperState.load(**arguments)

    in_two_processes(act, tmp_path / "processes")
    assert not (tmp_path / "run").exists()


def test_an_argument_that_is_wrong_on_one_process_is_an_error_on_all(
    tmp_path: Path,
) -> None:
    def act(rank: int) -> None:
        cls: Any = Config() if rank else Config
        with pytest.raises(TypeError, match=r"expected a config class"):
            HyperState.load(cls, State, begin)

    in_two_processes(act, tmp_path)


def test_the_config_of_the_first_process_is_that_of_all(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("width: 5\n")

    def act(rank: int) -> None:
        path = file if rank == 0 else tmp_path / "nowhere.yaml"
        drawn = HyperState.load(Drawn, Counter, lambda _: Counter())
        read = HyperState.load(Config, State, begin, path)

        seeds = torch.tensor([drawn.config.seed])
        torch.distributed.broadcast(seeds, 0)
        assert int(seeds) == drawn.config.seed
        assert read.config.width == 5

    in_two_processes(act, tmp_path / "processes")


def test_a_path_that_is_missing_is_missed_on_all(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
            HyperState.load(Config, State, begin, tmp_path / "nowhere")

    in_two_processes(act, tmp_path)


@dataclass
class Epochs:
    epoch: int = 0


def test_a_run_that_begins_beside_checkpoints_of_another_key_warns(
    tmp_path: Path,
) -> None:
    def count() -> Epochs:
        run = HyperState.load(
            Other,
            Epochs,
            lambda _: Epochs(),
            checkpoint_dir=tmp_path,
            checkpoint_key="epoch",
        )
        run.state.epoch += 1
        run.step()
        return run.state

    earlier = HyperState.load(Other, Counter, lambda _: Counter(7), None, tmp_path)
    for _ in range(2):
        earlier.state.step += 1
        earlier.step()

    with pytest.warns(RuntimeWarning, match=r"latest-step000000000009.*'epoch'"):
        count()

    assert count() == Epochs(2)


def test_a_folder_of_checkpoints_that_somebody_else_writes_is_told(
    tmp_path: Path,
) -> None:
    def load(folder: Path) -> Any:
        return HyperState.load(Other, Counter, lambda _: Counter(7), None, folder)

    Checkpoints(tmp_path / "plain").save(3, stop={"patience": 3})
    load(tmp_path / "run").save()

    with pytest.raises(RecordFormatError, match=r"of burnish\.Checkpoints"):
        load(tmp_path / "plain")
    with pytest.raises(RecordFormatError, match="of HyperState"):
        Checkpoints(tmp_path / "run").restore(stop={})
