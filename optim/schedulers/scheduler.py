"""Scheduler: the learning rate of each step, and where a run stands in it."""

from ...records.record import Record


class Scheduler(Record):
    """A learning rate over steps; its fields are what it is and where it stands.

    Give it as ``lr`` to ``bind`` or a `Group` and every ``optim.step()`` takes the
    next; or call `step` yourself. Saved and loaded as any record.
    """

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define at()")

    def lr(self) -> float:
        """Return the learning rate of the coming step."""
        return self.at(getattr(self, "n_steps"))

    def advance(self) -> None:
        """Go on to the next step."""
        setattr(self, "n_steps", getattr(self, "n_steps") + 1)

    def step(self) -> float:
        """Return the learning rate of this step, and go on to the next."""
        lr = self.lr()
        self.advance()
        return lr
