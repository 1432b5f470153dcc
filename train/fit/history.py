"""History: the curves of a run, kept across resumes."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class History(Callback):
    """Notes every logged number: per metric, steps and values."""

    def __init__(self) -> None:
        self.curves: dict[str, tuple[list[int], list[float]]] = {}
        self.has_trained = False
        """Whether this run, and not only one before it, trained a batch."""

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Note what training logged."""
        self.has_trained = True
        every = max(int(getattr(trainer, "log_every_n_steps", 1)), 1)
        if trainer.global_step % every == 0:
            self._note(trainer, "training/")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what validation logged."""
        if not trainer.sanity_checking:
            self._note(trainer, "validation/")

    def state_dict(self) -> dict[str, Any]:
        """Return the curves as plain data."""
        return {"curves": {name: list(curve) for name, curve in self.curves.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the curves of the run that was interrupted."""
        self.curves = {
            name: ([*steps], [*values])
            for name, (steps, values) in state_dict["curves"].items()
        }

    def _note(self, trainer: Trainer, prefix: str) -> None:
        for name, value in trainer.callback_metrics.items():
            if not name.startswith(prefix):
                continue
            steps, values = self.curves.setdefault(name, ([], []))
            if not steps or steps[-1] != trainer.global_step:
                steps.append(trainer.global_step)
                values.append(float(value))
