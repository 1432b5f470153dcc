"""Parent: a schedule made of schedules, stored as plain data."""

from typing import Any

from .scheduler import Scheduler, scheduler_of


class Parent(Scheduler):
    """A schedule whose first field are others; each keeps its own state."""

    schedulers: list[Any]

    def __post_init__(self) -> None:
        # Data and objects alike come in; objects are what the steps ask.
        self.schedulers = [scheduler_of(one) for one in self.schedulers]

    @property
    def children(self) -> list[Scheduler]:
        """The schedules that this one is made of."""
        made = [scheduler_of(one) for one in self.schedulers]
        self.schedulers = list(made)
        return made

    def fields(self) -> dict[str, Any]:
        """Return the fields, with the children as plain data."""
        stored = [child.state_dict() for child in self.children]
        return {**super().fields(), "schedulers": stored}
