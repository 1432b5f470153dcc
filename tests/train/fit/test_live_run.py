"""A run of `burnish fit` takes over what a person edits in its config.yaml."""

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.config.files import read_tree
from burnish.config.live.history import HISTORY, read_history
from burnish.config.live.request import request_edit
from burnish.train import Checkpoint
from burnish.train.fit.fit_config import FitConfig
from burnish.train.fit.run_fit import fit

from ...config.live.clocks import Clocks, clocks
from ...lightning_warnings import LIGHTNING_WARNINGS
from ..pages.test_page import data_of

__all__ = ["clocks"]

pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.filterwarnings("ignore:.*number of training batches.*:Warning"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*:UserWarning"),
]

torch.set_num_threads(1)

SGD = {"module_name": "torch.optim.SGD", "kwargs": {"lr": 0.1}}
LR = "model_config.optimizer.kwargs.lr"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, clocks: Clocks) -> Iterator[Any]:
    """Return the module of models; time goes by while its person does something."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    module: Any = importlib.import_module("live_models")
    yield module
    module.PERSON.clear()
    module.SEEN.clear()


class Runner:
    """Starts runs in one folder, with a person who edits at some steps."""

    def __init__(self, folder: Path, models: Any, clocks: Clocks) -> None:
        self.folder, self.models, self.clocks = folder, models, clocks

    def __call__(
        self, person: dict[int, Callable[[], object]] | None = None, **changed: Any
    ) -> Any:
        """Train for as many epochs of 8 steps as are asked for."""
        self.models.PERSON.clear()
        self.models.SEEN.clear()
        self.models.PERSON.update(
            {step: self._and_time(action) for step, action in (person or {}).items()}
        )
        return fit(FitConfig(tree_of(**changed), "a test"), self.folder)

    def set(self, *words: str) -> Callable[[], object]:
        return lambda: request_edit(self.folder, words, f"burnish set {words[0]}")

    def seen(self, name: str) -> dict[int, Any]:
        return {entry["step"]: entry[name] for entry in self.models.SEEN}

    @property
    def file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def history(self) -> list[tuple[str, int]]:
        return [(e.verdict, e.step) for e in read_history(self.folder / HISTORY)]

    def tree(self) -> Any:
        return read_tree(self.file)[0]

    def _and_time(self, action: Callable[[], object]) -> Callable[[], object]:
        def act() -> None:
            action()
            self.clocks.pass_by(2.0)

        return act


def tree_of(
    *,
    model: str = "Net",
    epochs: int = 2,
    optimizer: Any = SGD,
    resume: str | None = None,
    trainer: Any = None,
    **model_config: Any,
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "max_epochs": epochs,
        "accelerator": "cpu",
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return {
        "model_config": {
            "module_name": f"live_models.{model}",
            "optimizer": optimizer,
            **model_config,
        },
        "data_config": {
            "module_name": "live_models.DataOfNet",
            "seed": 0,
            "loader": {"batch_size": 4, "shuffle": True},
        },
        "run_config": {
            "trainer": {**options, **(trainer or {})},
            "logger": {"kind": "none"},
            "resume_from_checkpoint": resume,
        },
        "mine": {"key": 1},
    }


@pytest.fixture
def run(tmp_path: Path, models: Any, clocks: Clocks) -> Runner:
    return Runner(tmp_path / "run", models, clocks)


def weights(run: Runner) -> list[torch.Tensor]:
    checkpoint = Checkpoint.read(run.folder / "checkpoints/last")
    return [*checkpoint["model"].to_state_dict().values()]


def test_a_rate_that_a_command_sets_reaches_the_optimizer(run: Runner) -> None:
    run({3: run.set("optimizer.lr=0.01")})

    rates = run.seen("lr")
    assert {rates[step] for step in (1, 2, 3)} == {0.1}
    assert {rates[step] for step in (4, 5, 16)} == {0.01}
    assert run.history == [("begun", 0), ("applied", 3)]
    [_, edit] = read_history(run.folder / HISTORY)
    assert edit.by == "burnish set optimizer.lr=0.01"
    assert [str(change) for change in edit.changes] == [f"{LR}: 0.1 -> 0.01"]


def test_a_file_that_is_edited_by_hand_is_followed_too(run: Runner) -> None:
    def by_hand() -> None:
        text = run.file.read_text()
        run.file.write_text(text.replace("lr: 0.1", "lr: 0.01  # calmer"))

    run({3: by_hand})

    assert run.seen("lr")[4] == 0.01
    assert "# calmer" in run.file.read_text()


def test_numbers_that_an_optimizer_has_by_default_stand_in_the_file(
    run: Runner,
) -> None:
    run({3: run.set("weight_decay=0.5", "momentum=0.25")})

    kwargs = run.tree()["model_config"]["optimizer"]["kwargs"]
    assert kwargs == {"lr": 0.1, "momentum": 0.25, "dampening": 0, "weight_decay": 0.5}
    assert run.seen("momentum")[4] == 0.25


def test_optimizers_of_burnish_follow_too(run: Runner) -> None:
    optimizer = {"module_name": "burnish.optim.AdamW", "kwargs": {"weight_decay": 0.1}}

    run({3: run.set("lr=0.5"), 5: run.set("weight_decay=-1")}, optimizer=optimizer)

    assert (run.seen("lr")[3], run.seen("lr")[4]) == (0.001, 0.5)
    assert run.seen("weight_decay")[9] == 0.1
    assert run.history == [("begun", 0), ("applied", 3), ("refused", 5)]


def test_fields_of_the_model_that_are_marked_are_read_at_the_next_step(
    run: Runner,
) -> None:
    run({3: run.set("scale=0.0")})

    assert (run.seen("scale")[3], run.seen("scale")[4]) == (1.0, 0.0)
    last = Checkpoint.read(run.folder / "checkpoints/last")
    stored = last["training"]["hyper_parameters"]["hparams"]
    assert stored["scale"] == 0.0


def test_the_number_of_epochs_may_grow_and_shrink(run: Runner) -> None:
    trainer = run({3: run.set("max_epochs=3"), 12: run.set("max_epochs=4")})
    assert trainer.global_step == 32

    trainer = run({3: run.set("max_steps=5")}, checkpoint=None)
    assert trainer.global_step == 5


def test_gradients_are_clipped_from_an_edit_on(run: Runner) -> None:
    values: list[float | None] = []

    trainer = run(
        {
            3: run.set("gradient_clip_val=0.5"),
            5: lambda: values.append(5.0),
            6: run.set("gradient_clip_val=-1"),
        }
    )

    assert trainer.gradient_clip_val == 0.5
    assert run.history == [("begun", 0), ("applied", 3), ("refused", 6)]


WRONG = {
    "a field that is not marked": ("width=9", "is not marked with"),
    "a negative rate": (f"{LR}=-1", f"{LR}: SGD refuses it: Invalid learning rate: -1"),
    "no number": (f"{LR}=fast", "expected a number, found"),
    "a switch": ("seed=9", "is not marked with"),
    "what the model refuses": ("scale=13", "unlucky"),
    "what its field refuses": ("scale=-1", "greater than or equal to 0"),
    "no limit": ("gradient_clip_val=nan", "expected a number of at least 0, or null"),
    "no count": ("max_epochs=null", "run_config.trainer.max_epochs: expected a count"),
}


@pytest.mark.parametrize(("word", "problem"), WRONG.values(), ids=WRONG)
def test_a_wrong_edit_is_told_beside_the_file_and_changes_nothing(
    run: Runner, word: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    word = f"data_config.{word}" if word.startswith("seed") else word
    trainer = run({3: run.set(word)})

    assert trainer.global_step == 16
    assert {*run.seen("lr").values()} == {0.1}
    assert {*run.seen("scale").values()} == {1.0}
    assert problem in (run.folder / "config.yaml.refused").read_text()
    assert problem in caplog.text
    assert run.history == [("begun", 0), ("refused", 3)]


@pytest.mark.parametrize(
    ("kwargs", "problem"),
    [
        ("{lr: 0.1, momentum: 0, dampening: 0, weight_decay: 0, speed: 9}", "speed"),
        ("{lr: 0.1, momentum: 0, dampening: 0}", "weight_decay"),
    ],
)
def test_arguments_that_a_group_has_not_are_refused(
    run: Runner, kwargs: str, problem: str
) -> None:
    run({3: run.set(f"optimizer.kwargs={json.dumps(kwargs_of(kwargs))}")})

    message = (run.folder / "config.yaml.refused").read_text()
    assert f"model_config.optimizer.kwargs.{problem}: no param group" in message


def kwargs_of(text: str) -> Any:
    from burnish.config.formats import config_format_named

    return config_format_named("yaml").read(text)


def test_a_group_with_a_rate_of_its_own_keeps_it(run: Runner) -> None:
    trainer = run({3: run.set("optimizer.lr=0.01")}, model="Groups")

    assert [g["lr"] for g in trainer.optimizers[0].param_groups] == [0.5, 0.01]


SCHEDULER = {
    "module_name": "torch.optim.lr_scheduler.CosineAnnealingLR",
    "kwargs": {"T_max": 20},
    "interval": "step",
}


def test_a_number_takes_the_place_of_the_scheduler(run: Runner) -> None:
    run({3: run.set("optimizer.lr=0.05"), 6: run.set("lr=0.04")}, scheduler=SCHEDULER)

    rates = run.seen("lr")
    assert len({rates[step] for step in (1, 2, 3)}) == 3
    [_, first, second] = read_history(run.folder / HISTORY)
    assert "replaces the scheduler" in str(first)
    assert "takes the place" not in str(second)


@pytest.mark.parametrize("scheduler", [None, SCHEDULER])
def test_a_run_that_goes_on_ends_with_the_bits_of_one_that_never_stopped(
    tmp_path: Path, models: Any, clocks: Clocks, scheduler: Any
) -> None:
    whole, part = (Runner(tmp_path / name, models, clocks) for name in ("a", "b"))
    edits = {5: "optimizer.lr=0.05", 11: "scale=0.5", 20: "momentum=0.5"}
    whole(
        {n: whole.set(word) for n, word in edits.items()},
        epochs=4,
        scheduler=scheduler,
    )

    def stop() -> None:
        raise RuntimeError("killed")

    person = {n: part.set(word) for n, word in edits.items()}
    with pytest.raises(RuntimeError, match="killed"):
        part({**person, 21: stop}, epochs=4, scheduler=scheduler)
    assert Checkpoint.read(part.folder / "checkpoints/last").step == 16
    part(epochs=4, scheduler=scheduler, resume="auto")

    assert part.seen("lr")[32] == whole.seen("lr").get(32, 0.05)
    for mine, theirs in zip(weights(whole), weights(part), strict=True):
        assert torch.equal(mine, theirs)
    assert [entry for entry in part.history if entry[0] != "begun"] == [
        ("applied", 5),
        ("applied", 11),
        ("applied", 20),
    ]


def test_a_new_word_takes_the_place_of_what_was_edited(run: Runner) -> None:
    run({5: run.set("optimizer.lr=0.05")}, epochs=1)

    optimizer = {**SGD, "kwargs": {"lr": 0.7}}
    run(epochs=2, optimizer=optimizer, resume="auto")

    assert {*run.seen("lr").values()} == {0.7}


def test_what_was_edited_while_nobody_ran_is_met_at_the_first_step(
    run: Runner, clocks: Clocks
) -> None:
    run({5: run.set("optimizer.lr=0.05")}, epochs=1)
    run.set("scale=0.5")()

    run({8: lambda: None, 9: lambda: None}, epochs=2, resume="auto")

    assert {*run.seen("lr").values()} == {0.05}
    assert run.seen("scale")[16] == 0.5


def test_another_run_in_the_same_folder_begins_a_history_of_its_own(
    run: Runner,
) -> None:
    run({5: run.set("optimizer.lr=0.05")}, epochs=1)

    run(epochs=1)

    assert {*run.seen("lr").values()} == {0.1}
    assert run.history == [("begun", 0)]


@pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")
def test_edits_go_along_with_a_checkpoint_into_another_folder(
    tmp_path: Path, models: Any, clocks: Clocks, run: Runner
) -> None:
    run({5: run.set("optimizer.lr=0.05")}, epochs=1)
    other = Runner(tmp_path / "other", models, clocks)

    other(epochs=2, resume=str(run.folder))

    assert {*other.seen("lr").values()} == {0.05}
    assert "burnish set optimizer.lr=0.05" in (other.folder / "report.html").read_text()


def test_gradients_that_are_gathered_are_of_one_config(run: Runner) -> None:
    run(
        {1: run.set("optimizer.lr=0.05")},
        epochs=1,
        trainer={"accumulate_grad_batches": 4},
    )

    assert [step for _, step in run.history] == [0, 1]


def test_the_report_tells_what_was_edited(run: Runner) -> None:
    run({3: run.set("optimizer.lr=0.01"), 5: run.set("scale=-1")})

    content: Any = data_of((run.folder / "report.html").read_text())
    applied, refused = content["edits"][-2:]
    assert (applied[0], *applied[3:6]) == ("3", LR, "0.1", "0.01")
    assert "refused: model_config.scale" in refused[6]


def test_the_report_of_a_run_that_goes_on_has_the_epochs_that_are_done(
    run: Runner,
) -> None:
    pages: list[Any] = []

    def look() -> None:
        pages.append(data_of((run.folder / "report.html").read_text()))

    run({1: look, 9: look}, epochs=2)

    look()
    assert [page["state"]["epoch"] for page in pages] == [0, 1, 2]
    assert [dict(page["facts"])["epochs"] for page in pages] == ["0", "1", "2"]
    n_checkpoints = [sum(not c["is_last"] for c in p["checkpoints"]) for p in pages]
    assert n_checkpoints == [0, 1, 2]
