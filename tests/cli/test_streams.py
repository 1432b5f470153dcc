"""The command with streams that are closed, narrow or of few characters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} -m burnish.cli.main"

CONFIG = '''
from burnish.config import Hparams
class Größe(Hparams):
    """Eine Größe."""
    n: int = 1
class Other(Hparams):
    ü: int
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf.py").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "ends.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "ends_later.py").write_text(
        "import sys\nfrom burnish.config import Hparams, Versioned\n"
        "class C(Hparams, Versioned):\n    n: int = 1\n"
        "    @classmethod\n    def version(cls):\n        sys.exit(0)\n"
    )
    (tmp_path / "stops.py").write_text("raise GeneratorExit\n")
    return tmp_path


def run(line: str, folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONIOENCODING": "", **environ}
    return subprocess.run(
        ["sh", "-c", line.replace("burnish ", f"{COMMAND} ")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_a_reader_that_has_gone_ends_the_command_silently(folder: Path) -> None:
    line = "(burnish --help; echo $? >status) | true; cat status"

    ended = run(line, folder)

    assert (ended.stdout, ended.stderr) == ("0\n", "")


def test_help_of_a_subcommand_survives_a_closed_pipe_too(folder: Path) -> None:
    line = "(burnish schema check --help; echo $? >status) | true; cat status"

    ended = run(line, folder)

    assert (ended.stdout, ended.stderr) == ("0\n", "")


def test_a_closed_output_leaves_the_verdict_in_the_status(folder: Path) -> None:
    assert (
        run("burnish schema dump conf.py:Größe s.ron >&- 2>&-", folder).returncode == 0
    )

    same = run("burnish schema check conf.py:Größe s.ron >&-", folder)
    other = run("burnish schema check conf.py:Other s.ron >&-", folder)

    assert (same.returncode, same.stderr) == (0, "")
    assert (other.returncode, other.stderr) == (1, "")


def test_a_locale_of_few_characters_and_a_narrow_terminal_do(folder: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert (
        run("burnish schema dump conf.py:Other s.ron", folder, **locale).returncode == 0
    )

    ended = run(
        "burnish schema check conf.py:Größe s.ron", folder, COLUMNS="40", **locale
    )

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "field removed" in ended.stdout


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("ends.py:C", "it ends the program"),
        ("ends_later.py:C", "SystemExit(0) ended the program"),
        ("stops.py:C", "GeneratorExit"),
    ],
)
def test_a_class_s_file_that_ends_the_program_is_no_answer(
    target: str, words: str, folder: Path
) -> None:
    ended = run(f"burnish schema dump {target} s.ron", folder)

    assert ended.returncode == 2
    assert words in ended.stderr


def test_files_of_names_that_the_locale_lacks_are_found(folder: Path) -> None:
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    (folder / "conf.py").rename(folder / "größe.py")
    (folder / "änderung.json").write_text('{"n": 2}')

    statuses = [
        run(f"burnish schema {line}", folder, **locale).returncode
        for line in (
            "dump größe.py:Größe schéma.ron",
            "check größe.py:Größe schéma.ron",
            "upgrade-config größe.py:Größe änderung.json",
        )
    ]

    assert statuses == [0, 0, 0]


def test_an_output_that_is_full_is_told(folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")

    ended = run("burnish --help >/dev/full", folder)

    assert ended.returncode == 2
    assert "the output cannot be written" in ended.stderr


def test_a_folder_that_is_not_there_is_named_and_not_a_scratch_file(
    folder: Path,
) -> None:
    ended = run("burnish schema dump conf.py:Größe nodir/x.ron", folder)

    assert ended.returncode == 2
    assert "nodir" in ended.stderr
    assert ".x.ron." not in ended.stderr
