"""The settings of a group, which are in its dict and in state dicts as plain data.

Besides torch's keys and the hyperparameters a group has ``optimizer``, ``schedule`` and
``clip``, which are objects, ``kind`` and ``is_training``. `GroupOptions` creates the
optimizer of a group's hyperparameters again when they are changed.
"""

import copy
import dataclasses
import json
from collections.abc import Mapping, Sequence
from numbers import Real
from operator import is_
from typing import Any

from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...config.process.user_warning import warn_user
from ..checks import check_range, check_types
from ..clipping import Clip, ClipGlobalNorm, ClipNorm, ClipValue, check_clip
from ..schedulers.scheduler import Scheduler, are_same, scheduler_of
from ..tensor_optimizer import TensorOptimizer, check_optimizer, hyperparameters
from .plain_values import as_held, as_stored, is_storable_value

ParamGroup = dict[str, Any]

_OBJECTS = ("optimizer", "schedule", "clip")
_CLIPS = {cls.__name__: cls for cls in (ClipValue, ClipNorm, ClipGlobalNorm)}


def new_group(
    options: ParamGroup, base: TensorOptimizer[Any], lr: "float | Scheduler"
) -> ParamGroup:
    """Return a group of ``options``, completed by those of the optimizer.

    Raises the errors of `bind`: TypeError and ValueError for hyperparameters that the
    optimizer does not accept, on which each step would fail.
    """
    simple = options.get("optimizer", base)
    check_optimizer(simple, "{'params': [...], 'optimizer': AdamW(), 'lr': 1e-3}")
    check_clip(options.get("clip"))
    rate = options.get("lr", lr)
    group_options = GroupOptions(simple)
    group = {
        **group_options.values(),
        "clip": None,
        **options,
        "lr": first_rate(rate),
        "optimizer": simple,
        "schedule": rate if isinstance(rate, Scheduler) else None,
        "kind": type(simple).__name__,
    }
    check_types(group_options.current(group))
    return group


def is_hyperparameter(name: str) -> bool:
    """Return whether the value of ``name`` in a group is stored among its settings."""
    return name not in ("params", "kind", "is_training", *_OBJECTS)


