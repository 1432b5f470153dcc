"""Files, overrides and sweeps of Hydra; mistakes in them are told in words."""

import signal
from pathlib import Path

import pytest
import torch

from burnish.cli import fit
from burnish.cli.hydra_app import run_apart
from burnish.cli.main import main
from burnish.config import load

from .runs import EXAMPLE_RUNS, EXAMPLES, FAILING_FILE, words

torch.set_num_threads(1)


pytestmark = EXAMPLE_RUNS


def test_a_wrong_name_of_the_file_is_told_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fit.main(["--config-name", "digit"]) == 2
    assert "Did you mean 'digits'" in capsys.readouterr().err
    assert main(["fit"]) == 2
    assert "--config-name is needed" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("taken").write_text("")

    assert fit.main(words("taken/run", "max_epochs=1")) == 2
    assert "taken" in capsys.readouterr().err


def test_a_mistake_in_the_file_names_the_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (EXAMPLES / "digits.yaml").read_text()
    Path("mine.yaml").write_text(text.replace("width:", "widht:"))

    status = fit.main(["--config-path", ".", "--config-name", "mine"])

    assert status == 2
    assert "model_config.widht: unknown field" in capsys.readouterr().err
    assert load(dict, {}) == {}


def test_a_run_of_a_sweep_does_not_take_the_folder_of_another(
    failing: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = [f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir=one"]

    status = main(["fit", "-m", *failing, *sweep, "data.seed=1,2"])

    assert status == 2
    assert "one has an earlier run of this sweep" in capsys.readouterr().err
    assert load(dict, tmp_path / "sweep/one/config.yaml")["data_config"]["seed"] == 1


def test_a_text_that_would_be_resolved_in_the_config_of_a_run_is_warned_of(
    failing: list[str],
) -> None:
    with pytest.warns(UserWarning, match=r"mine\.text: '\$\{x\}' is written unchanged"):
        main(["fit", *failing, r"+mine.text='\${x}'"])


@pytest.mark.parametrize("values", ["range(3,3)", "glob(*)"])
def test_a_sweep_of_no_run_is_no_success(
    values: str, failing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "-m", *failing, f"max_epochs={values}"]) == 2
    assert f"max_epochs={values}. The end of a range" in capsys.readouterr().err


def test_numbers_are_looked_at_in_each_file_of_a_defaults_list(
    failing: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "group").mkdir()
    (tmp_path / "group/octal.yaml").write_text("epochs: 012\n")
    (tmp_path / "failing.yaml").write_text(
        f"defaults: [{{group: octal}}, _self_]\n{FAILING_FILE}"
    )

    status = main(["fit", *failing])

    assert status == 2
    assert "octal.yaml, line 1, column 9: 012 is the octal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "quoted"),
    [("mine.text=ü", "'ü'"), ("mine.text=it's", r"'it\'s'"), ("mine.text=[1", "'[1'")],
)
def test_a_word_that_hydra_cannot_read_is_told_in_quotes(
    word: str, quoted: str, failing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *failing, f"+{word}"]) == 2
    told = capsys.readouterr().err
    assert f'"+mine.text={quoted}"' in told
    assert "Exception" not in told


BAD_YAML: dict[str, tuple[bytes, str]] = {
    "syntax": (b"a: [1, {2: [}", "bad.yaml cannot be read as YAML"),
    "binary": (bytes(range(128, 256)), "bad.yaml cannot be read as YAML"),
    "NUL": (b"a: \0", "bad.yaml cannot be read as YAML"),
    "a tag": (b"a: !!python/name:os.system", "bad.yaml cannot be read as YAML"),
    "twice": (b"a: 1\na: 2", "bad.yaml cannot be read as YAML"),
    "defaults": (b"defaults: 3", "group/bad"),
    "of nothing": (b"defaults: [nothing]", "group/nothing"),
    "interpolation": (b"a: ${b", "${b"),
}


