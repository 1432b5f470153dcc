import subprocess
import sys
import warnings

import pytest

import burnish
from burnish.cli.main import COMMANDS, main, warnings_in_words


def test_without_a_command_the_usage_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    assert "schema" in capsys.readouterr().err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    told = capsys.readouterr().out
    assert all(name in told for name in COMMANDS)


def test_an_unknown_command_is_told_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["shcema"]) == 2
    assert "'shcema'. Did you mean 'schema'?" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["info", __file__])
def test_a_file_in_the_place_of_a_command_is_told_how_to_look_into_it(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word]) == 2
    assert "To inspect a file: burnish show FILE." in capsys.readouterr().err


def test_show_without_a_file_asks_for_the_file_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show"]) == 2
    assert "required: file\n" in capsys.readouterr().err


def test_a_command_is_imported_only_when_it_is_asked_for() -> None:
    code = (
        "import sys; from burnish.cli.main import main; main(['--help']);"
        "print([m for m in sys.modules if m.startswith('burnish.cli.')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "['burnish.cli.words', 'burnish.cli.main']"


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m burnish.cli.main schema --help | true"

    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=True
    )

    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("word", ["--version", "-V"])
@pytest.mark.parametrize("module", ["burnish", "burnish.cli.main"])
def test_the_version_is_told_by_the_package_and_by_its_command(
    module: str, word: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, word], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"burnish {burnish.__version__}\n"


# A program of its own each time: `test_bad_input` asks every command, in this process.
@pytest.mark.parametrize("name", ["", "show", "fit"])
@pytest.mark.parametrize("reader", ["true", "head -1 > /dev/null"])
def test_help_for_a_reader_that_stops_early_is_silent_and_fine(
    name: str, reader: str
) -> None:
    command = f"set -o pipefail; {sys.executable} -m burnish {name} --help | {reader}"

    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_has_examples_and_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0

    text = capsys.readouterr().out
    assert text.partition("examples:")[2].count(f"burnish {name}") >= 2
    assert "130 ended by Ctrl-C" in text


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)])
def test_help_fits_into_80_columns(
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert main([*words, "--help"]) == 0

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize(("command", "has_place"), [("show", False), ("fit", True)])
def test_a_warning_of_a_file_tells_no_line_of_code(
    command: str, has_place: bool
) -> None:
    warning = UserWarning("two.pt: \x1b beside it")

    with warnings_in_words(command):
        text = warnings.formatwarning(warning, UserWarning, "code.py", 3, "")

    assert ("code.py" in text) is has_place
    assert has_place or text == "warning: two.pt: \\x1b beside it\n"


class Interrupted:
    """Finds no module, but Ctrl-C."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "burnish.cli.main":
            raise KeyboardInterrupt


def test_ctrl_c_while_the_command_is_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from burnish.__main__ import main as program

    monkeypatch.delitem(sys.modules, "burnish.cli.main")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])

    assert program() == 130


def test_ctrl_c_that_a_failing_clean_up_hides_ends_a_command_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(argv: object) -> int:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("save_nargs")  # as argparse fails

    monkeypatch.setattr("burnish.cli.show.main", interrupted)

    assert main(["show", "net.mpk"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("word", ["inspect", "list", "ls"])
def test_what_others_call_show_is_told_as_show(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For ``inspect``, the contract's first name of it, the hint was ``set``."""
    assert main([word]) == 2
    assert "burnish show FILE" in capsys.readouterr().err