def first_rate(lr: "float | Tensor | Scheduler") -> Any:
    """Return the initial learning rate of a group. Raises ValueError."""
    rate = lr.lr() if isinstance(lr, Scheduler) else lr
    if not isinstance(rate, Real | Tensor) or isinstance(rate, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(
            f"lr must be a number or a schedule, got {rate!r:.60}{_cure_of_rate(rate)}"
        )
    check_range("lr", float(rate), 0.0)
    return rate


def _cure_of_rate(rate: object) -> str:
    """Return the schedule that was meant by ``rate``, a string or a function."""
    if isinstance(rate, str):
        return (
            f". To use it as a schedule, write burnish.optim.schedulers.Curve({rate!r})"
        )
    if callable(rate):
        return (
            ". burnish.optim.schedulers has schedules, and Scheduler, the base "
            "class for your own. For a function of the step, pass a number here "
            "and use torch.optim.lr_scheduler.LambdaLR(optim, function)"
        )
    return ""


def plain_group(group: ParamGroup) -> ParamGroup:
    """Return a group as ``torch.load(weights_only=True)`` can read it."""
    data = {
        name: value
        for name, value in _as_data(group).items()
        if isinstance(value, Tensor) or is_storable_value(value)
    }
    if "params" in group:
        data["params"] = group["params"]
    clip: Clip | None = group.get("clip")
    if "schedule" in group:
        # Its absence is stored too, since it may have been removed.
        data["schedule"] = json.dumps(schedule_data(group))
    if clip is not None:
        described = {"kind": type(clip).__name__, **dataclasses.asdict(clip)}
        data["clip"] = json.dumps(described)
    return data


def plain_hyperparameters(group: ParamGroup) -> dict[str, Any]:
    """Return a group's hyperparameters as data for a record, without tensors."""
    data: dict[str, Any] = {}
    for name, value in _as_data(group).items():
        if is_hyperparameter(name):
            data[name] = _numbers(value) if isinstance(value, Tensor) else value
    return {name: value for name, value in data.items() if is_storable_value(value)}


def warn_of_left_out(groups: Sequence[ParamGroup]) -> None:
    """Warn of values in groups that are not data: functions and other objects.

    A default of the optimizer's class is not lost, since the class supplies it.
    """
    for index, group in enumerate(groups):
        for name, value in _as_data(group).items():
            if isinstance(value, Tensor) or is_storable_value(value):
                continue
            fields = getattr(group["optimizer"], "__dataclass_fields__", {})
            if name not in fields or group[name] is not fields[name].default:
                warn_user(
                    f"group {index}: {name} of {group['kind']} is not plain data "
                    f"({group[name]!r:.60}), so it is not saved: an optimizer "
                    "that loads this file keeps the value that it was built "
                    "with. Build it with the same value, or use a string or an "
                    "Enum",
                    RuntimeWarning,
                )


def _as_data(group: ParamGroup) -> dict[str, Any]:
    """Return the settings of a group, without parameters and objects, as stored."""
    return {
        name: as_stored(value)
        for name, value in group.items()
        if name != "params" and name not in _OBJECTS
    }


def _numbers(tensor: Tensor) -> Any:
    return tensor.item() if tensor.numel() == 1 else tensor.tolist()


def take_values(group: ParamGroup, data: Mapping[str, Any]) -> None:
    """Set the hyperparameters in ``data`` on the group's optimizer, without the rate.

    They determine which state a parameter has, and so how a stored state is judged.
    """
    for name in hyperparameters(group["optimizer"]):
        if name in data:
            group[name] = as_held(group.get(name), data[name])


def take_over(group: ParamGroup, data: ParamGroup) -> str:
    """Set the result of `plain_group` for another group on ``group``; keep parameters.

    Returns a description of the stored schedule if this group has another one or none.
    """
    lost = ""
    for name, value in data.items():
        if name == "schedule":
            state, before = json.loads(value), group.get("schedule")
            lost = f"{before}" if replaces_settings(before, state) else ""
            if not restore_schedule(group, state):
                lost = f"{before}" if before else ""
                group["schedule"] = None if state is None else scheduler_of(state)
        elif name == "clip":
            described = json.loads(value)
            group["clip"] = _CLIPS[described.pop("kind")](**described)
        elif name not in ("params", "optimizer"):
            group[name] = as_held(group.get(name), value)
    now = group.get("schedule") or f"its rate {group['lr']}"
    return f"{now} is restored and replaces {lost}" if lost else ""


def schedule_data(group: ParamGroup) -> dict[str, Any] | None:
    """Return a group's schedule as plain data; None if it has none."""
    schedule: Scheduler | None = group.get("schedule")
    return None if schedule is None else schedule.state_dict()


def replaces_settings(schedule: Scheduler | None, state: dict[str, Any] | None) -> bool:
    """Return whether `restore_schedule` would change the settings of ``schedule``."""
    if schedule is None or state is None:
        return False
    stored_schedule = scheduler_of(state)
    is_of_class = isinstance(schedule, type(stored_schedule))
    return is_of_class and not are_same(schedule, stored_schedule)


def restore_schedule(group: ParamGroup, state: dict[str, Any] | None) -> bool:
    """Continue the group's schedule from a stored one.

    Returns False, with nothing changed, if only one of both is a schedule, or they are
    of two kinds.
    """
    schedule: Scheduler | None = group.get("schedule")
    if schedule is None or state is None:
        return schedule is None and state is None
    if not isinstance(schedule, type(scheduler_of(state))):
        return False
    schedule.load_state_dict(state)
    return True


def part_schedules(
    groups: Sequence[ParamGroup], states: Mapping[int, dict[str, Any] | None]
) -> None:
    """Give groups that share a schedule one each if different ones were stored.

    ``states`` has them by the numbers of groups. A value loaded into a shared object
    applies to all groups that share it, so that the last would replace the others.
    """
    first_of: dict[int, int] = {}
    for index, state in states.items():
        schedule: Scheduler | None = groups[index].get("schedule")
        shares_with = first_of.setdefault(id(schedule), index)
        if state != states[shares_with]:
            groups[index]["schedule"] = copy.deepcopy(schedule)


_RESERVED = frozenset(
    ["params", "lr", "kind", "maximize", "optimizer", "schedule", "clip", "is_training"]
)
_PAIRS = (("b1", "b2"), ("beta1", "beta2"), ("beta_1", "beta_2"))


class GroupOptions:
    """Rebuilds the optimizer when a schedule or the user writes to the group.

    Torch's cyclic schedules look for ``betas``; an optimizer that has two separate ones
    gets that key too, and a change of either is adopted.
    """

    def __init__(self, template: TensorOptimizer[Any]) -> None:
        self.template = template
        check_types(template)
        initial = hyperparameters(template)
        clashes = _RESERVED & initial.keys()
        if clashes:
            raise TypeError(
                f"{type(template).__qualname__} has a hyperparameter "
                f"{min(clashes)!r}, but param groups use that name; rename it"
            )
        self.names = tuple(initial)
        self.pair = next(
            (p for p in _PAIRS if initial.keys() >= set(p) and "betas" not in initial),
            None,
        )
        self._current = template
        self._values = _snapshot([initial[name] for name in self.names])
        self._betas = tuple(initial[name] for name in self.pair or ())

    def values(self) -> dict[str, Any]:
        """Return the initial content of the group."""
        # Lists are copied, since the template may belong to another optimizer, too.
        values = _snapshot(hyperparameters(self.template))
        return {**values, "betas": self._betas} if self.pair else values

    def current(self, group: dict[str, Any]) -> TensorOptimizer[Any]:
        """Return the optimizer with the present hyperparameters of ``group``.

        Raises ValueError if one is out of range, as its constructor does.
        """
        if self.pair is not None:
            self._share_betas(group, self.pair)
        values = [group[name] for name in self.names]
        if _differ(values, self._values):
            changes = {
                name: tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType]  # items are any value
                for name, value in zip(self.names, values, strict=True)
            }
            self._current = dataclasses.replace(self.template, **changes)  # type: ignore[type-var]  # names are fields, so it is a dataclass
            self._values = _snapshot(values)
        return self._current

    def _share_betas(self, group: dict[str, Any], pair: tuple[str, str]) -> None:
        betas = tuple(group.get("betas", self._betas))
        if betas != self._betas:
            group[pair[0]], group[pair[1]] = betas
        self._betas = (group[pair[0]], group[pair[1]])
        group["betas"] = self._betas


def _snapshot(value: Any) -> Any:
    """Return a copy of lists, dicts and sets, by which in-place changes are seen."""
    if type(value) is list:
        return [*map(_snapshot, value)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # values are any
    if type(value) is tuple:
        items = tuple(map(_snapshot, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # values are any
        # A tuple that nothing can change is known by its identity as a class's default.
        return value if all(map(is_, items, value)) else items  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # values are any
    if type(value) is dict:
        return {name: _snapshot(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]  # values are any
    return set(value) if type(value) is set else value


def _differ(values: list[Any], before: list[Any]) -> bool:
    """Return whether a hyperparameter has changed, or, for a tensor, may have."""
    try:
        return values != before
    except (RuntimeError, ValueError) as error:
        raise_of_signal(error)
        # Tensors and arrays compare item by item.
        return any(a is not b for a, b in zip(values, before, strict=True))
