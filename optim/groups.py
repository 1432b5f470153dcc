"""Groups: the settings of parameters, declared by pattern and type."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import nn

from ..config.patterns import Patterns, matches
from ..config.short_text import with_article
from ..config.spelling import did_you_mean
from ..records.entries.select import unmatched
from ..records.tensors.torch_internals import NormBase
from .clipping import check_clip
from .tensor_optimizer import (
    TensorOptimizer,
    check_optimizer,
    hyperparameters,
    refuse_options_of_torch,
)

if TYPE_CHECKING:
    from ..records.entries.entry import Param
    from .clipping import Clip
    from .schedulers.scheduler import Scheduler

Types: TypeAlias = type[nn.Module] | tuple[type[nn.Module], ...]

NORMS: tuple[type[nn.Module], ...] = (
    NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
"""The normalization layers of torch.nn."""


_NONE = "none, since hyperparameters are the fields of a dataclass"
_FROZEN = ("freeze", "frozen", "requires_grad", "trainable")
_FREEZING = " burnish.freeze(net, pattern) keeps parameters from being trained."


class Group:
    """Parameters selected by a pattern, a type of layer, or both, with their settings.

    ``Group("**.bias", weight_decay=0.0)``; ``Group(NORMS, weight_decay=0.0)``;
    ``Group("head.**", optimizer=Muon(), lr=0.02)``. The last group that matches wins.
    """

    def __init__(
        self,
        pattern: "Patterns | Types | None" = None,
        *,
        type: "Types | None" = None,
        optimizer: TensorOptimizer[Any] | None = None,
        lr: "float | Scheduler | None" = None,
        clip: "Clip | None" = None,
        **changes: Any,
    ) -> None:
        if _is_types(pattern):
            if type is not None:
                raise TypeError(
                    "a Group takes types once, as the first argument or as "
                    "type=: Group(nn.LayerNorm, ...) or Group('encoder.**', "
                    "type=nn.LayerNorm, ...)"
                )
            pattern, type = None, pattern  # pyright: ignore[reportAssignmentType]  # checked above
        if pattern is None and type is None:
            raise TypeError(
                "a Group needs a pattern, a type, or both: Group('**.bias', ...), "
                "Group(type=NORMS, ...)"
            )
        if pattern is not None and not _is_pattern(pattern):
            raise TypeError(
                "a Group selects parameters of the module by pattern, type or "
                f"function, got {_described(pattern)}; a tensor that is not a "
                "parameter of the module is added later: "
                "optim.add_param_group({'params': [tensor], 'lr': 0.1})"
            )
        check_clip(clip)
        if optimizer is not None:
            check_optimizer(optimizer, "Group('head.**', optimizer=AdamW(), lr=1e-3)")
        self.pattern: Patterns | None = pattern  # type: ignore[assignment]  # types went
        self.type = type
        self.optimizer, self.lr, self.clip, self.changes = optimizer, lr, clip, changes

    def __repr__(self) -> str:
        parts = [repr(self.pattern)] if self.pattern is not None else []
        parts += [f"type={self.type}"] if self.type is not None else []
        return f"Group({', '.join(parts)})"

    def optimizer_of(self, base: TensorOptimizer[Any]) -> TensorOptimizer[Any]:
        """Return the group's optimizer, with its changed hyperparameters."""
        import dataclasses

        chosen = base if self.optimizer is None else self.optimizer
        names = hyperparameters(chosen)
        refuse_options_of_torch(type(chosen).__name__, self.changes.keys() - names)
        for name in self.changes:
            if name not in names:
                hint = _FREEZING if name in _FROZEN else did_you_mean(name, names)
                raise ValueError(
                    f"{self!r}: {type(chosen).__qualname__} has no hyperparameter "
                    f"{name!r}; it has {', '.join(names) or _NONE}.{hint}"
                )
        if not self.changes:
            return chosen
        changed: TensorOptimizer[Any] = dataclasses.replace(
            chosen,  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]  # it has fields, so it is a dataclass
            **self.changes,
        )
        return changed


