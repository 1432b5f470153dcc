"""InitialStates: the initial states of parameters, in storage of their own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...config.process.interrupts import raise_of_signal
from ...config.short_text import with_article
from ...records.tensors.grad_mode import no_grad
from ...records.tensors.shares import spread_of
from ..engines.memory.arena import Arena
from ..engines.memory.entangled import overlaps_itself
from ..engines.memory.tensor_form import (
    copied,
    has_form_of,
    is_plain_tensor,
    stepped_tensor,
)
from ..engines.tracing.generators import watched_generators
from ..engines.tracing.state_fields import declared, fields_of_state, follow
from ..engines.tracing.step_call import StepFunctions
from .state_check import check_held
from .weight_precision import WeightPrecision

Fields = dict[str, Any]
"""A state as a dict of fields, as torch keeps it."""

States = dict[Tensor, Fields]
_MANY = 4096
PathOf = Callable[[Tensor], str]


class InitialStates:
    """Creates the states of one optimizer, and places all states in its arenas."""

    def __init__(self, precision: WeightPrecision, path_of: PathOf) -> None:
        self.precision = precision
        self.path_of = path_of
        self.blanks: dict[tuple[Any, ...], Any] = {}
        """Earlier results of `blank`, by optimizer and form of the parameter."""
        self._arenas: dict[int, Arena] = {}

    def blank(self, simple: StepFunctions, param: Tensor) -> Any:
        """Return the state of ``param`` before the first step, without its values.

        Raises the error of `init` for a parameter that it does not accept, and
        TypeError for a state that is not a record.
        """
        form = (param.shape, param.dtype, *spread_of(param))
        key: tuple[Any, ...] = (type(simple), simple, *form)
        try:
            is_known = key in self.blanks
        except TypeError:  # a hyperparameter that is not hashable
            key = (type(simple), repr(simple), *form)
            is_known = key in self.blanks
        if not is_known:
            # With a schedule on a hyperparameter the optimizer differs at each step.
            if len(self.blanks) >= _MANY:
                self.blanks.clear()
            dtype = self.precision.state_dtype_of(param)
            state = _blank(simple, param, dtype, self.path_of)
            self.blanks[key] = self.precision.blank(param, state)
        return self.blanks[key]

    def house(
        self, groups: list[list[Tensor]], states: States, *, adopt: bool
    ) -> States:
        """Return all states of the optimizer with their tensors in new storage.

        With ``adopt`` large tensors are used directly if nothing else refers to them.
        """
        self._arenas = {i: Arena(params) for i, params in enumerate(groups)}
        return {
            param: self._arenas[i].house(param, states[param], adopt=adopt)
            for i, params in enumerate(groups)
            for param in params
            if param in states
        }

    def lacking(
        self, params: list[Tensor], blanks: list[Any], states: States
    ) -> list[Tensor]:
        """Return the parameters without a state; check and move all others."""
        lacking: list[Tensor] = []
        for param, blank in zip(params, blanks, strict=True):
            fields = states.get(param)
            is_empty = isinstance(fields, dict) and not fields
            if fields is None or (is_empty and blank is not None):
                lacking.append(param)
            else:
                check_held(self.path_of(param), param, fields, blank)
                _bring_along(param, fields)
        _part(params, states)
        return lacking

    def make(
        self,
        index: int,
        params: list[Tensor],
        lacking: list[Tensor],
        states: States,
        simple: StepFunctions,
    ) -> None:
        """Put the first states of those that lack one into ``states``.

        ``params`` are all of group ``index``, which determines where a state lies.
        Those that lie elsewhere are moved.
        """
        arena = self._tidy_arena(index, params, lacking, states, simple)
        # All are created before any is stored, since init() may raise for the last of
        # them.
        initial: States = {}
        for param in lacking:
            tensor = stepped_tensor(param)
            if not param.is_complex():
                tensor = tensor.to(self.precision.state_dtype_of(param))
            state = simple.init(tensor)
            fields = fields_of_state(state)
            fields |= self.precision.beside(param, self.path_of(param))
            initial[param] = arena.house(param, fields)
        states.update(initial)

    def complete(
        self, index: int, params: list[Tensor], stepped: list[Tensor], states: States
    ) -> None:
        """Initialize what is kept for weights beside states, where it is missing.

        Such a state was saved without it, or it was removed.
        """
        for param in stepped:
            fields = states[param]
            lacking = self.precision.beside(param, self.path_of(param), fields)
            if lacking:
                fields |= self._arena(index, params).house(param, lacking)

    def compute_dtype(
        self, param: Tensor, fields: Fields, blank: object
    ) -> torch.dtype | None:
        """Return the dtype to compute in if it is not the parameter's."""
        wide = self.precision.compute_dtype(param)
        state_dtype = self.precision.state_dtype
        differs = wide is not param.dtype or (state_dtype or wide) is not wide
        for name, value in fields.items():
            if isinstance(value, Tensor) and value.dtype != param.dtype:
                usual = getattr(blank, name, None)
                # A loaded state of higher precision is kept and used; if init() itself
                # creates a wider one, the step converts it as its author wrote.
                if isinstance(usual, Tensor) and usual.dtype != value.dtype:
                    wide, differs = torch.promote_types(wide, value.dtype), True
        return wide if differs and not param.is_complex() else None

    def _tidy_arena(
        self,
        index: int,
        params: list[Tensor],
        lacking: list[Tensor],
        states: States,
        simple: StepFunctions,
    ) -> Arena:
        """Return the arena of a group, with free rooms for those that lack a state.

        If one of them had a state, the group has changed, or a state lies elsewhere
        (its parameter got another memory format, or it was set by hand), all move to a
        new arena, in the order of a run that is resumed from a file.
        """
        arena, absent = self._arenas.get(index), set(lacking)
        own_fields: States = {}
        for param in params:
            fields, blank = states.get(param), self.blank(simple, param)
            # Users can write to `optimizer.state`, so an entry may be anything.
            if isinstance(fields, dict) and param not in absent and blank is not None:
                own_fields[param] = declared(type(blank), fields)
        if arena is not None and arena.holds(params):
            is_free = not any(map(arena.has_housed, lacking))
            if is_free and all(arena.is_home_of(p, f) for p, f in own_fields.items()):
                return arena
        arena = self._arenas[index] = Arena(list(params))
        for param, fields in own_fields.items():
            states[param].update(arena.house(param, fields, adopt=True))
        return arena

    def _arena(self, index: int, params: list[Tensor]) -> Arena:
        arena = self._arenas.get(index)
        if arena is None or not arena.holds(params):
            arena = self._arenas[index] = Arena(list(params))
        return arena


