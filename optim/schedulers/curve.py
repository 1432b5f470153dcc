"""Curve: a schedule of a configuration file as a learning rate over steps."""

from ...config.schedule import Schedule
from .scheduler import Scheduler


class Curve(Scheduler):
    """The value of ``"step: 1e-3@0 lin 1e-4@1000"`` at each step.

    ``Curve(str(schedule))`` is that of a `burnish.config.Schedule`.
    """

    text: str
    n_steps: int = 0

    def __post_init__(self) -> None:
        Schedule.parse(self.text)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        parsed: Schedule | None = self.__dict__.get("_parsed")
        if parsed is None:
            parsed = vars(self)["_parsed"] = Schedule.parse(self.text)
        return float(parsed(index))
