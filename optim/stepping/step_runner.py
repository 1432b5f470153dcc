"""Stepping: what one step of an adaptor does, from gradients to written parameters."""

from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ...config.process.user_warning import warn_user
from ..bound.bound_params import warn_apart, warn_replaced, warn_unheld
from ..bound.group_options import Hyper
from ..bound.state_check import check_held, check_values
from ..clipping import Clip, Clipped
from ..engines.internals import internals, untraced
from ..engines.loop import plain, state_of
from ..engines.memory.tensor_form import is_sharded
from ..engines.portions import StepFailed
from ..engines.tracing.step_call import Step
from ..errors import NonFiniteGradientError
from .turns import Grads, Turns

if TYPE_CHECKING:
    from ..bound.bound_params import Binding
    from ..simple import SimpleOptimizer
    from .stepper import Stepper


class Stepping(torch.optim.Optimizer):
    """The inner half of `OptimizerAdaptor`, which sets the attributes."""

    nonfinite: Literal["pass", "skip", "error"]
    clip: Clip | None
    _base: "SimpleOptimizer[Any]"
    _binding: "Binding"
    _stepper: "Stepper"
    _hypers: "dict[int, Hyper]"
    """By the identity of a group's dict."""
    _rates: dict[int, float]
    """The rate that a group's schedule set last, by the same."""
    _is_adding = False
    """Whether a group is being added: what is in it may have replaced another."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups, with the parameters that stand in the module now.

        Who asks before a step, as zero_grad(), a GradScaler or a clip of a Trainer
        does, has to meet a parameter that was replaced since the last one.
        """
        if not (self._is_adding or self._binding.is_unchanged()):
            # The next step says what has no values to step.
            with suppress(ValueError):
                self._follow_module()
        return self._groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # torch's is an attribute
        # Under torch's name in the dict, where pickles and Lightning look for it.
        self.__dict__["param_groups"] = groups

    @property
    def _groups(self) -> list[dict[str, Any]]:
        try:
            return self.__dict__["param_groups"]  # type: ignore[no-any-return]  # they are
        except KeyError:
            # Lightning's wrapper has this class and no such dict: it asks the wrapped.
            name = type(self).__name__
            raise AttributeError(f"{name} has no param_groups") from None

    @property
    def is_training(self) -> bool:
        """Whether the parameters stand where they are trained."""
        for group in self._groups:  # noqa: SIM110  # every step asks: no generator
            if not group.get("is_training", True):
                return False
        return True

    @is_training.setter
    def is_training(self, value: bool) -> None:
        for group in self._groups:
            group["is_training"] = value

    def _advance(self, given: Mapping[Tensor, Tensor] | None, lr: float | None) -> None:
        if not self.is_training:
            raise RuntimeError(
                "the parameters stand where they are evaluated; call optim.train() "
                "before optim.step()"
            )
        # torch.no_grad() costs a tenth of a small step.
        was_enabled = torch.is_grad_enabled()
        internals._C._set_grad_enabled(False)
        try:
            self._follow_module()
            grads = self._gradients(given)
            if self._binding.is_copy:
                self._meet_gradients(grads)
            self._write(grads, lr)
        except StepFailed as failure:
            raise self._explained(failure) from None
        finally:
            internals._C._set_grad_enabled(was_enabled)

    def _meet_gradients(self, grads: list[list[Tensor | None]]) -> None:
        """Say what the copy of an optimizer lacks, at its first step."""
        self._binding.is_copy = False
        has_gradients = any(grad is not None for grad in chain.from_iterable(grads))
        warn_apart(self._binding, has_gradients=has_gradients)

    def _write(self, grads: Grads, lr: float | None) -> None:
        """Prepare every group, which may raise, then write them."""
        if self.nonfinite != "pass" and not self._is_finite(grads):
            return
        is_probe = self._is_probe(grads)
        turns = Turns(self._share_memory, grads)
        try:
            for index, (own, scale, limit) in enumerate(self._clipped(grads)):
                call = self._call(index, lr, scale, limit)
                params = self._groups[index]["params"]
                if is_probe:
                    self._stepper.initialize(index, params, own, self.state, call)
                    continue
                turns.add(
                    self._stepper.jobs(
                        index, params, own, self.state, call, turns.settle
                    )
                )
            turns.run()
        except StepFailed as failure:
            failure.moved = self._stepped(turns.n_run, grads) + failure.moved
            raise
        if lr is None:
            self._advance_schedules()

    def _stepped(self, n: int, grads: Grads) -> list[Tensor]:
        """Return what the steps of the first ``n`` groups move."""
        groups = zip(self._groups[:n], grads[:n], strict=True)
        return [
            param
            for group, own in groups
            for param, grad in zip(group["params"], own, strict=True)
            if grad is not None
        ]

    def _share_memory(self, grads: Grads) -> bool:
        """Return whether a parameter shares memory with another, or with a gradient."""
        params = [p for group in self._groups for p in group["params"]]
        pairs = zip(params, chain.from_iterable(grads), strict=True)
        held = [pair for pair in pairs if pair[1] is not None]
        writable = [param for param, _ in held]
        present: list[Any] = [grad for _, grad in held]
        return self._stepper.entanglement.is_there(writable, present)

    def _explained(self, failure: StepFailed) -> BaseException:
        """Return what the author's step raised, with a note of where it was."""
        path_of, error = self._binding.path_of, failure.__cause__ or failure
        index = next(
            i
            for i, group in enumerate(self._groups)
            if any(p is failure.param for p in group["params"])
        )
        moved = [path_of(param) for param in failure.moved]
        shown = ", ".join(moved[:8]) + (", ..." if len(moved) > 8 else "")
        done = f"{len(moved)} parameters were moved before: {shown}" if moved else ""
        error.add_note(
            f"in the step of {self._groups[index]['kind']} for "
            f"{path_of(failure.param)}; {done or 'nothing was changed'}"
        )
        return error.with_traceback(_from_author(error.__traceback__))

    def _is_probe(self, grads: list[list[Tensor | None]]) -> bool:
        """Whether a tool only wants the states to be made.

        torch.distributed.checkpoint takes a first step of zero gradients with a
        learning rate of zero for that, and expects the weights to stay.
        """
        if self.state or any(group["lr"] != 0.0 for group in self._groups):
            return False
        present = [g for own in grads for g in own if g is not None]
        return bool(present) and not any(bool(g.any()) for g in present)

    def _gradients(
        self, given: Mapping[Tensor, Tensor] | None
    ) -> list[list[Tensor | None]]:
        if given is None:
            return [[p.grad for p in g["params"]] for g in self._groups]
        return [[given.get(p) for p in g["params"]] for g in self._groups]

    def _call(
        self, index: int, lr: float | None, scale: float | None, limit: float | None
    ) -> Step:
        group = self._groups[index]
        schedule = group.get("schedule")
        if lr is None and schedule is not None:
            self._check_rate(index, group)
            group["lr"] = self._rates[id(group)] = schedule.lr()
        rate = group["lr"] if lr is None else lr
        return Step(
            self._simple(group), float(rate), bool(group["maximize"]), scale, limit
        )

    def _check_rate(self, index: int, group: dict[str, Any]) -> None:
        """Warn of a learning rate that somebody set where a schedule sets it."""
        rate = group["lr"]
        if rate == self._rates.get(id(group), rate):
            return
        warn_user(
            f"group {index}: its learning rate was set to {float(rate):g}, and its "
            f"schedule ({type(group['schedule']).__name__}) sets that of each step. "
            "For a rate set by hand, by a scheduler of torch or by a learning-rate "
            "finder give bind a number, or take the schedule away: "
            f"optim.param_groups[{index}]['schedule'] = None",
            RuntimeWarning,
        )

    def _advance_schedules(self) -> None:
        # Groups may share one schedule; it advances once a step.
        advanced: list[Any] = []
        for group in self._groups:
            schedule = group.get("schedule")
            if schedule is not None and not any(schedule is s for s in advanced):
                schedule.advance()
                advanced.append(schedule)

    def _simple(self, group: dict[str, Any]) -> "SimpleOptimizer[Any]":
        """Return a group's optimizer with the hyperparameters that it has now."""
        template = group.get("optimizer", self._base)
        hyper = self._hypers.get(id(group))
        if hyper is None or hyper.template is not template:
            self._forget_groups()
            hyper = self._hypers[id(group)] = Hyper(template)
        return hyper.current(group)

    def _forget_groups(self) -> None:
        """Drop what is known of groups that are no longer there."""
        present = set(map(id, self._groups))
        self._hypers = {i: h for i, h in self._hypers.items() if i in present}

    def _clipped(
        self, grads: list[list[Tensor | None]]
    ) -> list[tuple[list[Tensor | None], float | None, float | None]]:
        """Return by group the gradients, their factor and their limit."""
        clips: list[Clip | None] = [g.get("clip") for g in self._groups]
        if self.clip is None and not any(clips):
            return [(own, None, None) for own in grads]
        results: dict[int, tuple[list[Tensor | None], float | None, float | None]] = {}
        shared = [i for i, own in enumerate(clips) if own is None]
        for clip, members in [
            (self.clip, shared),
            *((own, [i]) for i, own in enumerate(clips) if own is not None),
        ]:
            present = [g for i in members for g in grads[i] if g is not None]
            done = Clipped(present) if clip is None else clip.clip(present)
            left = iter(done.grads)
            for i in members:
                own = [None if g is None else next(left) for g in grads[i]]
                results[i] = (own, done.scale, done.limit)
        return [results[i] for i in range(len(grads))]

    def _is_finite(self, grads: list[list[Tensor | None]]) -> bool:
        """Return whether all gradients are finite; raise if the policy is an error."""
        params = [p for group in self._groups for p in group["params"]]
        if any(g is not None and is_sharded(g) for own in grads for g in own):
            raise ValueError(
                f"nonfinite={self.nonfinite!r} looks at the gradients of this process, "
                "and they are sharded over several: one would step and another not. "
                "Look at the loss, which all have, before the step"
            )
        bad = [
            self._binding.path_of(p)
            for p, g in zip(params, chain.from_iterable(grads), strict=True)
            if g is not None and not is_finite(g)
        ]
        if bad and self.nonfinite == "error":
            raise NonFiniteGradientError(bad)
        return not bad

    def _follow_module(self) -> None:
        """Step what stands in the module now where a held parameter was replaced."""
        if self._binding.is_unchanged():
            return
        replaced = self._binding.replaced()
        paths = [self._binding.path_of(old) for old in replaced]
        for path, new in zip(paths, replaced.values(), strict=True):
            check_values(path, new)
        for group in self._groups:
            group["params"] = [replaced.get(p, p) for p in group["params"]]
        for old, new in replaced.items():
            stored = self.state.pop(old, None)
            if stored is not None and new.shape == old.shape:
                self.state[new] = stored
            self._binding.rebind(old, new)
        self._binding.watch()
        if paths:
            warn_replaced(paths)
        warn_unheld(self._binding)

    @untraced
    @torch.no_grad()
    def _move(self, *, to_train: bool) -> None:
        if self.is_training is to_train:
            return
        for group in self.param_groups:
            simple = self._simple(group)
            move = simple.to_train if to_train else simple.to_eval
            for param in group["params"]:
                stored = self.state.get(param)
                blank = self._stepper.blank(simple, param)
                if stored == {} or stored is None or blank is None:
                    continue
                check_held(self._binding.path_of(param), param, stored, blank)
                tensor = plain(param)
                moved = move(tensor, state_of(type(blank), stored))
                if moved is not tensor:
                    tensor.copy_(moved)
        self.is_training = to_train


def _from_author(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of ours above the author's step."""
    place = traceback
    while place is not None:
        if not str(place.tb_frame.f_globals.get("__name__")).startswith(_OURS):
            return place
        place = place.tb_next
    return traceback


_OURS = __name__.rsplit(".", 2)[0]


def is_finite(grad: Tensor) -> bool:
    """Return whether a gradient holds neither infinities nor NaN."""
    values = grad.coalesce().values() if grad.is_sparse else grad
    return bool(torch.isfinite(values).all())
