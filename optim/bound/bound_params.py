# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""BoundParams: the parameters of a module that an optimizer holds, by path and ID."""

import copy
import io
import pickle
from collections.abc import Container, Iterable, Mapping
from operator import getitem, is_
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ...config.process.interrupts import raise_of_signal
from ...config.process.transaction import Undo
from ...config.process.user_warning import warn_user
from ...config.short_text import first_names, with_article
from ...core.modules.tree import places_of
from ...core.state.identity import named_params, share_ids
from ...records.entries.entry import Param, ParamId
from ...records.tensors.dtypes import can_require_grad
from ...records.tensors.shares import is_sharded

FOREIGN = "a parameter"
"""The name of a tensor without a known path."""


class BoundParams:
    """The parameters of a module that can be stepped: floating and complex ones."""

    def __init__(self, module: nn.Module) -> None:
        self.module: nn.Module | None = module
        self.params = _steppable(module)
        for param in self.params:
            if is_lazy(param.tensor):
                raise ValueError(
                    f"{param.path} has no shape yet (a lazy layer), so no state "
                    "can be made for it; run one batch through the module, then "
                    "call bind"
                )
        if not self.params:
            raise ValueError(
                f"{type(module).__name__} has no floating parameter to optimize"
            )
        self.by_tensor: dict[Tensor, Param] = {p.tensor: p for p in self.params}
        self.foreign = set[Tensor]()
        """Tensors that are not parameters of the module; each keeps its own name."""
        self.followed = set[Tensor]()
        """Parameters that were not bound, and replaced a held one."""
        self._watch: _ParamWatch | None = _ParamWatch(module, self.by_tensor)
        self.is_copy = False
        """Whether it was copied or unpickled, and has not stepped since."""
        self.is_parted = False
        """Whether it was pickled without its module, which may exist all the same."""
        self._copied_from: tuple[int, dict[int, Any]] | None = None
        """How and where the copy of the module is found, once everything is copied."""
        self._is_in_probe = False

    def __getstate__(self) -> dict[str, Any]:
        self._find_module()
        # pickle() of (module, optimizer) writes the module once, so both stay together.
        is_pickled = not self._is_in_probe and self.module is not None and self._probe()
        module = self.module if is_pickled else None
        is_parted = self.is_parted or self.module is not module
        changes = {"module": module, "_watch": None, "is_copy": True}
        return {**self.__dict__, **changes, "is_parted": is_parted}

    def __deepcopy__(self, memo: dict[int, Any]) -> "BoundParams":
        self._find_module()
        copied = memo[id(self)] = type(self).__new__(type(self))
        contents = {**self.__dict__, "module": None, "_watch": None, "is_copy": True}
        vars(copied).update(copy.deepcopy(contents, memo))
        # For a copy of (module, optimizer) the memo has the module's copy in the end. A
        # copy of the optimizer alone must not copy the module, which may hold a whole
        # run.
        copied._copied_from = (id(self.module), memo)
        return copied

    def _probe(self) -> bool:
        """Return whether the module can be pickled; otherwise it is left out."""
        # A module may hold its optimizer.
        self._is_in_probe = True
        try:
            _Probe(_Nowhere()).dump(self.module)
        except Exception as error:
            raise_of_signal(error)
            return False
        finally:
            self._is_in_probe = False
        return True

    def _find_module(self) -> None:
        """Adopt the module that was copied together with the optimizer."""
        if self._copied_from is not None:
            number, memo = self._copied_from
            self.module, self._copied_from = memo.get(number), None

    def is_of(self, module: nn.Module) -> bool:
        """Return whether ``module`` is the held one; a copied optimizer adopts it."""
        self._find_module()
        if self.module is None and self._are_in(module):
            self.module = module
            self.watch()
        return self.module is module

    def _are_in(self, module: nn.Module) -> bool:
        present = set[Tensor](module.parameters())
        return all(p in present for p in self.by_tensor if p not in self.foreign)

    def path_of(self, tensor: Tensor, fallback: str = FOREIGN) -> str:
        """Return the dotted path at which ``tensor`` was found first."""
        param = self.by_tensor.get(tensor)
        return param.path if param is not None else fallback

    def current(self) -> list[Param]:
        """Return the held parameters, with their present paths and IDs."""
        self._find_module()
        if self.module is not None:
            for param in _steppable(self.module):
                if param.tensor in self.by_tensor:
                    self.by_tensor[param.tensor] = param
        return list(self.by_tensor.values())

    def share_ids(self, group: Any = None) -> None:
        """Give the parameters of all processes the IDs of the first process."""
        self._find_module()
        if self.module is not None:
            share_ids(places_of(self.module), group)

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Hold parameters that were added later; their paths are looked up."""
        new_tensors = [tensor for tensor in tensors if tensor not in self.by_tensor]
        if not new_tensors:
            return
        self._find_module()
        was_unchanged = self.is_unchanged()
        present: dict[Tensor, Param] = {}
        if self.module is not None:
            present = {p.tensor: p for p in _steppable(self.module)}
        for tensor in new_tensors:
            if tensor in present:
                self.by_tensor[tensor] = present[tensor]
                continue
            path, param_id = f"param_{len(self.by_tensor)}", ParamId.draw()
            self.by_tensor[tensor] = Param(path, param_id, tensor)  # type: ignore[arg-type]  # a tensor that requires grad will do
            self.foreign.add(tensor)
        # A new watch would not see what was replaced before, and is not followed yet.
        if was_unchanged:
            self.watch()

    def undo(self) -> Undo:
        """Return what restores the present set of held parameters."""
        by_tensor, foreign = dict(self.by_tensor), set(self.foreign)
        followed, watch = set(self.followed), self._watch

        def put_back() -> None:
            self.by_tensor, self.foreign, self.followed = by_tensor, foreign, followed
            self._watch = watch

        return put_back

    def by_param(self, grads: Mapping[str, Tensor]) -> dict[Tensor, Tensor]:
        """Return gradients, given by ID or path, by parameter.

        Raises KeyError for a name of no held parameter, ValueError for a gradient of
        another shape, and for two of one parameter.
        """
        params = self.current()
        by_name: dict[str, Tensor] = {p.id: p.tensor for p in params}
        by_name |= {p.path: p.tensor for p in params}
        unknown = [name for name in grads if name not in by_name]
        if unknown:
            raise KeyError(
                f"{unknown[0]!r} is not the ID or path of a parameter of this optimizer"
            )
        by_param: dict[Tensor, Tensor] = {}
        for name, grad in grads.items():
            param = by_name[name]
            if param in by_param:
                raise ValueError(
                    f"{self.path_of(param)} has two gradients, one under its ID "
                    "and one under its path; add them up, and pass the sum once"
                )
            by_param[param] = grad
        for param, grad in by_param.items():
            self._check_gradient(param, grad)
        return by_param

    def _check_gradient(self, param: Tensor, grad: object) -> None:
        """Raise as autograd would, since steps broadcast gradients of other shapes."""
        if grad is None:
            return
        if not isinstance(grad, Tensor):
            raise TypeError(
                f"{self.path_of(param)}: found "
                f"{with_article(type(grad).__name__)} as its gradient, expected "
                "a tensor; convert it with torch.as_tensor(grad)"
            )
        if grad.shape != param.shape:
            raise ValueError(
                f"{self.path_of(param)}: its gradient has shape "
                f"{tuple(grad.shape)}, expected {tuple(param.shape)}, the shape "
                "of the parameter; reshape or sum it first"
            )

    def is_unchanged(self) -> bool:
        """Return whether the held parameters are still in place in the module."""
        if self._watch is not None:
            return self._watch.is_unchanged()
        # A copy has not been compared with anything yet.
        self._find_module()
        return self.module is None

    def watch(self) -> None:
        """Let `is_unchanged` compare with the present module."""
        if self.module is not None:
            self._watch = _ParamWatch(self.module, self.by_tensor)

    def replaced(self) -> dict[Tensor, nn.Parameter]:
        """Return the held parameters that were replaced, and their replacements."""
        if self.module is None:
            return {}
        live = _steppable(self.module)
        live_ids = {id(param.tensor) for param in live}
        by_path = {param.path: param.tensor for param in live}
        return {
            tensor: by_path[param.path]
            for tensor, param in self.by_tensor.items()
            if id(tensor) not in live_ids
            and param.path in by_path
            and by_path[param.path] not in self.by_tensor
        }

    def departed(self) -> list[Param]:
        """Return the held parameters that were removed from the module."""
        self._find_module()
        if self.module is None:
            return []
        live = set[Tensor](self.module.parameters())
        return [
            param
            for tensor, param in self.by_tensor.items()
            if tensor not in live and tensor not in self.foreign
        ]

    def unheld(self) -> list[str]:
        """Return the paths of parameters of the module that are not held."""
        if self.module is None:
            return []
        live = _steppable(self.module)
        return [param.path for param in live if param.tensor not in self.by_tensor]

    def rebind(self, tensor: Tensor, successor: nn.Parameter) -> None:
        """Hold ``successor`` in the place of ``tensor``."""
        param = self.by_tensor.pop(tensor)
        self.by_tensor[successor] = Param(param.path, param.id, successor)
        self.followed.discard(tensor)
        self.followed.add(successor)


def warn_apart(params: BoundParams, *, has_gradients: bool) -> None:
    """Warn, once, that a copy without its module does not follow changes of it."""
    if not has_gradients:
        warn_user(
            "this optimizer was copied or unpickled, and none of its parameters "
            "has a gradient, so nothing is stepped. An optimizer that is copied "
            "without its module steps copies of the parameters, which the "
            "module does not use. Copy or pickle both together: net, optim = "
            "copy.deepcopy((net, optim))",
            RuntimeWarning,
        )
    elif params.is_parted and params.module is None:
        warn_user(
            "this optimizer was pickled without its module, which cannot be "
            "pickled: it steps the parameters that were pickled with it, and "
            "does not notice when a layer is replaced. To follow a module, bind "
            "a new optimizer to it and load the state: optim.load_record(file), "
            "optim.load_state_dict(...)",
            RuntimeWarning,
        )


def warn_replaced(paths: list[str]) -> None:
    """Warn that parameters were replaced after the optimizer was created."""
    was, noun = ("was", "parameter") if len(paths) == 1 else ("were", "parameters")
    warn_user(
        f"{first_names(paths, 4)} {was} replaced in the module after the optimizer was "
        "built (load_state_dict(assign=True), a new layer); the optimizer now steps "
        f"the new {noun}, with the old state where the shape is the same",
        RuntimeWarning,
    )


def warn_unheld(params: BoundParams) -> None:
    """Warn that parameters were exchanged for others that are in no group."""
    departed = [param.path for param in params.departed()]
    unheld = params.unheld() if departed else []
    if unheld:
        warn_user(
            "since the optimizer was built, the module has lost "
            f"{first_names(departed, 4)} and got {first_names(unheld, 4)} (by a "
            "parametrization or a new layer). The optimizer does not step what was "
            "added: bind a new optimizer, or add the parameters to it: "
            "optim.add_param_group({'params': [...]})",
            RuntimeWarning,
        )


class _Nowhere(io.RawIOBase):
    """Discards what is pickled."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