@dataclass(slots=True)
class PlacedGroup:
    """A group with the parameters that are in it."""

    optimizer: TensorOptimizer[Any]
    lr: "float | Scheduler"
    clip: "Clip | None"
    params: "list[Param]"

    def param_group(self) -> dict[str, Any]:
        """Return the group in the form that a torch.optim.Optimizer accepts."""
        return {
            "params": [param.tensor for param in self.params],
            "optimizer": self.optimizer,
            "lr": self.lr,
            "clip": self.clip,
        }


def place(
    module: nn.Module,
    params: "Sequence[Param]",
    groups: Sequence[Group],
    base: TensorOptimizer[Any],
    lr: "float | Scheduler",
) -> list[PlacedGroup]:
    """Return every parameter in one group: the last that matches, or the first of all.

    Groups without any parameter, because of later ones, are dropped. Raises ValueError
    for a group that matches nothing, and for such a pattern among several of a group.
    """
    owners = _types(module)
    placed_groups = [PlacedGroup(base, lr, None, [])]
    for group in groups:
        own_lr = lr if group.lr is None else group.lr
        placed_groups.append(
            PlacedGroup(group.optimizer_of(base), own_lr, group.clip, [])
        )
    has_match = [False] * len(groups)
    for param in params:
        chosen = 0
        for i, group in enumerate(groups):
            if _matches(group, param, owners.get(id(param.tensor), ())):
                chosen, has_match[i] = i + 1, True
        placed_groups[chosen].params.append(param)
    for group, any_match in zip(groups, has_match, strict=True):
        _check_patterns(group, params, module)
        if not any_match:
            raise ValueError(_no_match(repr(group), params))
    return [group for group in placed_groups if group.params]


def _is_pattern(value: object) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_pattern, value))  # pyright: ignore[reportUnknownArgumentType]  # items are any value
    return isinstance(value, str) or (
        callable(value) and not isinstance(value, nn.Module)
    )


def _described(value: object) -> str:
    items = value if isinstance(value, list | tuple) else [value]
    return ", ".join(dict.fromkeys(with_article(type(item).__name__) for item in items))


def _is_types(value: object) -> bool:
    """Return whether ``value`` is a class, or several, as `isinstance` accepts them."""
    items = value if isinstance(value, tuple) else (value,)
    return bool(items) and all(isinstance(item, type) for item in items)


def _matches(
    group: Group, param: "Param", owners: "tuple[nn.Module, ...] | list[nn.Module]"
) -> bool:
    by_path = group.pattern is None or matches(group.pattern, param.path, param)
    by_type = group.type is None or any(isinstance(o, group.type) for o in owners)
    return by_path and by_type


def _types(module: nn.Module) -> dict[int, list[nn.Module]]:
    """Return the modules that own each parameter, by the parameter's identity."""
    owners: dict[int, list[nn.Module]] = {}
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(part)
    return owners


def _check_patterns(group: Group, params: "Sequence[Param]", module: nn.Module) -> None:
    """Raise ValueError for a pattern of a group that matches no path."""
    for pattern, hint in unmatched(group.pattern, [param.path for param in params]):
        is_alone = isinstance(group.pattern, str)
        subject = repr(group) if is_alone else f"{group!r}: {pattern!r}"
        hint = _tied_match(pattern, params, module) or hint
        if not is_alone:
            hint += (
                " Remove it, or use a function if only some networks have such "
                "parameters: Group(lambda param: ...)."
            )
        raise ValueError(_no_match(subject, params) + hint)


def _no_match(subject: str, params: "Sequence[Param]") -> str:
    paths = [param.path for param in params]
    more = ", ..." if len(paths) > 8 else ""
    return (
        f"{subject} matches no parameter; the module has {', '.join(paths[:8])}{more}."
    )


def _tied_match(pattern: str, params: "Sequence[Param]", module: nn.Module) -> str:
    """Return a hint where only a later path of a shared parameter matches."""
    by_tensor = {id(param.tensor): param for param in params}
    for path, tensor in module.named_parameters(remove_duplicate=False):
        param = by_tensor.get(id(tensor))
        if param is None or path == param.path:
            continue
        if matches(pattern, path, param._replace(path=path)):
            return (
                f" {path} is tied to {param.path}: a shared parameter is stepped "
                "once, and a group must name it by its first path."
            )
    return ""