def _bring_along(param: Tensor, fields: Fields) -> None:
    """Bring the tensors of a state to the parameter's device and memory format."""
    follow(fields, param.device)
    for name, value in fields.items():
        is_tensor = isinstance(value, Tensor) and has_form_of(param, value)
        if is_tensor and value.stride() != param.stride():
            fields[name] = copied(param, value)


def _part(params: list[Tensor], states: States) -> None:
    """Give states memory of their own if it was made shared.

    Engines write them in different orders, and each would give other numbers. Memory of
    another group's states is not shared either.
    """
    occupied = set(filter(None, map(_address, params)))
    group = set(params)
    for param, fields in states.items():
        if param not in group:
            # Users can write to `optimizer.state`, so an entry may be anything.
            values = fields.values() if hasattr(fields, "values") else ()
            occupied.update(filter(None, map(_address, (param, *values))))
    dicts = set[int]()
    for param in params:
        fields = states.get(param, {})
        if not fields:
            continue
        # One dict for two parameters is one state, which both steps would advance.
        if id(fields) in dicts:
            fields = states[param] = dict(fields)
        dicts.add(id(fields))
        for name, value in fields.items():
            address = _address(value)
            if address in occupied:
                fields[name] = copied(param, value)
            elif address:
                occupied.add(address)


def _address(value: Any) -> int:
    """Return the address of a plain tensor, 0 for an empty one and anything else."""
    is_tensor = isinstance(value, Tensor) and is_plain_tensor(value)
    return value.data_ptr() if is_tensor and value.layout is torch.strided else 0


def _blank(
    simple: StepFunctions, param: Tensor, dtype: torch.dtype, path_of: PathOf
) -> Any:
    if overlaps_itself(param):
        raise ValueError(
            f"{path_of(param)}: its elements share memory (expand(), "
            "as_strided()), so a step would overwrite one with another; give it "
            "its own memory: param.data = "
            "param.data.clone(memory_format=torch.contiguous_format)"
        )
    tensor = stepped_tensor(param)
    dtype = tensor.dtype if param.is_complex() else dtype
    if is_plain_tensor(param):
        like = torch.empty_like(tensor, dtype=dtype, device="meta")
    else:
        like = torch.zeros_like(tensor, dtype=dtype)
    # This call of init() is a trial: the draws belong to the call that creates the real
    # state, or a resumed run would draw other numbers than this one.
    with no_grad(), watched_generators(param.device):
        try:
            state = simple.init(like)
        except Exception as error:
            raise_of_signal(error)
            # init() may read values, which meta tensors do not have: it gets the
            # parameter's.
            state = _initial(simple, tensor.to(like.dtype, copy=True), path_of(param))
    if state is not None and not hasattr(type(state), "__dataclass_fields__"):
        raise TypeError(
            f"{type(simple).__qualname__}.init() returns "
            f"{with_article(type(state).__name__)}, expected a Record (class "
            "MyState(burnish.Record): ...) or None"
        )
    return state


def _initial(simple: StepFunctions, tensor: Tensor, path: str) -> Any:
    """Return the result of `init`; its error names the parameter."""
    try:
        return simple.init(tensor)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from error
