"""The wheel works beside what it asks for and nothing else, alone and with each extra.

The environments hold links to the packages of this one, so that nothing is downloaded.
"""

import re
import subprocess
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from .test_packaging import build

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

CORE = """
import burnish, torch
from burnish.config import Hparams, dump, load
from burnish.optim import AdamW
from torch import nn

class Net(burnish.Module):
    def __init__(self, width=4):
        super().__init__()
        self.layer = nn.Linear(width, width)

class Config(Hparams):
    lr: float = 0.1

net = Net(width=3)
for suffix in ("mpk", "mpk.zst", "json", "safetensors", "bpk"):
    net.save_record(f"net.{suffix}")
    burnish.load_record(net, f"net.{suffix}")
assert Net.from_record("net.mpk").layer.in_features == 3
optim = AdamW().bind(net, lr=0.1)
net.layer(torch.ones(1, 3)).sum().backward()
optim.step()
optim.save_record("optim.mpk")
optim.load_record("optim.mpk")
run = burnish.Checkpoints("run")
run.save(1, model=net, optim=optim, rng=True)
assert run.restore(model=net, optim=optim, rng=True) == 1
for suffix in ("json", "ron"):
    dump(Config(lr=0.2), f"config.{suffix}")
    assert load(Config, f"config.{suffix}").lr == 0.2
"""

WITHOUT = {
    "yaml": "from burnish.config import loads; loads(dict, 'a: 1', format='yaml')",
    "train": "from burnish.train import Model",
    "plot": (
        "from burnish.config.schedule import Schedule, plot\n"
        "plot(Schedule.parse('step: 1@0 lin 0@9'))"
    ),
}
"""What needs an extra, and says which."""

WITH = {
    **WITHOUT,
    "train": "from burnish.train import Model, RecordCheckpoint; import hydra",
    "hub": "from huggingface_hub import snapshot_download",
    "wandb": "import wandb",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build("wheel", ROOT, folder)) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_alone_it_saves_loads_and_steps_and_names_the_extra_of_what_it_lacks(
    wheel: Path, tmp_path: Path
) -> None:
    python = environment(wheel, tmp_path, extra="")

    done = run(python, tmp_path, CORE)
    assert done.returncode == 0, done.stderr
    for extra, code in WITHOUT.items():
        assert f"pip install 'burnish[{extra}]'" in run(python, tmp_path, code).stderr


@pytest.mark.parametrize("extra", EXTRAS)
def test_with_one_extra_alone_its_feature_works(
    wheel: Path, tmp_path: Path, extra: str
) -> None:
    try:
        python = environment(wheel, tmp_path, extra)
    except PackageNotFoundError as missing:
        pytest.skip(f"{missing} is not installed here")

    done = run(python, tmp_path, WITH[extra])

    assert done.returncode == 0, done.stderr


def environment(wheel: Path, folder: Path, extra: str) -> Path:
    """Return the interpreter of an environment with the wheel and what it asks for."""
    packages = folder / "packages"
    packages.mkdir()
    asked = list(PROJECT["dependencies"]) + EXTRAS.get(extra, [])
    for package in needed(asked):
        for file in package.files or ():
            top = Path(str(package.locate_file(file.parts[0])))
            place = packages / top.name
            if file.parts[0] not in ("..", "__pycache__") and not place.exists():
                place.symlink_to(top)
    venv.create(folder / "venv")
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(f"{wheel}\n{packages}\n")
    return folder / "venv/bin/python"


def needed(requirements: list[str]) -> Iterator[Distribution]:
    """Yield the packages of this environment that ``requirements`` lead to."""
    todo, seen = [Requirement(text) for text in requirements], set()
    while todo:
        requirement = todo.pop()
        key = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if (key, *sorted(requirement.extras)) in seen:
            continue
        seen.add((key, *sorted(requirement.extras)))
        package = distribution(key)
        yield package
        for text in package.requires or ():
            further = Requirement(text)
            extras = ["", *requirement.extras]
            if further.marker is None or any(
                further.marker.evaluate({"extra": extra}) for extra in extras
            ):
                todo.append(further)


def run(python: Path, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-c", code],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
