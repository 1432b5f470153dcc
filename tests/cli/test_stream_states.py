"""Every subcommand with every state of its streams: the verdict, and nothing lost."""

import os
import sys
from pathlib import Path

import pytest
from torch import nn

from burnish import save_record
from burnish.cli import main as cli_main
from burnish.cli.main import COMMANDS

from .stream_states import STATES, ending

CONFIG = """\
from burnish.config import Hparams

class Config(Hparams):
    n: int = 1

class Other(Hparams):
    größe: int
    n: str = "1"

Long = type("Long", (Hparams,), {
    "__annotations__": {f"field_{i}": int for i in range(150)}, "__module__": __name__
})
"""

pytest.importorskip("hydra")

LINES: dict[str, tuple[int, list[str]]] = {
    "help": (0, ["--help"]),
    "no command": (2, []),
    "help of fit": (0, ["fit", "--help"]),
    "dump": (0, ["schema", "dump", "states_conf.py:Config", "new.ron"]),
    "check, fits": (0, ["schema", "check", "states_conf.py:Config", "old.ron"]),
    "check, differs": (1, ["schema", "check", "states_conf.py:Other", "old.ron"]),
    "check, at length": (1, ["schema", "check", "states_conf.py:Long", "old.ron"]),
    "upgrade schema": (0, ["schema", "upgrade", "states_conf.py:Config", "old.ron"]),
    "upgrade-config": (
        2,
        ["schema", "upgrade-config", "states_conf.py:Config", "a.json", "gone.json"],
    ),
    "dump of a module": (0, ["schema", "dump", "states_net.py:Net", "new.json"]),
    "upgrade": (0, ["upgrade", "-m", "states_net.py:Net", "net.mpk"]),
    "set, no run": (2, ["set", "gone", "lr=1"]),
    "fit, no file": (2, ["fit", "--config-path", ".", "--config-name", "gone"]),
    "show": (0, ["show", "net.mpk"]),
    "diff of one": (0, ["diff", "net.mpk", "net.mpk"]),
    "convert": (0, ["convert", "net.mpk", "net.json", "--force"]),
    "shard": (0, ["shard", "net.mpk", "parts", "--parts", "2", "--force"]),
    "consolidate, no folder": (2, ["consolidate", "gone", "out.mpk"]),
    "verify": (0, ["verify", "net.mpk"]),
    "schedule": (0, ["schedule", "step: 0.1@0 cos 0.0@10"]),
    "help of doctor": (0, ["doctor", "--help"]),
    "completion": (0, ["completion", "bash"]),
    "profile, no file": (2, ["profile", "--config-path", ".", "--config-name", "x"]),
}
"""Each line of words, and the exit status that it ends with."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "states_conf.py").write_text(CONFIG, encoding="utf-8")
    (folder / "states_net.py").write_text("from torch.nn import Identity as Net\n")
    (folder / "a.json").write_text('{"n": 2}')
    save_record(nn.Identity(), folder / "net.mpk")
    monkeypatch.chdir(folder)
    assert cli_main.main(["schema", "dump", "states_conf.py:Config", "old.ron"]) == 0
    return folder


def test_the_lines_have_every_subcommand() -> None:
    assert {words[0] for _, words in LINES.values() if words} >= set(COMMANDS)


def remove_new_files(folder: Path) -> None:
    for file in folder.glob("new.*"):
        file.unlink()


@pytest.mark.parametrize("line", LINES)
def test_the_verdict_and_the_files_do_not_depend_on_the_streams(
    line: str, folder: Path
) -> None:
    expected, words = LINES[line]
    # So that all that it imports is imported here, and not in each of ten processes.
    cli_main.main(words)
    remove_new_files(folder)
    usual = ending(words, "as usual", folder)
    assert usual.status == expected, usual.errors
    made = usual.files

    for state in STATES:
        if state.startswith("a full disk") and not os.path.exists("/dev/full"):
            continue
        remove_new_files(folder)

        found = ending(words, state, folder)

        is_lost = state == "a full disk" and usual.output
        assert found.status == (2 if is_lost else expected), (state, found.errors)
        assert found.files == made, state
        assert "Traceback" not in found.errors, (state, found.errors)
        if is_lost:
            assert "the output cannot be written" in found.errors
        if state in ("no input", "no terminal", "no output", "the reader has gone"):
            assert found.errors == usual.errors, state
        if state in ("no input", "no terminal", "no errors", "a full disk for errors"):
            assert found.output == usual.output, state
