"""State dicts of torch: checked before, and loaded without a change of dtype."""

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch

from ...config.process.interrupts import leaving_nothing_open, uninterrupted
from ...config.process.transaction import Transaction, all_or_nothing
from ...config.process.user_warning import warn_user
from ...records.errors import RecordMismatchError
from ...records.tensors.grad_mode import ordinary_tensors
from ..bound.bound_state import BoundState
from ..bound.initial_states import States
from ..bound.param_groups import ParamGroup, part_schedules, take_over, take_values
from ..bound.state_check import (
    BESIDE,
    left_out,
    narrowed,
    what_is_left_out,
    what_is_narrow,
)
from .refused_loads import (
    IN_STATE_DICT,
    check_is_state,
    other_optimizer_cure,
)
from .upgraded_state_dict import LAYOUT, upgraded_state_dict


@leaving_nothing_open
@ordinary_tensors()
def load_state_dict(
    optimizer: torch.optim.Optimizer,
    bound: BoundState,
    state_dict: dict[str, Any],
    load: Callable[[dict[str, Any]], None],
) -> None:
    """Let torch load, then set states as they were saved, in storage of their own.

    Raises RecordMismatchError, with nothing changed, if a state does not fit, and
    changes nothing when it is interrupted.
    """
    check_is_state(state_dict)
    groups_before = [dict(group) for group in bound.current_groups()]
    states: States = {}

    def check(_: object, final_dict: dict[str, Any]) -> None:
        # The last of the hooks, since it gets the dict after the user's hooks.
        for group, data in zip(bound.groups, final_dict["param_groups"], strict=False):
            if data.get("kind", group["kind"]) == group["kind"]:
                take_values(group, data)
        states.update(_states(bound, final_dict))

    def restore(_: object) -> None:
        bound.replace_states(bound.housed(states))
        plain_groups = [_without_names(group) for group in bound.groups]
        for group, before in zip(bound.groups, groups_before, strict=True):
            group.clear()
            group.update(before)
        texts = {
            i: g["schedule"] for i, g in enumerate(plain_groups) if "schedule" in g
        }
        part_schedules(bound.groups, {i: json.loads(t) for i, t in texts.items()})
        pairs = zip(bound.groups, plain_groups, strict=True)
        for index, (group, data) in enumerate(pairs):
            lost = take_over(group, data)
            if lost:
                warn_user(f"group {index}: {lost}", RuntimeWarning)

    def attempt(transaction: Transaction) -> None:
        transaction.undo_with(bound.undo())
        with _hooked(optimizer, check, restore):
            load(upgraded_state_dict(bound, state_dict, IN_STATE_DICT))

    all_or_nothing(attempt)


@contextmanager
def _hooked(
    optimizer: torch.optim.Optimizer,
    before: Callable[..., None],
    after: Callable[..., None],
) -> Generator[None]:
    """Let torch call ``before`` as the last and ``after`` as the first of the hooks."""
    handles: list[Any] = []
    # An interrupt may replace one of the calls of `_remove`; the other is still made.
    try:
        try:
            with uninterrupted():
                handles.append(optimizer.register_load_state_dict_pre_hook(before))
                register = optimizer.register_load_state_dict_post_hook
                handles.append(register(after, prepend=True))
            yield
        finally:
            _remove(handles)
    finally:
        _remove(handles)


def _kind_by_decay(group: Mapping[str, Any], bound_kind: str) -> str | None:
    """Return which of torch's two Adams a group is of, if their decays differ.

    Their states are alike, and torch's groups name no optimizer.
    """
    is_decoupled = group.get("decoupled_weight_decay")
    is_adam = bound_kind in ("Adam", "AdamW") and isinstance(is_decoupled, bool)
    if not (is_adam and group.get("weight_decay")):
        return None
    return "AdamW" if is_decoupled else "Adam"


def _without_names(group: ParamGroup) -> ParamGroup:
    """Return a stored group without the names that describe its states."""
    return {name: v for name, v in group.items() if name not in (BESIDE, LAYOUT)}


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()


def _states(bound: BoundState, state_dict: dict[str, Any]) -> States:
    """Return the states by parameter, as they are to be stored."""
    ours, theirs = bound.groups, state_dict["param_groups"]
    if [len(g["params"]) for g in ours] != [len(g["params"]) for g in theirs]:
        return {}  # torch raises its own error
    problems: list[str] = []
    dropped: dict[str, list[str]] = {}
    narrow: dict[str, str] = {}
    states: States = {}
    numbers = chain.from_iterable(g["params"] for g in theirs)
    params = [(i, p) for i, g in enumerate(ours) for p in g["params"]]
    for index, group in enumerate(theirs):
        bound_kind = ours[index]["kind"]
        kind = group.get("kind") or _kind_by_decay(group, bound_kind)
        if kind is not None and kind != bound_kind:
            problems.append(
                f"group {index}: found the state of {kind}, expected that of "
                f"{bound_kind}"
            )
    for number, (index, param) in zip(numbers, params, strict=True):
        fields = state_dict["state"].get(number)
        if fields is None or problems:
            continue
        path, blank = bound.params.path_of(param), bound.blank(index, param)
        dropped[path], narrow[path] = left_out(blank, fields), narrowed(blank, fields)
        beside = theirs[index].get(BESIDE, ())
        states[param] = bound.checked(param, index, fields, problems, beside)
    if problems:
        raise RecordMismatchError(IN_STATE_DICT, problems, other_optimizer_cure())
    for text in [*what_is_left_out(dropped), *what_is_narrow(narrow)]:
        warn_user(text, RuntimeWarning)
    return states
