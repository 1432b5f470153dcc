"""Scheduler: the learning rate of each step, and the position of a run in it."""

import math
from collections.abc import Mapping
from typing import Any

from ...config.registry import Registry
from ...config.short_text import with_article
from ...config.spelling import did_you_mean
from ...records.record import Record
from ..checks import check_range, check_types


class Scheduler(Record):
    """A learning rate over steps; its fields are its settings and its position.

    Pass it as ``lr`` to ``bind`` or a `Group`, and every ``optim.step()`` uses the next
    rate; or call `step` yourself. It is saved and loaded like any record.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _KINDS.register(cls.__qualname__, value=cls)

    def __post_init__(self) -> None:
        """Check the fields of every schedule; your own calls it in ``__post_init__``.

        Raises TypeError for a field that is not a number of its declared type,
        ValueError for a step before the first.
        """
        check_types(self)
        check_range("n_steps", getattr(self, "n_steps", 0), 0)

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define at()")

    def position(self) -> int:
        """Return how many steps were taken."""
        n_steps: int = getattr(self, "n_steps")  # noqa: B009  # the field is a subclass's
        return n_steps

    def lr(self) -> float:
        """Return the learning rate of the next step."""
        return self.at(self.position())

    def advance(self) -> None:
        """Advance to the next step."""
        vars(self)["n_steps"] = self.position() + 1

    def step(self) -> float:
        """Return the learning rate of this step and advance; starts with the first."""
        lr = self.lr()
        self.advance()
        return lr

    def settings(self) -> dict[str, Any]:
        """Return the fields without those of its position.

        Two schedules of one class differ only in their position if these are equal. A
        schedule of your own with more state than ``n_steps`` leaves that out as well.
        """
        return {name: v for name, v in self.fields().items() if name != "n_steps"}

    def state_dict(self) -> dict[str, Any]:
        """Return the fields as plain data, with the kind of the schedule."""
        return {"kind": type(self).__qualname__, **self.fields()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the result of `state_dict`. Raises ValueError for another kind."""
        restored = scheduler_of(state_dict)
        if type(restored) is not type(self):
            raise ValueError(
                f"the state is of {with_article(type(restored).__qualname__)}, but "
                f"this is {with_article(type(self).__qualname__)}"
            )
        vars(self).clear()
        vars(self).update(restored.__dict__)


_KINDS: Registry[str, type[Scheduler]] = Registry()


def scheduler_of(data: "dict[str, Any] | Scheduler") -> Scheduler:
    """Return the schedule that plain data describes. Raises ValueError."""
    if isinstance(data, Scheduler):
        return data
    if not isinstance(data, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"expected a schedule, as Constant(0.1), got {data!r:.60}")
    fields = dict(data)
    kind = fields.pop("kind", None)
    if kind not in _KINDS:
        hint = did_you_mean(str(kind), _KINDS)
        raise ValueError(f"{kind!r} is not the name of a known schedule.{hint}")
    return _KINDS[kind](**fields)


def are_same(a: Scheduler, b: Scheduler) -> bool:
    """Return whether two schedules are equal up to their position."""
    return type(a) is type(b) and _as_lists(a.settings()) == _as_lists(b.settings())


def _as_lists(value: Any) -> Any:
    # Files have lists where a field was given a tuple.
    if isinstance(value, dict):
        return {name: _as_lists(v) for name, v in value.items()}  # pyright: ignore[reportUnknownVariableType]  # fields are any value
    if isinstance(value, list | tuple):
        return [_as_lists(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # fields are any value
    return value


def is_findable(schedule: Scheduler) -> bool:
    """Return whether `scheduler_of` restores an equal one from the schedule's data."""
    if _KINDS.get(type(schedule).__qualname__) is not type(schedule):
        return False
    children: list[Scheduler] = getattr(schedule, "children", [])
    return all(map(is_findable, children))


def check_rate(name: str, value: float) -> None:
    """Raise ValueError unless ``value`` is a learning rate: finite, not negative."""
    if not 0.0 <= value < math.inf:
        raise ValueError(
            f"{name} learning rate must be at least 0 and finite, got {value}"
        )


def check_n_iters(value: int) -> None:
    """Raise ValueError unless a schedule has at least one step."""
    if value < 1:
        raise ValueError(f"Number of iterations must be at least 1, got {value}")
