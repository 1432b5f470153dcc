"""`burnish fit`: a run's folder, its mistakes, and its way back."""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.cli import fit
from burnish.cli.main import main
from burnish.train import Checkpoint
from burnish.train.fit import run_fit
from burnish.train.fit.history import History

from .runs import EXAMPLE_RUNS, FEW, words

torch.set_num_threads(1)


pytestmark = EXAMPLE_RUNS


EXPECTED_FILES = [
    *(".hydra", "checkpoints", "config.yaml", "edits.jsonl", "fit.log", "logs"),
    *("report.html", "summary.json"),
]
"""What a run with a checkpoint leaves, whatever the number of its processes was."""


def config_of(folder: str) -> dict[str, Any]:
    from burnish.config.files import read_tree

    tree: dict[str, Any] = read_tree(Path(folder) / "config.yaml")[0]
    return tree


def test_a_run_folder_holds_all_that_there_is_to_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = fit.main(
        words(
            "run",
            "optimizer.kwargs.lr=0.0005",
            "data.batch_size=128",
            "max_epochs=1",
            "+new.key=1",
        )
    )

    assert status == 0
    tree = config_of("run")
    assert tree["model_config"]["optimizer"]["kwargs"]["lr"] == 0.0005
    assert tree["data_config"]["loader"]["batch_size"] == 128
    assert tree["new"] == {"key": 1}
    kept = sorted(os.listdir("run/checkpoints"))
    assert len(kept) == 2
    assert kept[0].startswith("epoch=0-validation_loss=")
    assert not kept[0].endswith("=0.0000")
    assert kept[1] == "last"
    assert Path("run/logs/metrics.csv").exists()
    page = Path("run/report.html").read_text()
    for word in ("gradient norm", "learning rate", "seconds per step", "best"):
        assert word in page
    assert "validation/accuracy" in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "https:" not in page
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("optimizer.kwrgs.lr=1", r"unknown key 'optimizer.kwrgs.lr'.*optimizer.kwargs"),
        ("max_epoch=1", "unknown key 'max_epoch'.*max_epochs"),
        ("width=-1", "width"),
        ("model_config.module_name=digits_model.Digit", "Did you mean 'Digits'"),
        ("data_config.module_name=nowhere.Data", "no module 'nowhere'"),
        ("resume_from_checkpoint=gone", "there is no checkpoint"),
        ("logger.kind=wandb", "pip install 'burnish\\[wandb\\]'"),
        ("optimizer.module_name=torch.optim.Adm", "Did you mean 'Adam'"),
        ("optimizer.kwargs.lrr=1", r"optimizer.kwargs.lrr: AdamW has no such argument"),
        ("optimizer.kwargs.lr=-1", "optimizer.kwargs do not fit AdamW: "),
        (
            "~scheduler.kwargs.T_max",
            r"kwargs.T_max: missing: CosineAnnealingLR requires",
        ),
    ],
)
def test_mistakes_end_with_an_error_that_tells_the_cure(
    wrong: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit.main(words("run", "max_epochs=1", wrong)) == 2

    import re

    error = capsys.readouterr().err
    assert re.search(told, error.replace("\n", " ")), error
    assert "Traceback" not in error


@pytest.mark.parametrize("place", ["run/checkpoints", "run/checkpoints/last"])
@pytest.mark.parametrize("is_link", [False, True])
def test_auto_begins_no_run_anew_where_something_else_than_a_checkpoint_stands(
    is_link: bool, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(place).parent.mkdir(parents=True)
    if is_link:
        Path(place).symlink_to("unmounted")
    else:
        Path(place).write_text("")

    assert fit.main(words("run", "max_epochs=1", "resume_from_checkpoint=auto")) == 2

    assert place in capsys.readouterr().err
    assert not Path(place).is_dir()


def test_the_blueprint_loads_as_it_is() -> None:
    few = ["max_epochs=1", "limit_train_batches=2", "log_every_n_steps=1"]

    assert fit.main(words("run", "--config-name", "config_blueprint", *few)) == 0
    assert config_of("run")["model_config"]["checkpoint"]["save_top_k"] == 3


def test_the_config_of_a_run_starts_the_same_run() -> None:
    assert fit.main(words("first", "max_epochs=1")) == 0
    again = ["--config-path", "first", "--config-name", "config"]

    assert fit.main([*again, "hydra.run.dir=second"]) == 0

    assert config_of("second") == config_of("first")
    files = [Path(run) / "checkpoints/last/model.mpk" for run in ("first", "second")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_two_way_splits_without_checkpoints_and_logs() -> None:
    more = ["data.split=[0.5,0.5]", "checkpoint=null", "logger.kind=none"]

    assert fit.main(words("run", "max_epochs=1", *more)) == 0
    assert not Path("run/checkpoints").exists()
    assert not Path("run/logs").exists()


def status_of_a_fork_that_is_killed(command: list[str], folder: Path) -> int:
    """Run a command in a process that dies in the epoch after its first checkpoint."""
    saved, n_since = folder / "checkpoints/last/checkpoint.json", 0

    def die(*args: object) -> None:
        nonlocal n_since
        n_since += saved.exists()
        if n_since == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(History, "on_train_batch_end", die)
                fit.main(command)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_run_that_is_killed_goes_on_to_the_same_bits() -> None:
    # No fork has the threads of a pool, and sums of several differ in their last bits.
    torch.set_num_threads(1)
    assert fit.main(words("whole", "max_epochs=4", "depth=1")) == 0
    command = words("part", "max_epochs=4", "depth=1", "resume_from_checkpoint=auto")
    killed = status_of_a_fork_that_is_killed(command, Path("part"))
    assert killed == -signal.SIGKILL
    left = Checkpoint.read("part/checkpoints/last").step

    assert fit.main(command) == 0

    assert Path("part/logs-2/metrics.csv").exists()
    parts = [
        Checkpoint.read(Path(run) / "checkpoints/last") for run in ("whole", "part")
    ]
    assert parts[0].step == parts[1].step > left > 0
    for path, tensor in parts[0]["model"].to_state_dict().items():
        assert torch.equal(tensor, parts[1]["model"][path]), path


def test_several_devices_train_in_one_folder_and_leave_no_process(
    failing: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = "++model_config.checkpoint={monitor:null,save_top_k:1,save_last:true}"

    assert main(["fit", *failing, checkpoint, "devices=2", "strategy=ddp"]) == 0

    # Seven samples are four for each process, which takes four at once.
    assert Checkpoint.read("run/checkpoints/last").step == 1
    assert sorted(os.listdir("run")) == EXPECTED_FILES
    assert "LOCAL_RANK" not in os.environ
    assert "Traceback" not in capfd.readouterr().err


def test_a_checkpoint_of_another_model_is_told_by_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fit.main(words("run", "max_epochs=1")) == 0

    status = fit.main(words("other", "width=32", "resume_from_checkpoint=run"))

    assert status == 2
    error = capsys.readouterr().err
    assert "layers.0.weight" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("ending", "status"),
    [(SystemExit(0), 2), (SystemExit(1), 2), (KeyboardInterrupt(), 130)],
)
def test_a_model_that_ends_the_program_is_no_success(
    ending: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(*args: object) -> None:
        raise ending

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_fit, "fit", end)
        ended = main(["fit", *words("run")])

    assert ended == status
    is_interrupted = isinstance(ending, KeyboardInterrupt)
    assert ("to resume from" in capsys.readouterr().err) == is_interrupted


@pytest.mark.parametrize(
    ("fails_in", "first_line", "last_line"),
    [
        ("init", "in __init__", "LookupError: no such thing"),
        ("step", "in training_step", "mat1 and mat2 shapes"),
        ("os", "in training_step", "FileNotFoundError: [Errno 2]"),
    ],
)
def test_an_error_of_the_model_is_told_from_the_user_s_own_lines_on(
    fails_in: str,
    first_line: str,
    last_line: str,
    failing: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main(["fit", *failing, f"model_config.fails_in={fails_in}"])

    error = capsys.readouterr().err
    frames = [line for line in error.splitlines() if line.startswith("  File ")]
    assert status == 2
    assert "failing_net.py" in frames[0]
    assert frames[0].endswith(first_line)
    assert last_line in error.splitlines()[-1]
    assert not any("hydra" in line or "rank_zero" in line for line in frames)


def test_all_frames_of_an_error_are_told_on_request(
    failing: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BURNISH_TRACEBACK", "1")

    status = main(["fit", *failing, "model_config.fails_in=init"])

    assert status == 2
    assert "hydra" in capsys.readouterr().err


def test_what_torch_refuses_in_no_line_of_the_user_s_is_told_with_its_place(
    failing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["fit", *failing, "accelerator=abacus"])

    error = capsys.readouterr().err
    assert status == 2
    assert "abacus" in error
    assert "Traceback" not in error


def test_the_examples_train_and_are_used_for_inference() -> None:
    assert fit.main(words("digits", "max_epochs=4")) == 0
    few = ["max_epochs=1", "limit_train_batches=3", "log_every_n_steps=1"]
    text = ["--config-name", "characters", *few]
    assert fit.main(words("characters", *text, "n_pieces=128")) == 0

    recognize: Any = importlib.import_module("recognize")
    continue_text: Any = importlib.import_module("continue_text")

    assert recognize.main("digits") > 0.7
    assert len(continue_text.main("characters", "The ")) == 64


def test_a_run_that_is_resumed_beyond_its_end_says_that_nothing_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = words("run", *FEW, "resume_from_checkpoint=auto")
    assert fit.main([*run, "max_epochs=1"]) == 0
    assert "nothing was left" not in capsys.readouterr().out

    assert fit.main([*run, "max_epochs=1"]) == 0

    said = "nothing was left to do: 1 epochs and 2 steps are done"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", ["report.html", "summary.json"])
def test_a_folder_where_a_file_of_the_run_should_be_is_told_before_training(
    name: str, failing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run", name).mkdir(parents=True)

    assert main(["fit", *failing]) == 2

    error = capsys.readouterr().err
    assert error.endswith(
        f"{name}: a folder is in the way; remove it or write elsewhere\n"
    )
    assert not Path("run/config.yaml").exists()


def with_a_tracer(act: Callable[[], int]) -> int:
    """Return what ``act`` returns under a tracer, as debuggers set one."""
    before = sys.gettrace()
    sys.settrace(lambda *event: None)
    try:
        return act()
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("is_debugged", [False, True])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            ["optimizer.kwargs.lr=abc"],
            "error: configuration: model_config.optimizer.kwargs.lr: expected a "
            "number, found 'abc'",
        ),
        (
            ["optimizer.kwargs.momentun=1"],
            "error: configuration: model_config.optimizer.kwargs.momentun: SGD has no "
            "such argument. Did you mean 'momentum'? It has lr, momentum, ",
        ),
        (
            ["resume_from_checkpoint=auto", "max_epochs=1"],
            "error: run_config.trainer.max_epochs=1: ",
        ),
    ],
)
def test_a_mistake_is_one_line_under_a_debugger_too(
    is_debugged: bool,
    wrong: list[str],
    told: str,
    failing: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = "++model_config.checkpoint={monitor:null,save_top_k:1}"
    run = ["fit", *failing, checkpoint]
    assert main([*run, "max_epochs=3"]) == 0
    before = Path("run/config.yaml").read_text()
    capsys.readouterr()

    def go_on() -> int:
        return main([*run, *wrong])

    status = with_a_tracer(go_on) if is_debugged else go_on()

    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith(told)
    assert error.count("\n") == 1
    assert Path("run/config.yaml").read_text() == before
