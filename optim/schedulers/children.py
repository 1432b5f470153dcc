"""Parent: a schedule made of schedules, stored as plain data."""

from typing import Any

from ...config.shown import shown
from .scheduler import Scheduler, scheduler_of


class Parent(Scheduler):
    """A schedule whose first field are others; each keeps its own state."""

    schedulers: list[Any]

    def __post_init__(self) -> None:
        if not isinstance(self.schedulers, list | tuple):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            name, example = type(self).__name__, "[Cosine(1e-3, 1000)]"
            raise TypeError(
                f"{name} is made of a list of schedules, as in {name}({example}, ...), "
                f"got {shown(self.schedulers)}"
            )
        # Data and objects alike come in; objects are what the steps ask.
        self.schedulers = [scheduler_of(scheduler) for scheduler in self.schedulers]

    @property
    def children(self) -> list[Scheduler]:
        """The schedules that this one is made of."""
        children = [scheduler_of(scheduler) for scheduler in self.schedulers]
        self.schedulers = list(children)
        return children

    def fields(self) -> dict[str, Any]:
        """Return the fields, with the children as plain data."""
        stored = [child.state_dict() for child in self.children]
        return {**super().fields(), "schedulers": stored}
