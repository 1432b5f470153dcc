"""ARCHITECTURE.md names what is there, and its journeys are those of the code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("config", "records", "core", "optim", "train", "cli")
TEXT = (ROOT / "ARCHITECTURE.md").read_text()

_PROGRAM = """
import json, sys, tempfile
from pathlib import Path
import torch, burnish
from burnish.optim import AdamW
from burnish.train import Checkpoints

@burnish.module
class Net(torch.nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = torch.nn.Linear(width, width)
        self.second = torch.nn.Linear(width, 2)

    def forward(self, x):
        return self.second(self.first(x))

folder = Path(tempfile.mkdtemp())
file = folder / "net.mpk"
net, other = Net(), Net()
optim, other_optim = AdamW().bind(net, lr=1e-3), AdamW().bind(other, lr=1e-3)
checkpoints = Checkpoints(folder / "run")
root, visits, journeys = sys.argv[1], [], {}

def note(frame, event, argument):
    code = frame.f_code
    name = str(Path(code.co_filename).resolve())
    # An import runs the body of a file, which is no station yet.
    is_function = event == "call" and not code.co_name.startswith("<")
    if is_function and name.startswith(root) and name not in visits:
        visits.append(name)

def walk(journey, call):
    visits.clear()
    sys.setprofile(note)
    call()
    sys.setprofile(None)
    journeys[journey] = [name.removeprefix(root) for name in visits]

walk("save", lambda: net.save_record(file))
walk("load", lambda: Net.from_record(file))
net(torch.ones(1, 4)).sum().backward()
walk("step", optim.step)
walk(
    "configure and build",
    lambda: Net.blueprint().configure("second", bias=False).build(),
)
checkpoints.save(1, model=net, optim=optim)
walk("restore", lambda: checkpoints.restore(model=other, optim=other_optim))
print(json.dumps(journeys))
"""


@pytest.fixture(scope="module")
def visits() -> dict[str, list[str]]:
    """Return the files that each journey enters, in a process that is new to them."""
    process = subprocess.run(
        [sys.executable, "-c", _PROGRAM, f"{ROOT}/"],
        capture_output=True,
        text=True,
        check=True,
    )
    journeys: dict[str, list[str]] = json.loads(process.stdout)
    return journeys


JOURNEYS = dict(re.findall(r"^- \*\*(.+?)\*\* (.+)$", TEXT, re.MULTILINE))


@pytest.mark.parametrize(
    "journey", ["save", "load", "step", "configure and build", "restore"]
)
def test_a_journey_enters_its_stations_in_the_order_of_the_page(
    journey: str, visits: dict[str, list[str]]
) -> None:
    stations = re.findall(r"`([\w/]+\.py)`", JOURNEYS[journey])

    assert 3 <= len(stations) <= 6
    assert [file for file in visits[journey] if file in stations] == stations


def test_every_file_that_is_named_by_its_path_exists() -> None:
    for name in re.findall(r"`([\w/]+/\w+\.py)`", TEXT):
        assert (ROOT / name).exists(), name


def test_every_folder_is_named() -> None:
    for folder in FOLDERS:
        for package in (ROOT / folder).rglob("__init__.py"):
            assert f"`{package.parent.name}/`" in TEXT, package.parent


def test_the_page_stays_short_and_its_words_few() -> None:
    words = TEXT.partition("## Words")[2].partition("\n## ")[0]
    rows = [line for line in words.splitlines() if line.startswith("| ")]

    assert len(TEXT.splitlines()) <= 150
    assert len(rows) - 1 <= 15
