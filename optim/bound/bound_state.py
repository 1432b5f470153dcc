"""BoundState: what an optimizer holds of its module, and the rules for it."""

import math
import weakref
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import torch
from torch import Tensor

from ...config.process.transaction import Transaction
from ...config.process.user_warning import warn_user
from ...records.tensors.dtypes import can_require_grad
from ...records.tensors.grad_mode import no_grad
from ...records.tensors.torch_internals import untraced
from ...records.writing.lazy_snapshot import settle_snapshots
from ..clipping import Clip, ClippedGroup, clip_by_group
from ..engines.memory.tensor_form import stepped_tensor
from ..engines.tracing.extended_state import MASTER, kept_names, opened
from ..engines.tracing.state_fields import fields_of_state, state_of
from ..engines.tracing.step_call import StepCall, cast_state
from ..schedulers.scheduler import Scheduler
from ..tensor_optimizer import TensorOptimizer
from .bound_params import BoundParams, warn_replaced, warn_unheld
from .initial_states import InitialStates, States
from .param_groups import (
    GroupOptions,
    ParamGroup,
    new_group,
    restore_schedule,
    schedule_data,
)
from .pickled_states import states_to_pickle
from .state_check import check_held, check_values, checked_state
from .weight_precision import WeightPrecision

GroupGrads = list[list[Tensor | None]]
"""Gradients by group and parameter; None if there is none."""

_DRIVERS: "weakref.WeakKeyDictionary[Scheduler, weakref.ref[BoundState]]" = (
    weakref.WeakKeyDictionary()
)
"""The optimizer whose steps last advanced each schedule."""

_SHARED: "weakref.WeakSet[Scheduler]" = weakref.WeakSet()
"""Schedules with a warning that two optimizers advance them."""


