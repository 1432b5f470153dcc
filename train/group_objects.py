"""Objects in the param groups of our optimizers, as plain data that tools may keep.

Lightning's finetuning callbacks, for instance, keep copies of groups in their own
state, and create the groups of a resumed run from them. A name in a file finds a class
that is ours or that the program has defined; it imports nothing.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from ..config.path import join
from ..config.plain.codec import Decoding, Encoding, Kind
from ..config.plain.kinds import making
from ..config.plain.node import Node
from ..config.spelling import did_you_mean
from ..optim.clipping import Clip
from ..optim.schedulers.scheduler import Scheduler, is_findable, scheduler_of
from ..optim.simple import SimpleOptimizer
from ..optim.tensor_optimizer import hyperparameters

_CLIPS: dict[str, type[Clip]] = {cls.__name__: cls for cls in get_args(Clip)}


def class_name(cls: type) -> str:
    """Return the name by which `simple_class` finds a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


def simple_class(name: str) -> type[SimpleOptimizer[Any]] | None:
    """Return the newest class of that module and name; None if none is defined."""
    return next((c for c in _simple_classes() if class_name(c) == name), None)


def required_class(name: str) -> type[SimpleOptimizer[Any]]:
    """Return the result of `simple_class`. ValueError if there is none."""
    cls = simple_class(name)
    if cls is None:
        hint = did_you_mean(name, map(class_name, _simple_classes()))
        raise ValueError(
            f"no optimizer {name!r} is defined in this program; import the "
            f"module that defines it.{hint}"
        )
    return cls


def _simple_classes() -> Iterable[type[SimpleOptimizer[Any]]]:
    """Return the simple optimizers that are ours, or that the program has defined."""
    from .. import optim

    for name in optim.__all__:
        candidate = getattr(optim, name)
        if isinstance(candidate, type) and issubclass(candidate, SimpleOptimizer):
            yield candidate
    unvisited = SimpleOptimizer.__subclasses__()
    while unvisited:
        cls = unvisited.pop()
        unvisited += [c for c in cls.__subclasses__() if c not in unvisited]
        yield cls


def _optimizer_node(
    encoding: Encoding, optimizer: SimpleOptimizer[Any], path: str, depth: int
) -> Node:
    name = class_name(type(optimizer))
    has_other_state = not dataclasses.is_dataclass(optimizer) and vars(optimizer)
    if simple_class(name) is not type(optimizer) or has_other_state:
        raise TypeError(
            f"{path}: {optimizer!r:.60} cannot be restored from a checkpoint; make "
            f"{name} a dataclass, and the only class of that name"
        )
    fields = encoding.fields(hyperparameters(optimizer), path, depth + 1)
    return {"$optimizer": [name, fields]}


def _optimizer_of(
    decoding: Decoding, content: Node, path: str, depth: int
) -> SimpleOptimizer[Any]:
    name, fields = content
    values: dict[str, Any] = {
        field: decoding.decode(node, join(path, field), depth + 2)
        for field, node in fields.items()
    }
    return required_class(str(name))(**values)


def _schedule_node(
    encoding: Encoding, schedule: Scheduler, path: str, depth: int
) -> Node:
    # A record of an unknown class holds its fields, as any record does.
    if not is_findable(schedule):
        return schedule
    return {"$schedule": encoding.fields(schedule.state_dict(), path, depth + 1)}


def _clip_node(encoding: Encoding, clip: Clip, path: str, depth: int) -> Node:
    return {"$clip": {"kind": type(clip).__name__, **dataclasses.asdict(clip)}}


def _clip_of(data: Mapping[str, Any]) -> Clip:
    fields = dict(data)
    return _CLIPS[fields.pop("kind")](**fields)


GROUP_OBJECTS: tuple[Kind, ...] = (
    Kind(
        types=SimpleOptimizer,
        encode=_optimizer_node,
        tag="$optimizer",
        decode=_optimizer_of,
        is_deep=True,
    ),
    Kind(
        types=Scheduler,
        encode=_schedule_node,
        tag="$schedule",
        decode=making(scheduler_of),
        is_deep=True,
    ),
    Kind(
        types=get_args(Clip),
        encode=_clip_node,
        tag="$clip",
        decode=making(_clip_of),
        is_deep=True,
    ),
)
"""The kinds of plain data that groups add."""
