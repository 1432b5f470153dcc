"""State dicts of torch: loaded without a change of dtype, checked before."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...config.process.interrupts import (
    all_or_nothing,
    leaving_nothing_open,
    uninterrupted,
)
from ...records.errors import RecordMismatchError
from ...records.grad_mode import ordinary_tensors
from ..bound.param_groups import take_over
from ..bound.state_check import BESIDE, fitted
from ..stepping.stepper import Stored
from .optimizer_record import undo_of

if TYPE_CHECKING:
    from ..adaptor import OptimizerAdaptor

_WHERE = "the state dict"


@leaving_nothing_open
@ordinary_tensors()
def load_state_dict(
    adaptor: "OptimizerAdaptor",
    state_dict: dict[str, Any],
    load: Callable[[dict[str, Any]], None],
) -> None:
    """Let torch load, then put states back as they were saved, in storage of their own.

    Raises RecordMismatchError, with nothing changed, where a state does not fit, and
    changes nothing when it is interrupted.
    """
    old = [dict(group) for group in adaptor.param_groups]
    states: dict[Tensor, Stored] = {}

    def check(_: Any, given: dict[str, Any]) -> None:
        # The last of the hooks: it sees what those of the user made of the dict.
        states.update(_states(adaptor, given))

    def restore(_: Any) -> None:
        adaptor.state.clear()
        adaptor.state.update(adaptor.housed(states))
        for group, before in zip(adaptor.param_groups, old, strict=True):
            group.pop(BESIDE, None)
            stored = dict(group)
            group.update(before)
            take_over(group, stored)

    def attempt(undos: list[Callable[[], object]]) -> None:
        undos.append(undo_of(adaptor))
        with _hooked(adaptor, check, restore):
            load(state_dict)

    all_or_nothing(attempt, lambda: None)


@contextmanager
def _hooked(
    adaptor: "OptimizerAdaptor",
    before: Callable[..., None],
    after: Callable[..., None],
) -> Generator[None]:
    """Let torch call ``before`` as the last and ``after`` as the first of the hooks."""
    handles: list[Any] = []
    # An interrupt may come in place of either `_remove`, and the other is made.
    try:
        try:
            with uninterrupted():
                handles.append(adaptor.register_load_state_dict_pre_hook(before))
                register = adaptor.register_load_state_dict_post_hook
                handles.append(register(after, prepend=True))
            yield
        finally:
            _remove(handles)
    finally:
        _remove(handles)


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()


def _states(adaptor: "OptimizerAdaptor", given: dict[str, Any]) -> dict[Tensor, Stored]:
    """Return the states by parameter, as they are to be kept."""
    ours, theirs = adaptor.param_groups, given["param_groups"]
    if [len(g["params"]) for g in ours] != [len(g["params"]) for g in theirs]:
        return {}  # torch raises, in its own words
    problems: list[str] = []
    states: dict[Tensor, Stored] = {}
    numbers = chain.from_iterable(g["params"] for g in theirs)
    params = [(i, p) for i, g in enumerate(ours) for p in g["params"]]
    for index, group in enumerate(theirs):
        kind, own = group.get("kind"), ours[index]["kind"]
        if kind is not None and kind != own:
            problems.append(
                f"group {index}: found the state of {kind}, expected that of {own}"
            )
    for number, (index, param) in zip(numbers, params, strict=True):
        stored = given["state"].get(number)
        if stored is None or problems:
            continue
        path, beside = adaptor.path_of(param), theirs[index].get(BESIDE, ())
        states[param] = fitted(adaptor, index, param, path, stored, problems, beside)
    if problems:
        raise RecordMismatchError(_WHERE, problems)
    return states