class BoundState:
    """Parameters, groups and states of one optimizer, shared by all its parts.

    ``groups`` and ``states`` are shown by the torch.optim.Optimizer as ``param_groups``
    and ``state``; users and tools write to them between two steps.
    """

    def __init__(
        self,
        optimizer: TensorOptimizer[Any],
        params: BoundParams,
        lr: float | Scheduler,
        *,
        precision: WeightPrecision,
        clip: Clip | None,
        nonfinite: Literal["pass", "skip", "error"],
    ) -> None:
        self.optimizer, self.lr = optimizer, lr
        self.params = params
        self.precision = precision
        self.clip = clip
        self.nonfinite: Literal["pass", "skip", "error"] = nonfinite
        self.groups: list[ParamGroup] = []
        self.states: defaultdict[Tensor, Any] = defaultdict(dict)
        self._begin_caches()

    def _begin_caches(self) -> None:
        self.initial_states = InitialStates(self.precision, self.params.path_of)
        self._options: dict[int, GroupOptions] = {}
        """By the identity of a group's dict."""
        self._rates: dict[int, float] = {}
        """The rate last set by a group's schedule, by the same."""

    def __getstate__(self) -> dict[str, Any]:
        # A copy's groups have other identities, and its states other memory.
        caches = ("initial_states", "_options", "_rates")
        lasting = {k: v for k, v in vars(self).items() if k not in caches}
        return {**lasting, "states": states_to_pickle(self.states)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin_caches()

    @property
    def is_training(self) -> bool:
        """Whether the parameters have the values at which they are trained."""
        for group in self.groups:  # noqa: SIM110  # every step asks: no generator
            if not group.get("is_training", True):
                return False
        return True

    @is_training.setter
    def is_training(self, value: bool) -> None:
        for group in self.groups:
            group["is_training"] = value

    def new_group(self, options: ParamGroup) -> ParamGroup:
        """Return a group of ``options``; ValueError for invalid ones."""
        group = new_group(options, self.optimizer, self.lr)
        group["is_training"] = self.is_training
        params = group["params"]
        if isinstance(params, set):
            return group  # torch refuses it
        params = [params] if isinstance(params, Tensor) else list(params)
        group["params"] = params
        self._check_params(params, group["optimizer"])
        return group

    def begin_adding(self, group: ParamGroup, transaction: Transaction) -> None:
        """Remove the parameters of ``group`` from other groups, before it is added.

        Only those are removed that replaced others in the module and were followed.
        """
        followed, put_params_back = self.params.followed, self.params.undo()
        before = [(bound, bound["params"]) for bound in self.groups]

        def put_back() -> None:
            for bound, params in before:
                bound["params"] = params
            self.groups[:] = [bound for bound, _ in before]
            self._rates.pop(id(group), None)
            put_params_back()

        transaction.undo_with(put_back)
        moving = {p for p in group["params"] if isinstance(p, Tensor)} & followed
        for bound, params in before if moving else ():
            bound["params"] = [p for p in params if p not in moving]
        self.params.followed = followed - moving

    def hold_group(self, group: ParamGroup) -> None:
        """Adopt the parameters of an added group, and its initial rate."""
        self._rates[id(group)] = group["lr"]
        self.params.add(group["params"])

    def _check_params(self, params: list[Any], simple: TensorOptimizer[Any]) -> None:
        """Raise ValueError for a duplicate parameter, or one that init() refuses."""
        tensors = [p for p in params if isinstance(p, Tensor)]
        if len(set(tensors)) < len(tensors):
            twice = next(p for i, p in enumerate(tensors) if p in set(tensors[:i]))
            raise ValueError(
                f"{self.params.path_of(twice)} of shape {tuple(twice.shape)} is "
                "in the group twice; a parameter is stepped once, so list it "
                "once"
            )
        for tensor in tensors:
            if can_require_grad(tensor):
                self.initial_states.blank(simple, tensor)

    def note_rates(self) -> None:
        """Treat the rates after a load as those of the schedules.

        So there is no warning of a rate that came with the state, but of one that is
        set later.
        """
        self._rates = {id(group): group["lr"] for group in self.groups}

    def forget_rates(self) -> None:
        """Issue no warning about the present rates, whatever set them."""
        self._rates.clear()

    def optimizer_of(self, group: ParamGroup) -> TensorOptimizer[Any]:
        """Return a group's optimizer with its present hyperparameters."""
        template = group.get("optimizer", self.optimizer)
        options = self._options.get(id(group))
        if options is None or options.template is not template:
            # A deleted group may have left its identity to this one.
            present = set(map(id, self.groups))
            self._options = {i: o for i, o in self._options.items() if i in present}
            options = self._options[id(group)] = GroupOptions(template)
        return options.current(group)

    def call_of(
        self, index: int, lr: float | None, scale: float | None, limit: float | None
    ) -> StepCall:
        """Return the call of a group's step, at ``lr`` or the rate of its schedule."""
        group = self.groups[index]
        rate = self._coming_rate(group) if lr is None else lr
        return StepCall(
            self.optimizer_of(group), float(rate), bool(group["maximize"]), scale, limit
        )

    def _coming_rate(self, group: ParamGroup) -> float:
        schedule = group.get("schedule")
        rate: float = group["lr"] if schedule is None else schedule.lr()
        return rate

    def next_rate(self, index: int) -> float:
        """Return the learning rate of a group's next step.

        Raises ValueError for an invalid learning rate, as `bind` does.
        """
        group = self.groups[index]
        schedule = group.get("schedule")
        rate = self._coming_rate(group)
        if schedule is None and not math.isfinite(rate):
            raise ValueError(
                f"group {index}: its learning rate was set to {float(rate)}, expected "
                "a finite number. Nothing was changed. Set another one: "
                f"optim.param_groups[{index}]['lr'] = ..."
            )
        if schedule is not None:
            self._check_rate(index, group)
            if -_ROUNDING < rate < 0.0:
                # A schedule that falls to 0 misses it by rounding, which need not end
                # the run.
                rate = 0.0
            if not 0.0 <= rate < math.inf:
                raise ValueError(_no_rate(index, schedule, rate))
        return rate

    def _check_rate(self, index: int, group: ParamGroup) -> None:
        """Warn of a learning rate that was set where a schedule determines it."""
        rate = group["lr"]
        if rate == self._rates.get(id(group), rate):
            return
        warn_user(
            f"group {index}: its learning rate was set to {float(rate):g}, but "
            f"its schedule ({type(group['schedule']).__name__}) sets the rate of "
            "each step. To set the rate by hand, with a scheduler of torch or "
            "with a learning-rate finder, pass a number as lr to bind, or "
            f"remove the schedule: optim.param_groups[{index}]['schedule'] = None",
            RuntimeWarning,
        )

    def advance_schedules(self, rates: Sequence[float]) -> None:
        """Let each group show the rate of the step just made, and advance schedules.

        Only a step does this: saves and reports see the rate of the last step.
        """
        # Groups may share one schedule, which advances once per step.
        advanced: list[Any] = []
        for group, rate in zip(self.groups, rates, strict=True):
            schedule = group.get("schedule")
            if schedule is not None:
                group["lr"] = self._rates[id(group)] = rate
            if schedule is not None and not any(schedule is s for s in advanced):
                self._check_driver(schedule)
                schedule.advance()
                advanced.append(schedule)

    def _check_driver(self, schedule: Scheduler) -> None:
        """Warn, once, of a schedule that another optimizer advances as well."""
        driver = _DRIVERS.get(schedule)
        if driver is not None and driver() is self:
            return
        _DRIVERS[schedule] = weakref.ref(self)
        # A program may drop an optimizer and continue its schedule with another one.
        if driver is None or driver() is None or schedule in _SHARED:
            return
        _SHARED.add(schedule)
        name = type(schedule).__name__
        warn_user(
            f"two optimizers share one schedule ({name}), and each step of "
            "either advances it, so it ends too early. Give each its own "
            f"schedule: bind(..., lr={name}(...))",
            RuntimeWarning,
        )

    def clipped(self, grads: GroupGrads) -> list[ClippedGroup]:
        """Return by group the gradients, their factor and their limit."""
        group_clips = [group.get("clip") for group in self.groups]
        params = [group["params"] for group in self.groups]
        return clip_by_group(self.clip, group_clips, grads, params)

    def current_groups(self) -> list[ParamGroup]:
        """Return the groups, with the parameters that are in the module now."""
        if not self.params.is_unchanged():
            # The next step reports what has no values to step.
            with suppress(ValueError):
                self.follow_module()
        return self.groups

    def follow_module(self) -> None:
        """Follow the parameters in the module that replaced held ones."""
        if self.params.is_unchanged():
            return
        replaced = self.params.replaced()
        paths = [self.params.path_of(param) for param in replaced]
        for path, successor in zip(paths, replaced.values(), strict=True):
            check_values(path, successor)
        for group in self.groups:
            group["params"] = [replaced.get(p, p) for p in group["params"]]
        for param, successor in replaced.items():
            fields = self.states.pop(param, None)
            if fields is not None and successor.shape == param.shape:
                self.states[successor] = fields
            self.params.rebind(param, successor)
        self.params.watch()
        if paths:
            warn_replaced(paths)
        warn_unheld(self.params)

    @untraced
    @no_grad()
    def move(self, *, to_train: bool) -> None:
        """Set the parameters to the values for training, or evaluation."""
        if self.is_training is to_train:
            return
        settle_snapshots()
        for group in self.current_groups():
            simple = self.optimizer_of(group)
            move = simple.to_train if to_train else simple.to_eval
            for param in group["params"]:
                fields = self.states.get(param)
                blank = self.initial_states.blank(simple, param)
                if fields == {} or fields is None or blank is None:
                    continue
                check_held(self.params.path_of(param), param, fields, blank)
                compute = self.initial_states.compute_dtype(param, fields, blank)
                _move(move, stepped_tensor(param), fields, type(blank), compute)
        self.is_training = to_train

    def blank(self, index: int, param: Tensor) -> Any:
        """Return the state that ``param`` has in group ``index``, without values."""
        return self.initial_states.blank(self.optimizer_of(self.groups[index]), param)

    def beside_fields(self, index: int) -> list[str]:
        """Return what tools keep in the states of a group besides their fields."""
        names = dict[str, None]()
        for param in self.groups[index]["params"]:
            values = self.states.get(param)
            if isinstance(values, dict):  # pyright: ignore[reportUnnecessaryIsInstance]  # tools write there
                blank = self.blank(index, param)
                fields = fields_of_state(blank)
                names |= dict.fromkeys(n for n in values if n not in fields)
        return list(names)

    def group_of_params(self) -> dict[Tensor, int]:
        """Return the number of the group that each parameter is in."""
        return {p: i for i, group in enumerate(self.groups) for p in group["params"]}

    def housed(self, states: States, *, adopt: bool = False) -> States:
        """Return states of held parameters in storage of their own.

        With ``adopt`` large tensors are used directly if nothing else refers to them.
        """
        # A state may get the memory of an older one.
        settle_snapshots()
        groups = [group["params"] for group in self.groups]
        return self.initial_states.house(groups, states, adopt=adopt)

    def checked(
        self,
        param: Tensor,
        index: int,
        stored_fields: Mapping[str, object],
        problems: list[str],
        beside: Collection[str],
    ) -> dict[str, Any]:
        """Return stored fields as those of ``param`` in group ``index``.

        See `checked_state`, which adds to ``problems``.
        """
        path, kind = self.params.path_of(param), self.groups[index]["kind"]
        blank = self.blank(index, param)
        return checked_state(path, kind, blank, stored_fields, problems, beside)

    def replace_states(self, states: States) -> None:
        """Adopt states, already in their storage, in place of all others."""
        self.states.clear()
        self.states.update(states)

    def undo(self) -> Callable[[], object]:
        """Return what restores the present states, groups and schedules."""
        # torch's own load replaces these objects by others.
        states, groups = self.states, self.groups
        state_items, group_items = dict(states), list(groups)
        contents = [dict(group) for group in groups]
        schedules = [schedule_data(group) for group in groups]

        def undo() -> None:
            self.states, self.groups = states, groups
            states.clear()
            states.update(state_items)
            groups[:] = group_items
            for group, content, schedule in zip(
                groups, contents, schedules, strict=True
            ):
                group.clear()
                group.update(content)
                if schedule is not None:
                    restore_schedule(group, schedule)

        return undo


_ROUNDING = 1e-12
"""More than rounding changes a rate: ``0.3 - 3 * 0.1`` is -6e-17."""


def _no_rate(index: int, schedule: Scheduler, rate: float) -> str:
    return (
        f"group {index}: its schedule ({type(schedule).__name__}) gives the "
        f"learning rate {float(rate):g} at step {schedule.position()}; expected "
        "a finite rate of at least 0. Nothing was changed. Fix its at(), or "
        "give the group another schedule: "
        f"optim.param_groups[{index}]['schedule'] = ..."
    )


def _move(
    move: Callable[[Tensor, Any], Tensor],
    weight: Tensor,
    fields: dict[str, Any],
    state_type: type,
    compute: torch.dtype | None,
) -> None:
    """Move a weight, by its master if it has one, in the dtype of a step."""
    tensor, state = opened(weight, state_of(state_type, fields))
    if compute is not None:
        tensor = tensor.to(compute)
        state = cast_state(state, lambda name: compute)
    target = move(tensor, state)
    if target is tensor:
        return
    if MASTER in kept_names(state_type) and MASTER in fields:
        fields[MASTER].copy_(target)
    weight.copy_(target)
