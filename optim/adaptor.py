"""OptimizerAdaptor: a simple optimizer over a module, as a torch.optim.Optimizer."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import torch
from torch import Tensor, nn

from ..config.process.transaction import Transaction, all_or_nothing
from ..config.short_text import quantity, with_article
from ..records.calls import explain_calls
from ..records.sharded.folder import folder_named
from ..records.tensors.optimizer_steps import (
    OURS,
    has_hooks_of_others,
    note_optimizer,
)
from ..records.tensors.torch_internals import (
    is_profiling,
    post_hooks_of_all,
    pre_hooks_of_all,
    step_hooks,
    untraced,
)
from .bound.bind_arguments import check_bind_arguments, check_nonfinite
from .bound.bound_params import BoundParams
from .bound.bound_state import BoundState
from .bound.nested_records import as_dicts
from .bound.param_groups import GroupOptions, first_rate, plain_group, warn_of_left_out
from .bound.plain_values import as_stored
from .bound.state_check import BESIDE
from .bound.weight_precision import WeightPrecision
from .clipping import Clip, check_clip
from .engines.memory.tensor_form import in_form_of
from .groups import Group, PlacedGroup, place
from .schedulers.scheduler import Scheduler
from .stepping.report import EngineReport
from .stepping.step_runner import StepRunner
from .tensor_optimizer import TensorOptimizer

if TYPE_CHECKING:
    from ..records.flat_record import FlatRecord
    from ..records.io.sink import Destination
    from ..records.readable import Readable
    from ..records.report import LoadReport
    from .gradients import Gradients
    from .stored.matching import Rename
    from .stored.record_types import OptimizerRecord

M = TypeVar("M", bound=nn.Module)


class OptimizerAdaptor(torch.optim.Optimizer):
    """Steps a module with a simple optimizer, as a torch.optim.Optimizer.

    For each parameter with a gradient: clip, bring state and gradient to its device,
    call the simple step on plain tensors, write the parameter in place, keep the state
    in storage of its own. A gradient of higher precision than its parameter (that of
    `apply_gradients`, or torch's ``grad_dtype``) is used at full precision. A parameter
    without a gradient, and its state, are unchanged; without any gradient `step` only
    advances schedules. Sparse gradients are made dense; complex parameters are stepped
    as pairs of real ones.

    ``nonfinite`` determines the effect of a gradient that is not finite, in its own
    dtype and in that of its state: ``"pass"`` it on, ``"skip"`` the whole step, or
    raise an ``"error"``. ``state_dtype`` is the dtype of states and of the computation.
    ``master_dtype`` keeps, for each narrower parameter, a master weight in that dtype,
    which is stepped and rounded to the parameter. ``rounding="stochastic"`` computes in
    float32 and rounds half precisions up or down at random, without a bias; ``seed`` is
    that of the random bits, which use no generator. ``fused=None`` compiles nothing;
    True compiles the recorded step to C; False runs the step as it is written.
    """

    _is_adding = False
    """Whether a group is being added, whose parameters may have replaced others."""

    def __init__(
        self,
        optimizer: TensorOptimizer[Any],
        module: nn.Module,
        *,
        lr: float | Scheduler,
        groups: Sequence[Group] = (),
        clip: Clip | None = None,
        maximize: bool = False,
        state_dtype: torch.dtype | None = None,
        master_dtype: torch.dtype | None = None,
        rounding: Literal["nearest", "stochastic"] = "nearest",
        seed: int = 0,
        nonfinite: Literal["pass", "skip", "error"] = "pass",
        fused: bool | None = None,
    ) -> None:
        check_bind_arguments(
            optimizer,
            module,
            groups=groups,
            clip=clip,
            maximize=maximize,
            state_dtype=state_dtype,
            master_dtype=master_dtype,
            rounding=rounding,
            seed=seed,
            nonfinite=nonfinite,
            fused=fused,
        )
        self.fused = fused
        self.state_dtype = state_dtype
        self.master_dtype = master_dtype
        self.rounding, self.seed = rounding, seed
        precision = WeightPrecision(
            state_dtype=state_dtype,
            master_dtype=master_dtype,
            rounding=rounding,
            seed=seed,
        )
        params = BoundParams(module)
        self._bound = BoundState(
            optimizer, params, lr, precision=precision, clip=clip, nonfinite=nonfinite
        )
        self._runner = StepRunner(self._bound, fused)
        placed_groups = place(module, params.params, groups, optimizer, lr)
        self._ask_for_states(placed_groups)
        values = GroupOptions(optimizer).values()
        defaults = {"lr": first_rate(lr), **values, "maximize": maximize}
        super().__init__([group.param_group() for group in placed_groups], defaults)
        note_optimizer(self)

    def _ask_for_states(self, groups: Sequence[PlacedGroup]) -> None:
        """Let init() refuse a parameter before anything else happens."""
        for group in groups:
            for param in group.params:
                self._bound.initial_states.blank(group.optimizer, param.tensor)

    @property
    def clip(self) -> Clip | None:
        """The clip of gradients in groups without a clip of their own."""
        return self._bound.clip

    @clip.setter
    def clip(self, clip: Clip | None) -> None:
        check_clip(clip)
        self._bound.clip = clip

    @property
    def nonfinite(self) -> Literal["pass", "skip", "error"]:
        """The effect of a gradient that is not finite."""
        return self._bound.nonfinite

    @nonfinite.setter
    def nonfinite(self, nonfinite: Literal["pass", "skip", "error"]) -> None:
        check_nonfinite(nonfinite)
        self._bound.nonfinite = nonfinite

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups, with the parameters that are in the module now.

        Code that reads them before a step, as zero_grad(), a GradScaler or a Trainer's
        clip does, has to see a parameter that was replaced since the last one.
        """
        return self._bound.groups if self._is_adding else self._bound.current_groups()

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # torch's is an attribute
        self._bound.groups = groups

    @property
    def state(self) -> defaultdict[Tensor, Any]:
        """The state of each parameter that was stepped, as a dict of its fields."""
        return self._bound.states

    @state.setter
    def state(self, states: defaultdict[Tensor, Any]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]  # torch's is an attribute
        self._bound.states = states

    @property
    def is_training(self) -> bool:
        """Whether the parameters have the values at which they are trained."""
        return self._bound.is_training

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; ``optimizer``, ``lr`` and hyperparameters may differ.

        A parameter that replaced another in the module leaves the group of that one.
        Raises, with nothing added, the errors of `bind` for such a group.
        """
        group = self._bound.new_group(param_group)
        # A parameter that replaced another is followed only after its group was added,
        # or it would be in two.
        self._is_adding = True
        try:
            all_or_nothing(partial(self._add_group, group))
        finally:
            self._is_adding = False

    def _add_group(self, group: dict[str, Any], transaction: Transaction) -> None:
        self._bound.begin_adding(group, transaction)
        super().add_param_group(group)
        self._bound.hold_group(group)

    # torch's own wrapper costs as much as a small step; `step` calls the hooks itself.
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return the result of ``closure``.

        Raises before anything is changed: `ImpureStepError`, `NonFiniteGradientError`,
        `MissingGradientError`.
        """
        # Dynamo cannot trace the recording and compiling: it breaks its graph here. The
        # wrapper for that costs a tenth of a small step, so only Dynamo gets it.
        if torch.compiler.is_compiling():
            return self._untraced_step(closure)
        return self._plain_step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # tells torch not to wrap it
    setattr(step, OURS, True)

    def _plain_step(self, closure: Callable[[], Any] | None) -> Any:
        before, after = step_hooks(self)
        has_hooks = bool(before or after or post_hooks_of_all) or has_hooks_of_others()
        if not (has_hooks or is_profiling()):
            return self._step(closure)
        name = f"Optimizer.step#{type(self).__name__}.step"
        with torch.autograd.profiler.record_function(name):
            return self._hooked_step(closure)

    @untraced
    def apply_gradients(
        self, lr: float | None, module: M, grads: "Gradients | Mapping[str, Tensor]"
    ) -> M:
        """Step with ``grads`` (by parameter ID), not ``.grad``; return ``module``.

        With ``lr=None`` the groups' own learning rates are used. Raises ValueError,
        before anything is changed, for a rate that is negative or not finite, for two
        gradients of one parameter, and for one of another shape; KeyError for one of no
        parameter.
        """
        params = self._bound.params
        if not params.is_of(module):
            raise ValueError(
                "this optimizer is bound to a different module than the "
                f"{type(module).__name__} that was passed; pass the module that "
                "it is bound to, or bind a new optimizer to this one"
            )
        self._bound.follow_module()
        by_param = params.by_param(grads)
        self._runner.advance(by_param, None if lr is None else float(first_rate(lr)))
        return module

    def eval(self) -> None:
        """Set the parameters to the values for evaluation (averages, if any)."""
        self._bound.move(to_train=False)

    def train(self) -> None:
        """Set the parameters back to the values for training."""
        self._bound.move(to_train=True)

    def into_record(self) -> "OptimizerRecord":
        """Return the state by parameter ID; it refers to the live tensors."""
        from .stored.optimizer_record import record_of_optimizer

        return record_of_optimizer(self._runner)

    @overload
    def save_record(self, **options: object) -> bytes: ...

    @overload
    def save_record(self, file: "Destination", **options: object) -> None: ...

    def save_record(self, *args: Any, **kwargs: Any) -> bytes | None:
        """Write `into_record` to a file, or return bytes, as `Record.save` does.

        To a folder all processes save together, or those of ``group``. ValueError for
        ``metadata`` that would replace the optimizer's own.
        """
        from .stored.record_types import OPTIMIZER_KEY

        if OPTIMIZER_KEY in (kwargs.get("metadata") or ()):
            raise ValueError(
                f"metadata: the key {OPTIMIZER_KEY!r} is reserved in the record of an "
                "optimizer; choose another key"
            )
        warn_of_left_out(self.param_groups)
        if folder_named(kwargs.get("file", args[0] if args else None)) is not None:
            self._bound.params.share_ids(kwargs.get("group"))
        payload: bytes | None = self.into_record().save(*args, **kwargs)
        return payload

    @explain_calls("optimizer.load_record(file{})", "read", is_home=False)
    def load_record(
        self,
        source: "Readable | OptimizerRecord",
        *,
        hyperparameters: Literal["keep", "restore"] = "keep",
        rename: "Rename | None" = None,
        strict: bool = True,
    ) -> "LoadReport":
        """Restore the state in ``source``, matched by ID, then by path.

        With ``"keep"`` hyperparameters stay as they were constructed, and differences
        are reported; ``"restore"`` uses the stored ones. ``rename`` maps stored paths
        to those of the module, and takes precedence over IDs. Raises
        RecordMismatchError, with nothing changed, for another optimizer's record,
        another shape, and, unless ``strict=False``, for the state of a parameter that
        no longer exists. A parameter without stored state may be new, or was never
        stepped; the report names it.
        """
        from .stored.optimizer_record import load_optimizer_record

        return load_optimizer_record(
            self._runner, source, hyperparameters, rename, strict
        )

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state dict; other values of a group are in it as text."""
        grouped = {p for group in self.param_groups for p in group["params"]}
        states = self.state
        # The states of parameters whose group was deleted have no number.
        self.state = defaultdict(
            dict, {p: s for p, s in states.items() if p in grouped}
        )
        try:
            state_dict = super().state_dict()
        finally:
            self.state = states  # pyright: ignore[reportIncompatibleVariableOverride]  # torch has an attribute
        params = dict(enumerate(p for g in self.param_groups for p in g["params"]))
        state_dict["state"] = {
            number: {
                name: in_form_of(params.get(number), as_stored(as_dicts(value)))
                for name, value in fields.items()
            }
            for number, fields in state_dict["state"].items()
        }
        warn_of_left_out(self.param_groups)
        groups = [plain_group(group) for group in state_dict["param_groups"]]
        for index, group in enumerate(groups):
            if names := self._bound.beside_fields(index):
                group[BESIDE] = names
        from .stored.upgraded_state_dict import LAYOUT, layout_text

        if groups and (text := layout_text(self._bound)):
            groups[0][LAYOUT] = text
        state_dict["param_groups"] = groups
        return state_dict

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the result of ``state_dict()``, or that of the matching torch optimizer.

        Unlike torch's method, it keeps the dtypes of the state.
        """
        from .stored.torch_state import load_state_dict

        load_state_dict(self, self._bound, state_dict, super().load_state_dict)
        self._bound.note_rates()

    def foreign(self) -> list[Tensor]:
        """Return the added parameters that are not parameters of the module."""
        return [*self._bound.params.foreign]

    def __getstate__(self) -> dict[str, Any]:
        # Torch leaves out hooks; plans are made again.
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("_runner", "step") and not name.startswith("_optimizer_")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        attributes = vars(self)
        # Torch bypasses the properties when it writes a state dict, under its own
        # names.
        for name in ("state", "param_groups"):
            if name in attributes:
                setattr(self, name, attributes.pop(name))
        # Unpickled tensors lie in separate memory. Adjacent tensors form a block, and
        # at the ends of blocks half precision rounds differently.
        states = dict(self._bound.states)
        housed = self._bound.housed(states, adopt=True)
        self._bound.replace_states(states | housed)
        if "_runner" not in attributes:
            self._runner = StepRunner(self._bound, self.fused)
        note_optimizer(self)

    def __repr__(self) -> str:
        simples = [repr(group["optimizer"]) for group in self.param_groups]
        names = ", ".join(dict.fromkeys(simples))
        count = sum(len(g["params"]) for g in self.param_groups)
        size = quantity(count, "parameter")
        return f"OptimizerAdaptor({names}, {size}, fused={self.fused})"

    @untraced
    def _untraced_step(self, closure: Callable[[], Any] | None) -> Any:
        return self._plain_step(closure)

    def _hooked_step(self, *args: Any, **kwargs: Any) -> Any:
        before, after = step_hooks(self)
        for hook in chain(pre_hooks_of_all.values(), before.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        result = self._step(*args, **kwargs)
        for hook in chain(after.values(), post_hooks_of_all.values()):
            hook(self, args, kwargs)
        return result

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._runner.advance(None, None)
        return loss


def restore_optimizer(
    adaptor: OptimizerAdaptor, record: "Readable", transaction: Transaction
) -> "LoadReport":
    """Let ``adaptor`` continue from ``record``, in a transaction with other changes.

    It is `OptimizerAdaptor.load_record` with the stored hyperparameters, for callers
    that restore more than an optimizer.
    """
    from .stored.optimizer_record import fill_optimizer

    return fill_optimizer(adaptor._runner, record, transaction, is_restoring=True)  # pyright: ignore[reportPrivateUsage]  # of this file


def share_ids_of(adaptor: OptimizerAdaptor) -> None:
    """Give parameters the IDs of the first process; all processes call this."""
    adaptor._bound.params.share_ids()  # pyright: ignore[reportPrivateUsage]  # of this file


def own_shares_of_state(
    adaptor: OptimizerAdaptor, record: "FlatRecord"
) -> "FlatRecord":
    """Return a record of its state, reduced to what this process needs."""
    from .stored.optimizer_record import with_state_shares

    return with_state_shares(record, adaptor._bound)  # pyright: ignore[reportPrivateUsage]  # of this file


def engine_report(adaptor: OptimizerAdaptor) -> EngineReport:
    """Return the engine of each group at the last step, or at the first one."""
    if not hasattr(adaptor, "_runner"):
        name = type(adaptor).__qualname__
        raise TypeError(
            "engine_report takes the optimizer that bind returned, got "
            f"{with_article(name)}; for a wrapper, pass the optimizer that it "
            "wraps"
        )
    return adaptor._runner.report()  # pyright: ignore[reportPrivateUsage]  # of this file
