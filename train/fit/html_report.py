"""report.html: the page of a run, rewritten after each epoch and at its end."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from ...config.live.history import Edit
from ...config.process.interrupts import raise_of_signal
from ...config.process.log import LOG
from ...config.storage.replacement import write_text
from ..lightning.record_checkpoint import RecordCheckpoint
from ..pages.run_page import KeptCheckpoint, RunContent, RunState, run_page
from .beginning import file_text
from .changed_settings import changed_settings
from .history import History
from .live_run import LiveRun
from .origin import origin_of_run
from .sent_run import is_first_process

Facts = Mapping[str, object]


class HtmlReport(Callback):
    """Writes the page during training; an epoch never fails because of it."""

    def __init__(
        self,
        file: Path,
        title: str,
        history: History,
        live: LiveRun,
        facts: Callable[[Trainer], Facts],
    ) -> None:
        self._file, self._title = file, title
        self._history, self._live, self._facts = history, live, facts
        self._origin = origin_of_run()
        self._begun = time.monotonic()
        self._first_epoch: int | None = None
        self.checkpoint: RecordCheckpoint | None = None
        """The trainer that wrote checkpoints; a test of the model has another one."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record where the run begins."""
        self._first_epoch, self._begun = trainer.current_epoch, time.monotonic()
        callbacks = trainer.checkpoint_callbacks
        self.checkpoint = next(
            (c for c in callbacks if isinstance(c, RecordCheckpoint)), None
        )

    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> None:
        """Write the present progress.

        At the end of the epoch its checkpoint is not written yet.
        """
        self._write_live(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write that all epochs are done, and a test may follow."""
        self._write_live(trainer)

    def write(self, trainer: Trainer, problem: str = "") -> None:
        """Write the page of a finished run."""
        state = RunState(
            state="failed" if problem else "finished",
            problem=problem,
            epoch=trainer.current_epoch,
            written=int(time.time()),
        )
        self._write(trainer, state)

    def _write_live(self, trainer: Trainer) -> None:
        if not is_first_process() or trainer.sanity_checking:
            return
        n_done = trainer.current_epoch
        n_here = n_done - (self._first_epoch or 0)
        state = RunState(
            state="running",
            epoch=n_done,
            n_epochs=_last_epoch(trainer),
            seconds_per_epoch=(time.monotonic() - self._begun) / max(1, n_here),
            written=int(time.time()),
        )
        try:
            self._write(trainer, state)
        except OSError as error:
            raise_of_signal(error)
            # The failure is reported again at the end; the run is worth more than the
            # page.
            LOG.warning("report.html could not be written: %s", error)

    def _write(self, trainer: Trainer, state: RunState) -> None:
        config = self._live.config
        callback = self.checkpoint
        monitor = "" if callback is None else callback.monitor or ""
        content = RunContent(
            title=self._title,
            state=state,
            curves=self._history.curves,
            course=self._history.course,
            facts={**self._facts(trainer), **_best(callback)},
            origin=self._origin,
            monitor=monitor,
            checkpoints=kept_checkpoints(callback),
            settings=changed_settings(config),
            config=file_text(config),
            edits=edit_rows(self._live.edits),
        )
        write_text(self._file, run_page(content))


def _last_epoch(trainer: Trainer) -> int | None:
    most = trainer.max_epochs
    return most if most is not None and most > 0 else None


def _best(callback: RecordCheckpoint | None) -> dict[str, str]:
    if callback is None or not callback.best_model_path:
        return {}
    score, best = callback.best_model_score, Path(callback.best_model_path).name
    value = f" ({callback.monitor} {float(score):.6g})" if score is not None else ""
    return {"best checkpoint": f"{best}{value}"}


def kept_checkpoints(callback: RecordCheckpoint | None) -> list[KeptCheckpoint]:
    """Return the checkpoints that are on disk, in the order of their names."""
    if callback is None:
        return []
    scores = {path: float(score) for path, score in callback.best_k_models.items()}
    best, last_path = callback.best_model_path, callback.last_model_path
    paths = dict.fromkeys(path for path in (*scores, best, last_path) if path)
    return [
        KeptCheckpoint(
            name=Path(path).name,
            score=scores.get(path),
            is_best=path == best,
            is_last=path == last_path,
        )
        for path in sorted(paths)
    ]


def edit_rows(edits: Sequence[Edit]) -> list[tuple[str, ...]]:
    """Return the edits made during the run, and where it started and resumed.

    Nothing, if it was not edited.
    """
    if not any(edit.verdict != "begun" for edit in edits):
        return []
    return [row for edit in edits for row in _rows(edit)]


def _rows(edit: Edit) -> list[tuple[str, ...]]:
    """Return the rows of an edit: one for each field, or one that describes it."""
    cells = (str(edit.step), edit.time, edit.by)
    if edit.verdict == "applied" and edit.changes:
        return [(*cells, c.path, c.before, c.after, c.note) for c in edit.changes]
    words = {"begun": "the run started or resumed", "applied": "nothing changed"}
    return [(*cells, "", "", "", words.get(edit.verdict, f"refused: {edit.problem}"))]
