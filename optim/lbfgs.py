"""LBFGS over a whole module: torch's algorithm, with state that is a record."""

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor, nn

from ..config.process.transaction import Transaction, Undo, all_or_nothing
from ..config.short_text import first_names, quantity
from ..records.calls import explain_calls
from ..records.entries.renaming import Renames, renamer_of
from ..records.errors import RecordMismatchError
from ..records.record import Record
from ..records.report import LoadReport
from ..records.tensors.grad_mode import no_grad, ordinary_tensors
from ..records.tensors.torch_internals import LBFGS_ATTRIBUTES, lbfgs_params
from .bound.bound_params import BoundParams
from .stored.refused_loads import IN_STATE_DICT, check_is_state, other_optimizer_cure
from .tensor_optimizer import home_of_field, refuse_options_of_torch

if TYPE_CHECKING:
    from ..records.io.sink import Destination


class LBFGSRecord(Record):
    """The curvature seen so far, over all parameters, flattened and concatenated."""

    paths: list[str]
    ids: list[str]
    sizes: list[int]
    """The number of elements of each parameter in the vectors."""
    hyperparameters: dict[str, Any]
    values: dict[str, Any]


_OPTIONS_OF_BIND = (
    "groups",
    "clip",
    "maximize",
    "nonfinite",
    "fused",
    "state_dtype",
    "master_dtype",
    "rounding",
    "seed",
)
"""The options of other optimizers' `bind` besides a rate."""
_WHOLE_MODULE = (
    "It steps all parameters of a module together, as torch's does: in their dtype, "
    "with one rate, and with the gradients as they are. Cast the module and its "
    "batch, or clip in the closure."
)
"""Why `LBFGS` has none of the options of other optimizers."""


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """Quasi-Newton steps (Liu and Nocedal, 1989) over all parameters together.

    It is not a simple optimizer: one step evaluates the loss several times.
    """

    max_iter: int = 20
    """Iterations per step."""
    max_eval: int | None = None
    """Evaluations of the loss per step; None for 5/4 of ``max_iter``."""
    tolerance_grad: float = 1e-7
    """A step ends if no gradient is larger than this."""
    tolerance_change: float = 1e-9
    """A step ends if the loss and the parameters change by less."""
    history_size: int = 100
    """Number of updates from which the curvature is estimated."""
    line_search_fn: Literal["strong_wolfe"] | None = None
    """The line search of an iteration; None uses the learning rate."""

    def __new__(cls, *args: object, **kwargs: object) -> "LBFGS":
        """Refuse an unknown hyperparameter with the line that works."""
        for option in kwargs:
            if option in _OPTIONS_OF_BIND:
                raise TypeError(f"LBFGS takes no {option!r}. {_WHOLE_MODULE}")
        refuse_options_of_torch("LBFGS", kwargs.keys())
        if args or "lr" in kwargs:
            other_options = ", ".join(
                f"{k}={v!r}" for k, v in kwargs.items() if k != "lr"
            )
            lr = kwargs.get("lr", 1.0)
            raise TypeError(
                "LBFGS takes hyperparameters only; the module and the learning rate go "
                f"to bind: LBFGS({other_options}).bind(net, lr={lr})"
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if self.line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(
                "line_search_fn must be 'strong_wolfe' or None, got "
                f"{self.line_search_fn!r}"
            )
        if self.history_size < 1:
            raise ValueError(
                f"history_size must be at least 1, got {self.history_size}"
            )

    @explain_calls(
        "optimizer.bind(net, lr=1.0{})",
        "write",
        is_home=False,
        cure=lambda args, option: (
            _WHOLE_MODULE if option in _OPTIONS_OF_BIND else home_of_field(args, option)
        ),
    )
    def bind(self, module: nn.Module, *, lr: float = 1.0) -> "LBFGSAdaptor":
        """Return a `torch.optim.Optimizer` whose `step` takes a closure."""
        return LBFGSAdaptor(self, module, lr=lr)


_FIELDS = (
    "n_iter",
    "d",
    "t",
    "old_dirs",
    "old_stps",
    "ro",
    "H_diag",
    "prev_flat_grad",
    "prev_loss",
)
"""What torch keeps between steps, after the first iteration."""


_PATHS = "layout"
"""The key of a state dict's group that holds the paths of its parameters."""


class LBFGSAdaptor(torch.optim.LBFGS):
    """Steps a module with `LBFGS`; frozen parameters are not changed."""

    def __init__(self, optimizer: LBFGS, module: nn.Module, *, lr: float) -> None:
        if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]  # torch's habit is parameters
            raise TypeError(
                f"an optimizer is bound to a module, got {type(module).__name__}; pass "
                "the module itself, as in LBFGS().bind(net, lr=1.0)"
            )
        if isinstance(lr, bool) or not isinstance(lr, Real | Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(
                f"the learning rate of LBFGS must be a number, got {lr!r:.60}. It "
                "does not follow schedules of Burnish: set "
                "optim.param_groups[0]['lr'] before a step, or use a scheduler of "
                "torch"
            )
        self._binding: BoundParams = BoundParams(module)
        params = [param.tensor for param in self._binding.params]
        super().__init__(params, lr=lr, **asdict(optimizer))

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]  # torch's own takes no None
        """Minimize the loss that ``closure`` computes; return its first value.

        If it raises or is interrupted, parameters and state are as before the step.
        """
        self._check_replaced()
        self._check_state()
        return all_or_nothing(partial(self._step, closure))

    def _step(self, closure: Callable[[], Any], transaction: Transaction) -> Any:
        transaction.undo_with(self._undo_step())
        return _step_of_torch(self, closure)

    def into_record(self) -> LBFGSRecord:
        """Return the state; it refers to the live tensors."""
        params = self._binding.current()
        fields = self.state.get(params[0].tensor, {})
        group = self.param_groups[0]
        return LBFGSRecord(
            paths=[param.path for param in params],
            ids=[param.id for param in params],
            sizes=[_size(param.tensor) for param in params],
            hyperparameters={k: v for k, v in group.items() if k != "params"},
            # "al" is scratch memory that every step overwrites.
            values={k: v for k, v in fields.items() if k != "al" and v is not None},
        )

    @overload
    def save_record(self, **options: Any) -> bytes: ...

    @overload
    def save_record(self, file: "Destination", **options: Any) -> None: ...

    def save_record(self, *args: Any, **kwargs: Any) -> bytes | None:
        """Write `into_record` to a file, or return bytes, as `Record.save` does."""
        content: bytes | None = self.into_record().save(*args, **kwargs)
        return content

    def load_record(
        self,
        source: Any,
        *,
        hyperparameters: Literal["keep", "restore"] = "keep",
        rename: Renames | None = None,
    ) -> LoadReport:
        """Restore stored curvature; parameters are matched by ID, then by path.

        ``rename`` is that of `open_record`. Raises RecordMismatchError, with nothing
        changed, unless every parameter is there with its size.
        """
        if hyperparameters not in ("keep", "restore"):
            raise ValueError(
                f"hyperparameters must be 'keep' or 'restore', got {hyperparameters!r}"
            )
        is_restoring = hyperparameters == "restore"
        return all_or_nothing(
            partial(self._fill, source, rename, is_restoring=is_restoring)
        )

    @ordinary_tensors()
    def _fill(
        self,
        source: Any,
        rename: Renames | None,
        transaction: Transaction,
        *,
        is_restoring: bool,
    ) -> LoadReport:
        is_record = isinstance(source, LBFGSRecord)
        record = source if is_record else LBFGSRecord.load(source)
        _check_lengths(record)
        order = self._order(record, rename)
        device = self.param_groups[0]["params"][0].device
        values = {
            k: _to(_reordered(v, record.sizes, order), device)
            for k, v in record.values.items()
        }
        report = LoadReport(loaded=[param.path for param in self._binding.current()])
        report.verified = "live" if is_record else "all"
        transaction.undo_with(self._undo())
        self._settle_group(record.hyperparameters, report, is_restoring=is_restoring)
        self.state.clear()
        if values:
            self.state[self.param_groups[0]["params"][0]] = values
        return report

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state dict, with the paths of the parameters."""
        state_dict = super().state_dict()
        paths = [param.path for param in self._binding.current()]
        groups = [{**group, _PATHS: paths} for group in state_dict["param_groups"]]
        return {**state_dict, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the result of ``state_dict()``, or torch's of as many parameters.

        Raises RecordMismatchError if it was saved for other parameters.
        """
        check_is_state(state_dict)
        groups = [dict(group) for group in state_dict["param_groups"]]
        stored_paths = groups[0].pop(_PATHS, None) if groups else None
        if groups and "history_size" not in groups[0]:
            kind = groups[0].get("kind", "another optimizer")
            raise RecordMismatchError(
                IN_STATE_DICT,
                [f"found the state of {kind}, expected that of LBFGS"],
                other_optimizer_cure(),
            )
        paths = [param.path for param in self._binding.current()]
        # Older ones, and torch's, have no paths.
        if stored_paths not in (None, paths):
            raise RecordMismatchError(
                IN_STATE_DICT,
                [
                    (
                        "LBFGS steps all parameters together: they were "
                        f"{first_names(stored_paths, 4)} when saved, and are now "
                        f"{first_names(paths, 4)}"
                    )
                ],
                "The optimizer is unchanged. load_record with a file from "
                "save_record matches parameters by name, in any order. If the "
                f"order of the state dict is right, remove {_PATHS!r} from the "
                "group.",
            )
        super().load_state_dict({**state_dict, "param_groups": groups})

    def _settle_group(
        self, stored_fields: dict[str, Any], report: LoadReport, *, is_restoring: bool
    ) -> None:
        """Restore or compare the hyperparameters."""
        group = self.param_groups[0]
        for name, value in stored_fields.items():
            if name not in self.defaults:
                report.unexpected.append(name)
            elif is_restoring:
                group[name] = value
            elif group.get(name) != value:
                report.changed.append(f"{name} is {group.get(name)}, and was {value}")

    def _undo(self) -> Undo:
        """Return what restores the present state and hyperparameters."""
        group, state = self.param_groups[0], self.state
        group_items, state_items = dict(group), dict(state)

        def undo() -> None:
            group.clear()
            group.update(group_items)
            state.clear()
            state.update(state_items)

        return undo

    def _undo_step(self) -> Undo:
        """Return what restores parameters and state, which a step writes in place."""
        params, state = lbfgs_params(self), self.state
        values = [param.detach().clone() for param in params]
        states = {
            param: {name: _copy_of_written(value) for name, value in fields.items()}
            for param, fields in state.items()
        }

        def undo() -> None:
            for param, value in zip(params, values, strict=True):
                param.detach().copy_(value)
            state.clear()
            state.update(states)

        return undo

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add the parameters of the module; a second group would never be stepped."""
        if self.param_groups:
            raise ValueError(
                "LBFGS steps all parameters of its module together and cannot "
                "take another group; add the parameter to the module, and bind "
                "a new optimizer"
            )
        super().add_param_group(param_group)

    def _check_state(self) -> None:
        """Raise ValueError for a state that was changed, or for other shapes."""
        fields = self.state.get(lbfgs_params(self)[0], {})
        if not fields:
            return
        required_names = _FIELDS if fields.get("n_iter", 1) else ("n_iter",)
        problems = [f"it lacks {n}" for n in required_names if fields.get(n) is None]
        problems += _misfits(fields, sum(map(_size, lbfgs_params(self))))
        if problems:
            raise ValueError(
                f"the state of LBFGS in optim.state does not fit: {problems[0]}. "
                "Nothing was changed. The state or the parameters were changed: "
                "load a saved state, or start from scratch: "
                "LBFGS(...).bind(net, lr=...)"
            )

    def _check_replaced(self) -> None:
        """Raise RuntimeError if a parameter was replaced in the module."""
        if self._binding.is_unchanged():
            return
        paths = [self._binding.path_of(param) for param in self._binding.replaced()]
        if paths:
            raise RuntimeError(
                f"{paths[0]} was replaced in the module after the optimizer was "
                "built, and the curvature is that of the old parameters; bind a "
                "new optimizer: LBFGS(...).bind(net, lr=...)"
            )
        self._binding.watch()

    def _order(self, record: LBFGSRecord, rename: Renames | None) -> list[int]:
        """Return the index of each held parameter in the record."""
        renamed = renamer_of(record.paths, rename or {})
        by_id = {param_id: i for i, param_id in enumerate(record.ids)}
        by_path = {renamed(path): i for i, path in enumerate(record.paths)}
        order: list[int] = []
        problems: list[str] = []
        for param in self._binding.current():
            at = by_id.get(param.id, by_path.get(param.path))
            size = _size(param.tensor)
            if at is None:
                problems.append(f"{param.path}: not stored")
            elif record.sizes[at] != size:
                problems.append(
                    f"{param.path}: stored with "
                    f"{quantity(record.sizes[at], 'element')}, the "
                    f"parameter has {size}"
                )
            else:
                order.append(at)
        if not problems and len(order) != len(record.sizes):
            problems.append(
                f"stored for {quantity(len(record.sizes), 'parameter')}, but there "
                f"are {len(order)}"
            )
        if problems:
            raise RecordMismatchError("LBFGS record", problems)
        return order

    def __getstate__(self) -> dict[str, Any]:
        attributes = vars(self)
        names = (
            "defaults",
            "state",
            "param_groups",
            "_binding",
            *LBFGS_ATTRIBUTES,
        )
        return {name: attributes[name] for name in names}


def restore_lbfgs(
    adaptor: LBFGSAdaptor, record: Any, transaction: Transaction
) -> LoadReport:
    """Let ``adaptor`` continue from ``record``, in a transaction with other changes.

    It is `LBFGSAdaptor.load_record` with the stored hyperparameters.
    """
    return adaptor._fill(record, None, transaction, is_restoring=True)  # pyright: ignore[reportPrivateUsage]  # of this file


_step_of_torch: Callable[..., Any] = inspect.unwrap(torch.optim.LBFGS.step)
"""The step without torch's wrapper, which would run users' hooks a second time."""


def _copy_of_written(value: Any) -> Any:
    """Return a copy of what a step writes in place: a vector, or a list of them."""
    if isinstance(value, list):
        return [*value]  # pyright: ignore[reportUnknownVariableType]  # tensors and numbers
    return value.clone() if isinstance(value, Tensor) else value


def _check_lengths(record: LBFGSRecord) -> None:
    """Raise RecordMismatchError for lists and vectors not over all parameters."""
    n_params = {len(record.paths), len(record.ids), len(record.sizes)}
    if len(n_params) > 1 or any(size < 0 for size in record.sizes):
        n_paths = quantity(len(record.paths), "path")
        lists = f"{n_paths}, {len(record.ids)} IDs, sizes {record.sizes}"
        raise RecordMismatchError(
            "LBFGS record", [f"found {lists:.200}, expected one of each per parameter"]
        )
    total = sum(record.sizes)
    problems = _misfits(record.values, total)
    if problems:
        raise RecordMismatchError("LBFGS record", problems)


def _misfits(values: dict[str, Any], total: int) -> list[str]:
    """Return which of the state's vectors do not cover all parameters."""
    vectors = [(name, t) for name, v in values.items() for t in _vectors(v)]
    return [
        (
            f"{name}: a vector of {quantity(t.numel(), 'element')}, but the parameters "
            f"have {total}"
        )
        for name, t in vectors
        if t.ndim != 1 or t.numel() != total
    ]


def _vectors(value: Any) -> list[Tensor]:
    if isinstance(value, list):
        return [t for item in value for t in _vectors(item)]  # pyright: ignore[reportUnknownVariableType]  # tensors and numbers
    return [value] if isinstance(value, Tensor) and value.ndim else []


def _size(tensor: Tensor) -> int:
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _reordered(value: Any, sizes: list[int], order: list[int]) -> Any:
    """Return vectors over all parameters in the order of the held ones."""
    if isinstance(value, list):
        return [_reordered(item, sizes, order) for item in value]  # pyright: ignore[reportUnknownVariableType]  # tensors and numbers
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value.clone() if isinstance(value, Tensor) else value
    parts = torch.split(value, sizes)
    return torch.cat([parts[i] for i in order])


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [_to(item, device) for item in value]  # pyright: ignore[reportUnknownVariableType]  # tensors and numbers
    return value.to(device) if isinstance(value, Tensor) else value
