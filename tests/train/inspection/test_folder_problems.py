"""What folders lack as wholes, whatever their records are."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.cli.main import main
from burnish.train import Checkpoints, HyperState
from burnish.train.inspection.folder_problems import problems_in
from burnish.train.inspection.stored_files import files_of, walk_with_links


class Net(burnish.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))


@dataclass
class Config:
    lr: float = 0.1


@dataclass
class State:
    step: int
    net: Net
    optim: torch.optim.Optimizer


def begin(config: Config) -> State:
    net = Net()
    return State(0, net, torch.optim.SGD(net.parameters(), lr=config.lr))


def make_run(folder: Path) -> None:
    net = Net()
    runs = Checkpoints(folder)
    for step in (1, 2):
        runs.save(step, model=net, rng=True)


def make_state(folder: Path) -> None:
    run = HyperState.load(Config, State, begin, checkpoint_dir=folder)
    run.state.step += 1
    run.step()


def make_pretrained(folder: Path) -> None:
    burnish.save_pretrained(Net(), folder, max_shard_size="200B")


def make_parts(folder: Path) -> None:
    file = folder.with_suffix(".mpk")
    burnish.save_record(Net(), file)
    assert main(["shard", str(file), str(folder), "--parts", "2"]) == 0


MAKE: dict[str, Callable[[Path], None]] = {
    "run": make_run,
    "state": make_state,
    "pretrained": make_pretrained,
    "parts": make_parts,
}

MAY_BE_GONE = {"digests.txt", "config.json"}
"""What older folders have not, and what the weights say as well."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folders")
    for name, make in MAKE.items():
        make(root / name)
    return root


@pytest.fixture(params=MAKE)
def folder(request: pytest.FixtureRequest, folders: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders / request.param, tmp_path / request.param))


def files_in(folder: Path) -> list[Path]:
    return [Path(at, name) for at, _, names in os.walk(folder) for name in names]


def problems_of(folder: Path) -> list[tuple[str, str]]:
    rows = walk_with_links(str(folder))
    return [problem for row in rows for problem in problems_in(row)]


def test_a_whole_folder_has_no_problem(folder: Path) -> None:
    assert not problems_of(folder)
    assert main(["verify", str(folder)]) == 0


def test_a_file_that_is_gone_empty_or_cut_off_is_found(folder: Path) -> None:
    for file in files_in(folder):
        content = file.read_bytes()

        file.unlink()
        assert (main(["verify", str(folder)]) == 0) is (file.name in MAY_BE_GONE), file
        file.write_bytes(b"")
        assert main(["verify", str(folder)]) == 1, file
        if file.suffix != ".txt":
            file.write_bytes(content[: len(content) // 2])
            assert main(["verify", str(folder)]) == 1, file
        file.write_bytes(content)


@pytest.mark.parametrize("folder", ["state"], indirect=True)
def test_a_record_of_another_checkpoint_is_told(folder: Path) -> None:
    (newest,) = folder.glob("latest-*")
    Net().save_record(newest / "state.net.mpk")

    ((file, text),) = problems_of(folder)

    assert file == str(newest / "state.net.mpk")
    assert "not the file that was saved with this checkpoint" in text


@pytest.mark.parametrize("name", ["x.json", "x.mpk", "x.safetensors", "index.mpk"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda p: os.symlink("/dev/zero", p)])
def test_a_record_that_would_never_end_is_told_and_not_waited_for(
    make: Callable[[Path], None],
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path / name)

    assert main(["verify", str(tmp_path)]) != 0

    said = "".join(capsys.readouterr())
    assert "found a named pipe" in said or "found a device" in said


def test_a_folder_in_place_of_the_configuration_is_told(tmp_path: Path) -> None:
    make_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").mkdir()

    assert [file for file, _ in problems_of(tmp_path)] == [
        str(tmp_path / "config.json")
    ]


def test_a_manifest_of_another_step_than_the_folder_names_is_told(
    tmp_path: Path,
) -> None:
    make_run(tmp_path)
    first, second = (tmp_path / f"step{n:012}" / "checkpoint.json" for n in (1, 2))
    shutil.copy(first, second)

    texts = [text for _, text in problems_of(tmp_path)]

    assert any("the manifest of step 1, expected that of step 2" in t for t in texts)
    assert main(["verify", str(tmp_path)]) == 1


@pytest.mark.parametrize("folder", ["state"], indirect=True)
def test_a_record_that_the_state_names_is_missed_without_digests_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    folder = Path(folder.name)
    (newest,) = folder.glob("latest-*")
    (newest / "digests.txt").unlink()
    (newest / "state.optim.mpk").unlink()

    assert [file for file, _ in problems_of(folder)] == [
        str(newest / "state.optim.mpk")
    ]


def test_a_checkpoint_of_lightning_has_its_manifest(tmp_path: Path) -> None:
    for name in ("model", "training"):
        burnish.save_record(Net(), tmp_path / f"{name}.mpk")

    ((place, text),) = problems_of(tmp_path)

    assert place == str(tmp_path)
    assert "without checkpoint.json" in text


def test_what_links_lead_to_is_verified_and_nothing_twice(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    for place in (folder / "a", other):
        place.mkdir(parents=True)
        burnish.save_record(Net(), place / "net.mpk")
    (folder / "again").symlink_to("a")
    (folder / "round").symlink_to(".")
    (folder / "other").symlink_to(other)

    assert files_of(str(folder)) == [
        str(folder / "a" / "net.mpk"),
        str(folder / "other" / "net.mpk"),
    ]
    (other / "net.mpk").write_bytes(b"")
    assert main(["verify", str(folder)]) == 1


def test_a_link_that_leads_nowhere_is_a_missing_record(tmp_path: Path) -> None:
    burnish.save_record(Net(), tmp_path / "net.mpk")
    (tmp_path / "other.mpk").symlink_to("gone.mpk")

    assert main(["verify", str(tmp_path)]) == 2


def test_a_folder_that_cannot_be_read_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        burnish.save_record(Net(), tmp_path / name / "net.mpk")
    shut = str(tmp_path / "shut")
    scandir = os.scandir

    def refusing(path: str = ".") -> Any:
        # Root may read what others may not.
        if os.fspath(path) == shut:
            raise PermissionError(errno.EACCES, "Permission denied", shut)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setenv("COLUMNS", "400")  # a long path would break the line

    assert main(["verify", str(tmp_path)]) == 2
    assert f"{shut}: unreadable" in capsys.readouterr().out
