"""Every subcommand with bad input: an exit status, words, and never a traceback."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from burnish import save_record
from burnish.cli.main import COMMANDS, main

CONFIG = """\
from burnish.config import Hparams

class Config(Hparams):
    n: int = 1
"""

LINES: dict[str, list[str]] = {
    "schema dump": ["schema", "dump", "BAD", "out.ron"],
    "schema dump to": ["schema", "dump", "conf_of_table.py:Config", "BAD"],
    "schema check": ["schema", "check", "conf_of_table.py:Config", "BAD"],
    "schema upgrade": ["schema", "upgrade", "conf_of_table.py:Config", "BAD"],
    "schema upgrade-config": [
        "schema",
        "upgrade-config",
        "conf_of_table.py:Config",
        "BAD",
    ],
    "schema check, module": ["schema", "check", "net_of_table.py:Net", "BAD"],
    "schema --hparams": [
        "schema",
        "dump",
        "net_of_table.py:Net",
        "out.json",
        "--hparams",
        "BAD",
    ],
    "upgrade": ["upgrade", "BAD"],
    "upgrade -m": ["upgrade", "-m", "net_of_table.py:Net", "BAD"],
    "upgrade -m of": ["upgrade", "-m", "BAD:Net", "good.mpk"],
    "fit": ["fit", "--config-path", ".", "--config-name", "BAD"],
    "fit in": ["fit", "--config-path", "BAD", "--config-name", "x"],
    "profile": ["profile", "--config-path", ".", "--config-name", "BAD"],
    "profile in": ["profile", "--config-path", "BAD", "--config-name", "x"],
    "set": ["set", "BAD", "lr=1"],
    "diff": ["diff", "BAD", "good.mpk"],
    "diff with": ["diff", "good.mpk", "BAD", "--json"],
    "completion": ["completion", "BAD"],
    "convert": ["convert", "BAD", "out.json"],
    "convert, folder": ["convert", "BAD", "good.mpk", "out/"],
    "consolidate": ["consolidate", "BAD", "out.mpk"],
    "shard": ["shard", "BAD", "parts", "--parts", "2"],
    "doctor": ["doctor", "BAD"],
    "schedule": ["schedule", "BAD"],
    "verify": ["verify", "BAD"],
    "verify --json": ["verify", "BAD", "--strict", "--json"],
    "repair": ["verify", "BAD", "--repair-from", "good.mpk", "--out", "new.mpk"],
    "repair from": ["verify", "good.mpk", "--repair-from", "BAD", "--out", "new.mpk"],
    "show": ["show", "BAD"],
    "show --stats --json": ["show", "BAD", "--stats", "--json"],
}
"""A line of words for each file that a subcommand takes."""


def a_folder(file: Path) -> None:
    file.mkdir()


def garbage(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 40)


def no_bytes(file: Path) -> None:
    file.touch()


def nothing(file: Path) -> None:
    pass


def other_format(file: Path) -> None:
    save_record(nn.Linear(2, 2), file.with_suffix(".safetensors"))
    file.with_suffix(".safetensors").rename(file)


def other_data(file: Path) -> None:
    file.write_text("[1, {2: [}")


def a_pipe(file: Path) -> None:
    os.mkfifo(file)


def loop(file: Path) -> None:
    file.symlink_to(file.name)


def unreadable(file: Path) -> None:
    file.write_text("{}")
    file.chmod(0)


BAD: dict[str, tuple[str, Callable[[Path], None]]] = {
    "missing": ("bad.ron", nothing),
    "a folder": ("bad.ron", a_folder),
    "binary": ("bad.yaml", garbage),
    "binary record": ("bad.mpk", garbage),
    "binary Python": ("bad.py", garbage),
    "empty": ("bad.json", no_bytes),
    "empty record": ("bad.mpk", no_bytes),
    "another format": ("bad.ron", other_format),
    "other data": ("bad.yaml", other_data),
    "a named pipe": ("bad.ron", a_pipe),
    "a link to itself": ("bad.json", loop),
    "no permission": ("bad.json", unreadable),
    "a huge name": ("b" * 200_000, nothing),
    "a name of NUL": ("a\0b", nothing),
    "a name of no text": ("a\udcffb.json", nothing),
    "a name of escapes": ("a\x1b[31m\u202eb.mpk", garbage),
    "no name": ("", nothing),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "conf_of_table.py").write_text(CONFIG)
    (tmp_path / "net_of_table.py").write_text("from torch.nn import Identity as Net\n")
    save_record(nn.Linear(2, 2), tmp_path / "good.mpk")
    return tmp_path


def test_the_table_has_every_subcommand() -> None:
    assert {words[0] for words in LINES.values()} == set(COMMANDS)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("line", LINES)
def test_bad_input_ends_in_words_and_a_status(
    line: str, bad: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make = BAD[bad]
    if bad == "no permission" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    make(folder / name)
    words = [word.replace("BAD", name) for word in LINES[line]]

    status = main(words)

    told = capsys.readouterr()
    # A schema replaces what was there, and a record is known by its content.
    may_succeed = line == "schema dump to" or bad == "another format"
    is_written = may_succeed and status == 0
    assert status in (1, 2) or is_written
    assert is_written or told.err.strip() or told.out.strip()
    assert "Traceback" not in told.err
    assert not {*"\x1b\u202e"} & {*told.err, *told.out}
    assert len(told.err) < 5_000 + 2 * len(name)


@pytest.mark.parametrize("line", LINES)
def test_ctrl_c_ends_every_subcommand_with_130(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    module = COMMANDS[LINES[line][0]][0]
    monkeypatch.setattr(f"burnish.cli.{module}.main", interrupt)

    assert main(LINES[line]) == 130


@pytest.mark.parametrize("line", LINES)
def test_a_reader_that_has_gone_ends_every_subcommand_with_0(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())

    assert main([LINES[line][0], "--help"]) == 0