@pytest.mark.parametrize("name", BAD_YAML)
@pytest.mark.parametrize("more", [[], ["optimizer.kwargs.lr=1"]])
def test_a_bad_file_of_a_defaults_list_is_told_in_words(
    name: str,
    more: list[str],
    failing: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content, expected = BAD_YAML[name]
    (tmp_path / "group").mkdir()
    (tmp_path / "group/bad.yaml").write_bytes(content)
    text = f"defaults: [{{group: bad}}, _self_]\n{FAILING_FILE}"
    (tmp_path / "failing.yaml").write_text(text)

    status = main(["fit", *failing, *more])

    error = capsys.readouterr().err
    assert status == 2
    assert expected in error
    assert "Traceback" not in error


def test_each_job_of_a_sweep_is_run_and_one_that_fails_is_in_the_status(
    failing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["model_config.fails_in=init,nothing", "hydra.sweep.dir=sweep"]

    status = main(["fit", *failing, "--multirun", *sweep])

    told = capsys.readouterr()
    assert status == 2
    assert "LookupError: no such thing" in told.err
    assert "results: " in told.out
    assert f"compared: {Path('sweep/sweep.html').absolute()}, 2 runs" in told.out
    assert "LookupError: no such thing" in Path("sweep/sweep.html").read_text()


def test_a_key_with_dashes_is_told_in_our_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit", "--config-name", "any", "--max_epochs=1"]) == 2

    said = capsys.readouterr().err
    assert (
        said
        == "error: unknown option --max_epochs; a key has no dashes: max_epochs=1\n"
    )


def test_a_folder_that_is_not_there_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"

    assert main(["fit", "-cn", "any", "-cp", str(gone)]) == 2

    error = capsys.readouterr().err
    assert error == f"error: there is no folder of configurations at {gone}\n"


def test_a_log_that_cannot_be_opened_is_told_by_its_file(
    failing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run/fit.log").mkdir(parents=True)

    assert main(["fit", *failing]) == 2

    error = capsys.readouterr().err
    assert error.endswith("fit.log: Is a directory\n")
    assert error.count("\n") == 1


def test_a_sweep_is_asked_for_by_the_last_word_as_by_the_first(
    failing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["optimizer.kwargs.lr=0.1,0.2", "hydra.sweep.dir=sweep"]

    assert main(["fit", *failing, *sweep, "-m"]) == 0

    assert capsys.readouterr().out.count("results: ") == 2
    assert sorted(f.name for f in Path("sweep").glob("[0-9]")) == ["0", "1"]


def test_the_configuration_is_printed_and_nothing_runs(
    failing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--cfg", "job", "-p", "run_config", "max_epochs=7"]

    assert main(["fit", *words, *failing]) == 0

    assert "max_epochs: 7" in capsys.readouterr().out
    assert not Path("run").exists()


def test_help_tells_the_words_and_those_of_the_file(
    failing: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "group").mkdir()
    (tmp_path / "group/one.yaml").write_text("a: 1")

    assert main(["fit", "--help"]) == 0
    without_file = capsys.readouterr().out
    assert main(["fit", "--help", *failing]) == 0
    with_file = capsys.readouterr().out

    assert "--multirun" in without_file
    assert "exit codes" in without_file
    assert with_file.startswith(without_file)
    assert "group: one" in with_file
    assert "module_name: failing_net.Net" in with_file


@pytest.mark.parametrize("section", ["model_config", "data_config"])
def test_a_section_that_is_empty_is_called_so(
    section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit.main(words("run", f"{section}=null")) == 2

    error = capsys.readouterr().err
    assert f"{section}: the section is empty" in error
    assert "Did you mean" not in error


@pytest.mark.parametrize("is_first_failure", [True, False])
def test_errors_of_a_process_never_steer_the_terminal_and_are_told_if_they_are_first(
    is_first_failure: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise LookupError("red \x1b[31m")

    monkeypatch.setattr(signal, "signal", lambda *args: None)
    assert run_apart(fail, lambda: is_first_failure) == 2

    text = capsys.readouterr().err
    assert (r"red \x1b[31m" in text) == is_first_failure
    assert "\x1b" not in text
