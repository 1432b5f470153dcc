"""A function of a run is a program that goes on where it was."""

import errno
import os
from pathlib import Path
from typing import Any, assert_type

import pytest
from torch import distributed as dist

from burnish.config import Program, dump
from burnish.train import HyperState, stateful_command
from burnish.train.hyperstate.stateful_command import launched_process_group

from ...forked_processes import in_two_processes
from .states import Config, Optim, State, begin, weights

CHECKPOINT = "latest-step000000000005"


@stateful_command(Config, State, begin)
def main(run: HyperState[Config, State]) -> HyperState[Config, State]:
    """Train something, step by step."""
    return run


def run(*words: object) -> HyperState[Config, State]:
    return main([str(word) for word in words])


def advanced(folder: Path, step: int = 5, *words: object) -> HyperState[Config, State]:
    """Return a run in ``folder`` that has come to ``step``."""
    begun = run("--checkpoint-dir", folder, *words)
    begun.state.step = step
    begun.step()
    return begun


def failure(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    return ended.value.code, capsys.readouterr().err


def test_type_checkers_see_what_the_function_takes() -> None:
    kept: Program[HyperState[Config, State], HyperState[Config, State]] = main

    assert_type(main([]), HyperState[Config, State])
    with pytest.raises(
        TypeError, match=r"takes a HyperState or a list of command-line"
    ):
        kept(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # wrong on purpose


def test_words_are_overrides_and_nothing_is_kept_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begun = run("optim.lr=0.5", "width=4")
    begun.step()

    assert begun.config == Config(Optim(lr=0.5), width=4)
    assert begun.origin is None
    assert not [*tmp_path.iterdir()]


def test_a_run_goes_straight_through() -> None:
    begun = run()

    assert main(begun) is begun


def test_the_same_words_begin_a_run_and_go_on_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    dump(Config(width=4), file)
    words = ("--config", file, "--checkpoint-dir", tmp_path / "run", "optim.lr=0.5")
    begun = run(*words)
    assert capsys.readouterr().err == ""
    begun.state.step = 5
    begun.step()

    again = run(*words)

    assert again.state.step == 5
    assert again.config == begun.config == Config(Optim(lr=0.5), width=4)
    assert weights(again.state.net) == weights(begun.state.net)
    assert again.origin == tmp_path / "run" / CHECKPOINT
    assert capsys.readouterr().err == (
        f"resuming from {tmp_path}/run/{CHECKPOINT}; {file} is not read again\n"
    )


@pytest.mark.parametrize("place", ["", CHECKPOINT, f"{CHECKPOINT}/state.ron"])
def test_a_run_begins_with_a_checkpoint_of_another(place: str, tmp_path: Path) -> None:
    first = advanced(tmp_path / "first", 5, "width=4")
    words = ("--resume-from", tmp_path / "first" / place)
    second = run(*words, "--checkpoint-dir", tmp_path / "second")
    second.state.step = 6
    second.step()

    again = run(*words, "--checkpoint-dir", tmp_path / "second")

    assert (second.config, second.origin) == (first.config, first.save())
    assert weights(second.state.net) == weights(first.state.net)
    assert again.state.step == 6
    assert again.origin == tmp_path / "second/latest-step000000000006"


def test_overrides_of_a_resumed_run_change_the_config(tmp_path: Path) -> None:
    advanced(tmp_path / "run", 5, "optim.lr=step: 1@0 lin 0@10")

    with pytest.warns(RuntimeWarning, match=r"keeps the value of the checkpoint"):
        again = run("--checkpoint-dir", tmp_path / "run", "optim.lr=0.25")

    assert again.config.optim.lr == 0.25


def test_an_override_that_needs_another_module_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advanced(tmp_path / "run")
    code, words = failure(capsys, "--checkpoint-dir", tmp_path / "run", "width=4")

    assert code == 1
    assert words.startswith("error: ")
    assert "width" in words
    assert "Traceback" not in words


def test_mistakes_are_told_in_a_line_with_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    advanced(tmp_path / "run")
    checkpoint = tmp_path / "run" / CHECKPOINT
    lone = tmp_path / "state.ron"
    lone.write_text("State(step: 3)")
    damaged = tmp_path / "damaged"
    advanced(damaged)
    (damaged / CHECKPOINT / "state.net.mpk").write_bytes(b"nothing of ours at all")
    rows: list[tuple[list[object], str]] = [
        (["--config", tmp_path / "no.ron"], "no.ron: No such file"),
        (["--config", tmp_path / "run"], f"--resume-from {tmp_path}/run"),
        (["--resume-from", tmp_path / "none"], "none does not exist"),
        (["--resume-from", tmp_path / "none.ron"], "none.ron: No such file"),
        (["--resume-from", checkpoint / "config.ron"], "is not a checkpoint"),
        (["--resume-from", lone], "is not a checkpoint"),
        (["--resume-from", tmp_path], "is neither a config file nor a checkpoint"),
        (["--checkpoint-dir", lone], "checkpoints need a folder, but this is a file"),
        (["--checkpoint-dir", damaged], "state.net.mpk"),
        (["--checkpoint-dir", "x-y://bucket/run"], "nor a URL that fsspec knows"),
        (["optim.lrr=1"], "optim.lrr: unknown field for Optim. Did you mean 'lr'?"),
    ]
    for words, message in rows:
        code, told = failure(capsys, *words)

        assert code == 1, words
        assert told.startswith("error: "), told
        assert message in told
        assert "Traceback" not in told
        assert told.count("\n") == 1 or "Most similar fields:" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "a.ron", "--resume-from", "b"], "not allowed with argument"),
        (["--checkpoint-dir", ""], "expected a name, got an empty string"),
        (["--checkpoint-dri", "x"], "Did you mean '--checkpoint-dir'?"),
        (["--checkpoint_dir=x"], "Did you mean '--checkpoint-dir'?"),
        (["--resume-from"], "expected one argument"),
    ],
)
def test_wrong_options_are_status_two(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = failure(capsys, *words)

    assert code == 2
    assert message in told


def test_help_names_the_options_and_the_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--help")

    page = capsys.readouterr().out
    assert ended.value.code == 0
    for word in (
        "Train something, step by step.",
        "--checkpoint-dir DIR",
        "--resume-from PATH",
        "    lr: float = 0.1",
    ):
        assert word in page


def test_arguments_of_load_are_those_of_the_decorator(tmp_path: Path) -> None:
    @stateful_command(
        Config, State, begin, "step", keep_last=2, every=2, rng=False, ignore_extra=True
    )
    def program(run: HyperState[Config, State]) -> list[str]:
        for step in range(1, 7):
            run.state.step = step
            run.step()
        return sorted(path.name for path in (tmp_path / "run").iterdir())

    names = program(["--checkpoint-dir", str(tmp_path / "run")])

    assert names == ["latest-step000000000006", "step000000000004"]
    assert not (tmp_path / "run/latest-step000000000006/rng.mpk").exists()


def test_a_folder_that_cannot_be_made_is_one_line_before_anything_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", _refuse)

    code, told = failure(capsys, "--checkpoint-dir", tmp_path / "run", "width=4")

    assert code == 1
    assert told == (
        f"error: {tmp_path / 'run'}: no folder can be created there: Read-only file "
        "system; choose another folder for the run\n"
    )


def _refuse(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_one_process_alone_has_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    with launched_process_group():
        assert not dist.is_initialized()
    for name, text in {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, text)
    with launched_process_group():
        assert not dist.is_initialized()


def test_a_group_that_the_program_made_stays(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="x")
        os.environ["MASTER_PORT"] = "1"
        with launched_process_group():
            assert dist.get_backend() == "gloo"
        assert dist.is_initialized()

    in_two_processes(act, tmp_path)
