"""The first example of every page, as type checkers see it beside the installed wheel.

Nothing of this repository's settings counts: a user has none of them.
"""

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

OTHERS = ["import-untyped", "no-untyped-call"]
"""What mypy --strict says of scikit-learn, and of torch's ``backward``."""

MEMBERS = """
from typing import assert_type
import torch
from torch import nn
import burnish
from burnish.core.blueprint import Blueprint
from burnish.records import FlatRecord, LoadReport

class Net(burnish.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

net = Net(width=3)
assert_type(net.save_record(), bytes)
assert_type(net.load_record("net.mpk"), LoadReport)
assert_type(Net.from_record("net.mpk"), Net)
assert_type(Net.from_record("net.mpk").layer, nn.Linear)
assert_type(Net.blueprint(width=4), Blueprint[Net])
assert_type(Net.blueprint(width=4).build(), Net)
assert_type(net.into_record(), FlatRecord)

@burnish.module
class Decorated(nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

assert_type(Decorated(width=3), Decorated)
assert_type(burnish.save_record(Decorated()), bytes)
assert_type(burnish.load_record(Decorated(), "net.mpk"), LoadReport)
assert_type(burnish.from_record(Decorated, "net.mpk"), Decorated)
assert_type(burnish.from_record(lambda: Decorated(3), "net.mpk"), Decorated)
assert_type(Blueprint(Decorated, width=4).build(), Decorated)
"""
"""What editors complete: the types behind each name, of both kinds of classes."""

MISTAKES = """
import burnish
class Net(burnish.Module):
    pass
Net().save_recrod("net.mpk")
Net.from_record(1.5)
@burnish.module
class Decorated(burnish.Module):
    def __init__(self, width: int) -> None: ...
Decorated(width="3")
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the interpreter of an environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("user")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    subprocess.run(
        [*build, str(folder / "dist")], cwd=ROOT, check=True, capture_output=True
    )
    venv.create(folder / "venv")
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    with zipfile.ZipFile(next((folder / "dist").iterdir())) as wheel:
        wheel.extractall(site)
    # Its dependencies are those of the tests, but for the editable installation.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return str(folder / "venv" / "bin" / "python")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file for the first example of each page."""
    folder = tmp_path_factory.mktemp("examples")
    for page in PAGES:
        code = re.search(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)
        if code is not None:
            (folder / f"{page.stem.lower()}.py").write_text(code[1])
    (folder / "members.py").write_text(MEMBERS)
    return folder


def mypy(python: str, *files: Path) -> str:
    """Return what mypy --strict says of ``files``."""
    folder = files[0].parent
    switches = [f"--disable-error-code={code}" for code in OTHERS]
    interpreter = f"--python-executable={python}"
    return output(
        folder,
        str(BIN / "mypy"),
        "--strict",
        "--config-file=",
        f"--cache-dir={Path(python).parents[2] / 'cache'}",
        interpreter,
        *switches,
        *map(str, files),
    )


def output(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_readme_and_the_first_pages_are_among_the_examples(examples: Path) -> None:
    names = {file.stem for file in examples.iterdir()}

    assert {"readme", "index", "start", "records", "blueprints", "optimizers"} <= names


def test_the_examples_pass_mypy_strict(python: str, examples: Path) -> None:
    assert "Success" in mypy(python, *sorted(examples.glob("*.py")))


def test_the_examples_pass_pyright(python: str, examples: Path) -> None:
    command = str(BIN / "pyright"), f"--pythonpath={python}", "."

    assert "0 errors, 0 warnings" in output(examples, *command)


def test_a_misspelt_method_and_a_wrong_argument_are_found(
    python: str, tmp_path: Path
) -> None:
    (tmp_path / "mistakes.py").write_text(MISTAKES)

    text = mypy(python, tmp_path / "mistakes.py")

    for line in (5, 6, 10):
        assert f"mistakes.py:{line}: error" in text
    assert "Found 3 errors" in text
