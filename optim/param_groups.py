"""What belongs to a group lives in its dict; state dicts hold it as plain data.

Beside torch's keys and the hyperparameters a group has ``optimizer``, ``schedule`` and
``clip``, which are objects, ``kind`` and ``is_training``.
"""

import dataclasses
import json
from enum import Enum, Flag
from functools import reduce
from itertools import zip_longest
from numbers import Real
from operator import or_
from typing import Any

import numpy as np
from torch import Tensor

from .clipping import Clip, ClipGlobalNorm, ClipNorm, ClipValue
from .hyper import Hyper
from .schedulers.scheduler import Scheduler
from .simple import SimpleOptimizer, check_range

ParamGroup = dict[str, Any]

_OBJECTS = ("optimizer", "schedule", "clip")
_CLIPS = {cls.__name__: cls for cls in (ClipValue, ClipNorm, ClipGlobalNorm)}


def new_group(
    options: ParamGroup, base: SimpleOptimizer[Any], lr: "float | Scheduler"
) -> ParamGroup:
    """Return a group of ``options``; what they leave out is that of the optimizer."""
    simple = options.get("optimizer", base)
    rate = options.get("lr", lr)
    return {
        **Hyper(simple).values(),
        "clip": None,
        **options,
        "lr": first_rate(rate),
        "optimizer": simple,
        "schedule": rate if isinstance(rate, Scheduler) else None,
        "kind": type(simple).__name__,
    }


def first_rate(lr: "float | Tensor | Scheduler") -> Any:
    """Return the learning rate that a group starts with. Raises ValueError."""
    rate = lr.lr() if isinstance(lr, Scheduler) else lr
    if not isinstance(rate, Real | Tensor) or isinstance(rate, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(f"lr is a number or a schedule, got {rate!r:.60}")
    check_range("lr", float(rate), 0.0)
    return rate


def plain_group(group: ParamGroup) -> ParamGroup:
    """Return a group as ``torch.load(weights_only=True)`` reads it back."""
    plain = {
        name: as_stored(value)
        for name, value in group.items()
        if name not in _OBJECTS and _is_storable(value)
    }
    schedule: Scheduler | None = group.get("schedule")
    clip: Clip | None = group.get("clip")
    if schedule is not None:
        plain["schedule"] = json.dumps(schedule.state_dict())
    if clip is not None:
        described = {"kind": type(clip).__name__, **dataclasses.asdict(clip)}
        plain["clip"] = json.dumps(described)
    return plain


def take_over(group: ParamGroup, stored: ParamGroup) -> None:
    """Set in ``group`` what `plain_group` told of another one; parameters stay."""
    for name, value in stored.items():
        if name == "schedule":
            restore_schedule(group, json.loads(value))
        elif name == "clip":
            described = json.loads(value)
            group["clip"] = _CLIPS[described.pop("kind")](**described)
        elif name not in ("params", "optimizer"):
            group[name] = as_held(group.get(name), value)


def restore_schedule(group: ParamGroup, state: dict[str, Any]) -> None:
    """Let the group's schedule, if it has one, go on where a stored one stood."""
    schedule: Scheduler | None = group.get("schedule")
    if schedule is not None:
        schedule.load_state_dict(state)


def as_stored(value: Any) -> Any:
    """Return a value as plain data, at any depth: texts, numbers, lists and tuples.

    A member of an Enum becomes its name, a number or text of numpy that of Python.
    """
    if isinstance(value, Enum):
        return value.name or ""  # no flag at all has no name
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        items = map(as_stored, value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # items are any value
        return list(items) if isinstance(value, list) else tuple(items)
    return value


def as_held(held: Any, stored: Any) -> Any:
    """Return a stored hyperparameter as the kind of value that stands there now."""
    if isinstance(held, Enum) and isinstance(stored, str):
        return _member(type(held), stored)
    if isinstance(held, np.generic) and isinstance(stored, bool | int | float | str):
        # A rate that was set since then may be none of numpy's narrower numbers.
        number: Any = type(held)(stored)  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]  # each of them takes one
        return number if number.item() == stored else stored
    if isinstance(held, list | tuple) and isinstance(stored, list | tuple):
        pairs = zip_longest(held[: len(stored)], stored)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # items are any value
        rebuild = getattr(type(held), "_make", type(held))  # pyright: ignore[reportUnknownArgumentType]  # a named tuple takes no list
        return rebuild([as_held(own, item) for own, item in pairs])
    return stored


def _member(cls: type[Enum], name: str) -> Enum:
    """Return a member by its name; several flags have one of theirs together."""
    if issubclass(cls, Flag):
        names = name.split("|") if name else []
        return reduce(or_, (cls[part] for part in names), cls(0))
    return cls[name]


def _is_storable(value: Any) -> bool:
    """Whether state dicts may hold it; functions and the like stay the group's."""
    if isinstance(value, list | tuple):
        return all(map(_is_storable, value))
    plain = bool | int | float | str | Tensor | Enum | np.generic
    return value is None or isinstance(value, plain)