class _Probe(pickle.Pickler):
    """Pickles everything but the values of tensors and arrays."""

    def persistent_id(self, obj: object) -> str | None:
        return "data" if isinstance(obj, Tensor | np.ndarray) else None


def _steppable(module: nn.Module) -> list[Param]:
    return [param for param in named_params(module) if can_require_grad(param.tensor)]


class _ParamWatch:
    """The places of some parameters; comparing 5,000 takes a thirtieth of their step.

    Only the path to each parameter is watched: other layers may come and go. Sharded
    parameters are left out, since their wrapper exchanges them itself.
    """

    def __init__(self, module: nn.Module, params: Container[Tensor]) -> None:
        self._owners: list[dict[str, Any]] = []
        self._names: list[str] = []
        self._values: list[Any] = []
        parts = [*module.modules()]
        leading = set[nn.Module]()
        for part in reversed(parts):  # children come before their parents
            direct = {
                n: p for n, p in part._parameters.items() if _is_watched(p, params)
            }
            below = {n: c for n, c in part._modules.items() if c in leading}
            self._add(part._parameters, direct)
            self._add(part._modules, below)
            if direct or below:
                leading.add(part)

    def is_unchanged(self) -> bool:
        """Return whether every place still holds its parameter."""
        try:
            return all(map(is_, map(getitem, self._owners, self._names), self._values))
        except KeyError:
            return False

    def _add(self, owner: dict[str, Any], values: dict[str, Any]) -> None:
        self._owners += [owner] * len(values)
        self._names += values
        self._values += values.values()


def _is_watched(param: Tensor | None, params: Container[Tensor]) -> bool:
    return param is not None and param in params and not is_sharded(param)
