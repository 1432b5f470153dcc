"""OptimizerAdaptor: a simple optimizer over a module, as a torch.optim.Optimizer."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import torch
from torch import Tensor, nn

from ..records.calls import explain_calls
from .bound.bind_arguments import check_arguments
from .bound.bound_params import Binding
from .bound.group_options import Hyper
from .bound.param_groups import first_rate, new_group, plain_group, warn_of_left_out
from .bound.plain_values import as_stored
from .bound.state_check import BESIDE, beside_fields
from .clipping import Clip
from .engines.internals import internals, untraced
from .engines.plan import Plan
from .groups import Group, place
from .schedulers.scheduler import Scheduler
from .simple import SimpleOptimizer
from .stepping.step_runner import Stepping
from .stepping.stepper import Stepper

if TYPE_CHECKING:
    from ..records.entry import Param
    from ..records.readable import Readable
    from ..records.report import LoadReport
    from ..records.sink import Destination
    from .gradients import Gradients
    from .stored.optimizer_record import OptimizerRecord, Rename

_hooks: Any = import_module("torch.optim.optimizer")
"""The hooks that are of every optimizer."""

M = TypeVar("M", bound=nn.Module)


class OptimizerAdaptor(Stepping):
    """Steps a module with a simple optimizer; torch's schedulers and tools take it.

    For each parameter with a gradient: clip, bring state and gradient to its device,
    call the simple step on plain tensors, write the parameter in place, keep the
    state in storage of its own. A parameter without a gradient, and its state, stay
    as they are; without any gradient `step` does nothing, as in torch. Sparse
    gradients are made dense; complex parameters are stepped as pairs of real ones.
    ``nonfinite`` says what a gradient that is not finite does: ``"pass"`` it on,
    ``"skip"`` the whole step, or raise an ``"error"``. ``state_dtype`` is what state
    is kept and steps are computed in. ``fused=None`` compiles nothing; True compiles
    the recorded step to C; False runs the step as it is written.
    """

    def __init__(
        self,
        optimizer: SimpleOptimizer[Any],
        module: nn.Module,
        *,
        lr: float | Scheduler,
        groups: Sequence[Group] = (),
        clip: Clip | None = None,
        maximize: bool = False,
        state_dtype: torch.dtype | None = None,
        nonfinite: Literal["pass", "skip", "error"] = "pass",
        fused: bool | None = None,
    ) -> None:
        check_arguments(
            optimizer,
            module,
            groups=groups,
            clip=clip,
            maximize=maximize,
            state_dtype=state_dtype,
            nonfinite=nonfinite,
            fused=fused,
        )
        self.nonfinite, self.clip, self.fused = nonfinite, clip, fused
        self.state_dtype = state_dtype
        self._base, self._lr = optimizer, lr
        self._binding = Binding(module)
        self._stepper = Stepper(fused, state_dtype, self._binding)
        self._hypers, self._rates = {}, {}
        placed = place(module, self._binding.params, groups, optimizer, lr)
        for one in placed:
            for param in one.params:
                self._stepper.blank(one.optimizer, param.tensor)
        groups_of_torch: list[dict[str, Any]] = [
            {
                "params": [param.tensor for param in one.params],
                "optimizer": one.optimizer,
                "lr": one.lr,
                "clip": one.clip,
            }
            for one in placed
        ]
        values = Hyper(optimizer).values()
        defaults = {"lr": first_rate(lr), **values, "maximize": maximize}
        super().__init__(groups_of_torch, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; ``optimizer``, ``lr`` and hyperparameters may differ.

        One that took the place of another in the module leaves the group of that.
        """
        group = new_group(param_group, self._base, self._lr)
        group["is_training"] = self.is_training
        self._release(group)
        # What replaced another parameter is followed after its group is there, or it
        # would be in two.
        self._is_adding = True
        try:
            super().add_param_group(group)
        finally:
            self._is_adding = False
        self._rates[id(self._groups[-1])] = group["lr"]
        for param in self._groups[-1]["params"]:
            self._binding.add(param)

    def _release(self, new: dict[str, Any]) -> None:
        """Take what ``new`` has out of the groups that only followed the module."""
        params = new["params"]
        if isinstance(params, Tensor | set):
            return
        new["params"] = params = list(params)
        taken = {p for p in params if isinstance(p, Tensor)} & self._binding.followed
        for group in self._groups if taken else ():
            group["params"] = [p for p in group["params"] if p not in taken]
        self._binding.followed -= taken

    # torch's own wrapper costs as much as a small step; `step` calls the hooks itself.
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return what ``closure`` does.

        Raises before anything is changed: `ImpureStepError`, `NonFiniteGradientError`.
        """
        # Dynamo cannot trace what records and compiles: it breaks its graph here. The
        # wrapper for that costs a tenth of a small step, so only Dynamo meets it.
        if torch.compiler.is_compiling():
            return self._untraced_step(closure)
        return self._plain_step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # tells torch not to wrap it

    def _plain_step(self, closure: Callable[[], Any] | None) -> Any:
        if not (internals.autograd._profiler_enabled() or self._has_hooks()):
            return self._step(closure)
        name = f"Optimizer.step#{type(self).__name__}.step"
        with torch.autograd.profiler.record_function(name):
            return self._hooked_step(closure)

    @untraced
    def apply_gradients(
        self, lr: float | None, module: M, grads: "Gradients | Mapping[str, Tensor]"
    ) -> M:
        """Step with ``grads`` (by parameter ID), not ``.grad``; return ``module``.

        ``lr=None`` takes the groups' own learning rates.
        """
        if not self._binding.is_of(module):
            raise ValueError(
                f"this optimizer was bound to another module than the "
                f"{type(module).__name__} that was given; bind one to that module, or "
                "give the module that it was bound to"
            )
        self._follow_module()
        by_param = self._binding.by_param(grads)
        self._advance(by_param, None if lr is None else float(lr))
        return module

    def eval(self) -> None:
        """Move the parameters to where they are evaluated (averages, if any)."""
        self._move(to_train=False)

    def train(self) -> None:
        """Move the parameters back to where they are trained."""
        self._move(to_train=True)

    def into_record(self) -> "OptimizerRecord":
        """Return the state by parameter ID; it refers to the live tensors."""
        from .stored.optimizer_record import into_record

        return into_record(self)

    @overload
    def save_record(self, **options: Any) -> bytes: ...

    @overload
    def save_record(self, file: "Destination", **options: Any) -> None: ...

    def save_record(self, *args: Any, **kwargs: Any) -> bytes | None:
        """Write `into_record` to a file, or return bytes, as `Record.save` does."""
        warn_of_left_out(self.param_groups)
        written: bytes | None = self.into_record().save(*args, **kwargs)
        return written

    @explain_calls("optimizer.load_record(file{})", "read", is_home=False)
    def load_record(
        self,
        source: "Readable | OptimizerRecord",
        *,
        hyperparameters: Literal["keep", "restore"] = "keep",
        rename: "Rename | None" = None,
        strict: bool = True,
    ) -> "LoadReport":
        """Take over the state in ``source``, matched by ID, then by path.

        ``"keep"`` leaves hyperparameters as they were constructed and reports the
        differences; ``"restore"`` takes the stored ones. ``rename`` maps stored paths
        to those of the module. Raises RecordMismatchError, with nothing changed, for
        another optimizer's record, another shape, and, unless ``strict=False``, for
        the state of a parameter that is no longer there. A parameter without stored
        state may be new, or one that was never stepped; the report names it.
        """
        from .stored.optimizer_record import load_record

        return load_record(self, source, hyperparameters, rename, strict)

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state dict; what else is of a group stands in it as text."""
        held = {p for group in self.param_groups for p in group["params"]}
        states = self.state
        # The states of parameters whose group was deleted have no number.
        self.state = defaultdict(dict, {p: s for p, s in states.items() if p in held})
        try:
            made = super().state_dict()
        finally:
            self.state = states
        made["state"] = {
            number: {name: as_stored(value) for name, value in stored.items()}
            for number, stored in made["state"].items()
        }
        warn_of_left_out(self.param_groups)
        made["param_groups"] = [plain_group(group) for group in made["param_groups"]]
        for index, group in enumerate(made["param_groups"]):
            if names := beside_fields(self, index):
                group[BESIDE] = names
        return made

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict()`` gave, or that of the torch optimizer of this kind.

        Unlike torch's, it keeps the dtypes of the state.
        """
        from .stored.torch_state import load_state_dict

        load_state_dict(self, state_dict, super().load_state_dict)
        self._rates.clear()

    def path_of(self, param: Tensor) -> str:
        """Return the dotted path of a held parameter."""
        return self._binding.path_of(param)

    def held(self) -> "list[Param]":
        """Return the held parameters with their paths and IDs."""
        return self._binding.current()

    def foreign(self) -> list[Tensor]:
        """Return those that were added and are no parameters of the module."""
        return [*self._binding.foreign]

    def departed(self) -> "list[Param]":
        """Return those of the held parameters that left the module."""
        return self._binding.departed()

    def blank(self, index: int, param: Tensor) -> Any:
        """Return the state that ``param`` has in group ``index``, without values."""
        return self._stepper.blank(self._simple(self.param_groups[index]), param)

    def plans(self) -> list[Plan]:
        """Return by group how it was stepped last, or would be first."""
        none: list[list[Tensor | None]] = [[] for _ in self.param_groups]
        clips = self._clipped(none)
        calls = [self._call(i, None, *clip) for i, (_, *clip) in enumerate(clips)]
        return [
            self._stepper.plan_of(i, self.param_groups[i]["params"], self.state, call)
            for i, call in enumerate(calls)
        ]

    def housed(
        self, states: dict[Tensor, dict[str, Any]], *, adopt: bool = False
    ) -> dict[Tensor, dict[str, Any]]:
        """Return states of held parameters in storage of their own; see `Stepper`."""
        groups = [group["params"] for group in self.param_groups]
        return self._stepper.house(groups, states, adopt=adopt)

    def adopt(self, states: dict[Tensor, dict[str, Any]], is_training: bool) -> None:
        """Replace all states."""
        self.state.clear()
        self.state.update(states)
        self.is_training = is_training
        self._rates.clear()

    def __getstate__(self) -> dict[str, Any]:
        # Hooks are torch's to leave out; plans are made anew.
        left = ("_stepper", "_hypers", "_rates", "step")
        own = [k for k in vars(self) if not k.startswith("_optimizer_")]
        return {k: vars(self)[k] for k in own if k not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_stepper" not in vars(self):
            self._hypers, self._rates = {}, {}
            self._stepper = Stepper(self.fused, self.state_dtype, self._binding)

    def __repr__(self) -> str:
        simples = [repr(group["optimizer"]) for group in self.param_groups]
        names = ", ".join(dict.fromkeys(simples))
        count = sum(len(g["params"]) for g in self.param_groups)
        return f"OptimizerAdaptor({names}, {count} parameters, fused={self.fused})"

    @untraced
    def _untraced_step(self, closure: Callable[[], Any] | None) -> Any:
        return self._plain_step(closure)

    def _has_hooks(self) -> bool:
        return bool(
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _hooks._global_optimizer_pre_hooks
            or _hooks._global_optimizer_post_hooks
        )

    def _hooked_step(self, *args: Any, **kwargs: Any) -> Any:
        before = _hooks._global_optimizer_pre_hooks.values()
        for hook in chain(before, self._optimizer_step_pre_hooks.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        result = self._step(*args, **kwargs)
        after = _hooks._global_optimizer_post_hooks.values()
        for done in chain(self._optimizer_step_post_hooks.values(), after):
            done(self, args, kwargs)
        return result

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._advance(None, None)
        return loss
