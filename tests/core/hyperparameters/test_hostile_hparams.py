"""No dictionary makes the reader of hyperparameters run what the dictionary names."""

import json
import reprlib
import subprocess
import sys
from pathlib import Path

import pytest

from .hostile_hparams import ALL  # a neighbour, not the package

WATCH = """
import json, sys, warnings
warnings.simplefilter("ignore")
sys.set_int_max_str_digits(0)
import torch, hostile_hparams
from burnish.core.hyperparameters.reader import from_hyperparameters
from burnish.core.errors import HyperparameterError
from burnish.core.hyperparameters import declared, hparams_class
from burnish.core.modules.classes import torch_classes
from burnish.config import errors
from burnish.config.classes import union_choice
from burnish.config.validation import validate

# What torch imports at its first layer, and the annotations of its own classes, are
# none of the dictionary's doing.
from_hyperparameters(hostile_hparams.LINEAR)
for cls in torch_classes():
    declared.argument_hints(cls)
seen, watching = [], False
FORBIDDEN = ("import", "open", "exec", "compile", "os.", "subprocess.", "socket.",
             "ctypes.", "pickle.", "shutil.", "marshal.", "webbrowser.", "code.")

def hook(event, args):
    if watching and event.startswith(FORBIDDEN):
        seen.append([event, repr(args)[:80]])

sys.addaudithook(hook)
results = []
for hparams in hostile_hparams.ALL:
    seen.clear()
    watching = True
    try:
        made = from_hyperparameters(hparams)
        result = "built " + type(made).__name__
    except HyperparameterError as error:
        result = "refused"
    except BaseException as error:
        result = "raised " + type(error).__name__
    watching = False
    results.append([result, list(seen)])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results() -> list[tuple[str, list[list[str]]]]:
    done = subprocess.run(
        [sys.executable, "-c", WATCH],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[tuple[str, list[list[str]]]] = json.loads(done.stdout)
    return found


def name(i: int) -> str:
    return f"{i}: {reprlib.repr(ALL[i])}"


def test_there_are_many_of_them() -> None:
    assert len(ALL) > 120


def test_each_is_refused(results: list[tuple[str, list[list[str]]]]) -> None:
    outcomes = {name(i): result for i, (result, _) in enumerate(results)}

    assert {k: v for k, v in outcomes.items() if v != "refused"} == {}


def test_none_imports_opens_or_runs_anything(
    results: list[tuple[str, list[list[str]]]],
) -> None:
    events = {name(i): seen for i, (_, seen) in enumerate(results) if seen}

    assert events == {}
