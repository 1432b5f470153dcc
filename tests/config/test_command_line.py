import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from burnish.config import command


@dataclass
class Opt:
    """How to move.

    Attributes:
        lr: size of a step
    """

    lr: float = 0.1
    bs: int = 1


@dataclass
class Config:
    opt: Opt = field(default_factory=Opt)
    name: str = "x"


@command(Config)
def main(config: Config) -> Config:
    """Train something."""
    return config


def run(*words: str) -> Any:
    return main(list(words))


def failed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    shown = capsys.readouterr()
    return ended.value.code, shown.err or shown.out


def test_words_are_overrides() -> None:
    assert run() == Config()
    assert run("opt.lr=3", "name=a=b c") == Config(Opt(3.0), "a=b c")


def test_a_file_is_read_first_wherever_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("opt: {lr: 1e-3, bs: 4}\n")

    assert run("opt.bs=5", "--config", str(file)) == Config(Opt(0.001, 5))


def test_a_config_goes_straight_through() -> None:
    config = Config(name="y")

    assert main(config) is config
    assert main.__name__ == "main"


def test_an_unknown_field_ends_with_the_most_similar_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told = failed(capsys, "opt.lrr=1", "zz=2")

    assert code == 1
    assert "opt.lrr: unknown field for Opt. Did you mean 'lr'?" in told
    assert "Most similar fields:\nopt.lr: float = 0.1" in told
    assert "zz" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["opt.lr"], "field.name=value"),
        (["--config", "nowhere.ron"], "nowhere.ron: No such file"),
        (["--config", "x.toml"], "suffix '.toml'"),
        (["opt.lr=fast"], "opt.lr"),
    ],
)
def test_mistakes_are_told_with_status_one(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    code, told = failed(capsys, *words)

    assert code == 1
    assert told.startswith("error: ")
    assert message in told


def test_a_wrong_option_is_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert failed(capsys, "--confg", "x")[0] == 2


def test_help_lists_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = failed(capsys, "--help")

    assert code == 0
    assert "Train something." in told
    assert "    lr: float = 0.1" in told
    assert "# size of a step" in told


def test_help_takes_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = failed(capsys, "--help", "lrr")

    assert (code, told.split()[0]) == (0, "opt.lr:")
    assert "no field" in failed(capsys, "--help", "qqqqq")[1]


def test_three_lines_make_a_program(tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from burnish.config import command\n"
        "@dataclass\nclass Config:\n    lr: float = 0.1\n"
        "@command(Config)\ndef main(config):\n    print(config)\n"
        "main()\n"
    )

    def python(*words: str) -> "subprocess.CompletedProcess[str]":
        words = (sys.executable, str(file), *words)
        return subprocess.run(words, capture_output=True, text=True, check=False)

    assert python("lr=2").stdout == "Config(lr=2.0)\n"
    wrong = python("lrr=2")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Did you mean 'lr'" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_program_called_with_one_text_is_told_what_it_takes() -> None:
    with pytest.raises(TypeError, match=r"as in main\(\['a.b=1'\]\), got 'opt.lr=1'"):
        main("opt.lr=1")


@pytest.mark.parametrize("words", [["--lr", "0.2"], ["--lr=0.2"]])
def test_a_field_with_dashes_is_a_field_even_if_an_option_has_a_similar_name(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    @command(Opt)
    def program(config: Opt) -> Opt:
        return config

    with pytest.raises(SystemExit):
        program(words)

    error = capsys.readouterr().err
    assert "a field is set without dashes: lr=0.2" in error
    assert "--help'?" not in error


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--opt.lr=0.2"], "a field is set without dashes: opt.lr=0.2"),
        (["--opt.lr", "0.2"], "a field is set without dashes: opt.lr=0.2"),
        (["--confg", "c.yaml"], "Did you mean '--config'?"),
        (["-v"], "unrecognized arguments: -v\n"),
        (["c.yaml"], "a config file is passed as --config c.yaml"),
    ],
)
def test_words_of_other_programs_are_answered_with_ours(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 2
    assert line in capsys.readouterr().err
