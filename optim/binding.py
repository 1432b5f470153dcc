"""Binding: which parameters of a module an optimizer holds, by path and ID."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..config.user_warning import warn_user
from ..core.state.identity import named_params
from ..records.entry import Param, ParamId
from .watch import Watch


class Binding:
    """The parameters of a module that can be stepped: floating and complex ones."""

    def __init__(self, module: nn.Module) -> None:
        self.module: nn.Module | None = module
        self.params = _steppable(module)
        for param in self.params:
            if is_lazy(param.tensor):
                raise ValueError(
                    f"{param.path} has no shape yet (a lazy layer), so there is no "
                    "state for it; run one batch through the module, then call bind"
                )
        if not self.params:
            raise ValueError(
                f"{type(module).__name__} has no floating parameter to optimize"
            )
        self.known: dict[Tensor, Param] = {p.tensor: p for p in self.params}
        self.foreign = set[Tensor]()
        """Those that are no parameters of the module; they keep a name of their own."""
        self._watch: Watch | None = Watch(module, self.known)

    def __getstate__(self) -> dict[str, Any]:
        # The module may hold what cannot be copied; the parameters are the optimizer's.
        return {**self.__dict__, "module": None, "_watch": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Binding":
        copied = memo[id(self)] = type(self).__new__(type(self))
        vars(copied).update(copy.deepcopy(self.__getstate__(), memo))
        # Who copies an optimizer beside its module has the copy of that in the memo.
        copied.module = memo.get(id(self.module))
        copied.watch()
        return copied

    def is_of(self, module: nn.Module) -> bool:
        """Return whether ``module`` is the one that is held; a copy takes it over."""
        if self.module is None and self._are_in(module):
            self.module = module
            self.watch()
        return self.module is module

    def _are_in(self, module: nn.Module) -> bool:
        present = set[Tensor](module.parameters())
        return all(p in present for p in self.known if p not in self.foreign)

    def path_of(self, tensor: Tensor, fallback: str = "a parameter") -> str:
        """Return the dotted path at which ``tensor`` was met."""
        known = self.known.get(tensor)
        return known.path if known is not None else fallback

    def current(self) -> list[Param]:
        """Return the held parameters, with the paths and IDs they have by now."""
        if self.module is not None:
            for param in _steppable(self.module):
                if param.tensor in self.known:
                    self.known[param.tensor] = param
        return list(self.known.values())

    def add(self, tensor: Tensor) -> None:
        """Hold a parameter that was added later; its path is looked up."""
        if tensor in self.known:
            return
        found: dict[Tensor, Param] = {}
        if self.module is not None:
            found = {p.tensor: p for p in _steppable(self.module)}
        if tensor in found:
            self.known[tensor] = found[tensor]
            self.watch()
            return
        path, param_id = f"param_{len(self.known)}", ParamId.draw()
        self.known[tensor] = Param(path, param_id, tensor)  # type: ignore[arg-type]  # a tensor that requires grad will do
        self.foreign.add(tensor)

    def by_param(self, grads: Mapping[str, Tensor]) -> dict[Tensor, Tensor]:
        """Return gradients, given by ID or path, by parameter.

        Raises KeyError for one that names no held parameter, ValueError for one of
        another shape.
        """
        held = self.current()
        by_name = {p.id: p.tensor for p in held} | {p.path: p.tensor for p in held}
        unknown = [name for name in grads if name not in by_name]
        if unknown:
            raise KeyError(f"{unknown[0]!r} is no ID or path of a held parameter")
        by_param: dict[Tensor, Tensor] = {
            by_name[name]: grad for name, grad in grads.items()
        }
        for param, grad in by_param.items():
            self._check_gradient(param, grad)
        return by_param

    def _check_gradient(self, param: Tensor, grad: object) -> None:
        """Raise what autograd would: steps broadcast gradients of other shapes."""
        if grad is None:
            return
        if not isinstance(grad, Tensor):
            raise TypeError(
                f"{self.path_of(param)}: found a {type(grad).__name__} as its "
                "gradient, expected a tensor: torch.as_tensor(grad)"
            )
        if grad.shape != param.shape:
            raise ValueError(
                f"{self.path_of(param)}: its gradient has shape {tuple(grad.shape)}, "
                f"expected {tuple(param.shape)}, that of the parameter; reshape or sum "
                "it before"
            )

    def is_unchanged(self) -> bool:
        """Return whether the module still has the held parameters where they stood."""
        return self._watch is None or self._watch.is_unchanged()

    def watch(self) -> None:
        """Let `is_unchanged` compare with what the module is now."""
        if self.module is not None:
            self._watch = Watch(self.module, self.known)

    def replaced(self) -> dict[Tensor, nn.Parameter]:
        """Return the held parameters that were replaced, and by what."""
        if self.module is None:
            return {}
        live = _steppable(self.module)
        held = {id(param.tensor) for param in live}
        by_path = {param.path: param.tensor for param in live}
        return {
            tensor: by_path[param.path]
            for tensor, param in self.known.items()
            if id(tensor) not in held
            and param.path in by_path
            and by_path[param.path] not in self.known
        }

    def rebind(self, old: Tensor, new: nn.Parameter) -> None:
        """Hold ``new`` where ``old`` was."""
        param = self.known.pop(old)
        self.known[new] = Param(param.path, param.id, new)


def warn_replaced(paths: list[str]) -> None:
    """Say that parameters were replaced after the optimizer was made."""
    shown = ", ".join(paths[:4]) + (", ..." if len(paths) > 4 else "")
    warn_user(
        f"{shown} was replaced in the module after the optimizer was made "
        "(load_state_dict(assign=True), a new layer); the optimizer now steps the new "
        "parameter, with the old one's state where the shape is the same",
        RuntimeWarning,
    )


def _steppable(module: nn.Module) -> list[Param]:
    return [
        param
        for param in named_params(module)
        if param.tensor.is_floating_point() or param.tensor.is_complex()
    ]
