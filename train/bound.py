"""Optimizers that are built again over the parameters they were bound to.

When saved, the parameters of an optimizer are looked for in the modules beside it, by
identity; the file names them, and the class. When loaded, the modules are restored
first, and the optimizer is built over the same parameters of theirs.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config.path import did_you_mean
from ..core.state.places import unwrapped
from ..optim.adaptor import OptimizerAdaptor
from ..optim.groups import Group
from ..optim.simple import SimpleOptimizer
from ..records.errors import RecordMismatchError
from ..records.flat import FlatRecord
from .plain import value_of

Modules = Mapping[str, nn.Module]
"""The modules of a state by the path of their field."""

Name = tuple[str, str]
"""A parameter: the path of the module's field, and its own path in the module."""


def binding_of(optimizer: torch.optim.Optimizer, modules: Modules) -> Any:
    """Return what says how to build ``optimizer`` again; None where that is not known.

    It is known for torch's optimizers and ours with what their records hold, if all
    of their parameters are in ``modules``.
    """
    names = _names(modules)
    groups: list[list[list[str]]] = []
    for group in optimizer.param_groups:
        found = [names.get(id(param)) for param in group["params"]]
        if any(name is None for name in found):
            return None
        groups.append([list(name) for name in found if name is not None])
    kind = type(optimizer).__name__
    if isinstance(optimizer, OptimizerAdaptor):
        at = _place_of(optimizer, modules)
        is_known = at is not None and _is_described(optimizer)
        return {"kind": kind, "groups": groups, "module": at} if is_known else None
    is_known = getattr(torch.optim, kind, None) is type(optimizer)
    return {"kind": kind, "groups": groups} if is_known else None


def built(
    binding: Mapping[str, Any],
    record: FlatRecord,
    module_at: Callable[[str], nn.Module],
) -> torch.optim.Optimizer:
    """Return the optimizer that ``binding`` describes, with the state in ``record``."""
    file = record.reading.file
    try:
        if "module" in binding:
            return _built_adaptor(binding, record, module_at)
        cls = _torch_class(binding["kind"], file)
        state = value_of(record)
        groups: list[dict[str, Any]] = []
        for names, stored in zip(binding["groups"], state["param_groups"], strict=True):
            params = [_param(module_at(at), path, file) for at, path in names]
            groups.append({**stored, "params": params})
        optimizer: torch.optim.Optimizer = cls(groups)
        optimizer.load_state_dict(state)
    except (KeyError, ValueError, TypeError) as error:
        raise RecordMismatchError(
            file, [f"the optimizer cannot be built again: {error!s:.300}"]
        ) from error
    return optimizer


def _names(modules: Modules) -> dict[int, Name]:
    names: dict[int, Name] = {}
    for at, module in modules.items():
        inner = unwrapped(module)
        for path, param in inner.named_parameters(remove_duplicate=False):
            names.setdefault(id(param), (at, path))
    return names


def _place_of(adaptor: OptimizerAdaptor, modules: Modules) -> list[str] | None:
    """Return the field and the path of the module whose parameters these are."""
    held = {id(param) for group in adaptor.param_groups for param in group["params"]}
    for at, module in modules.items():
        for path, part in unwrapped(module).named_modules():
            if {id(p) for p in part.parameters() if _is_steppable(p)} == held:
                return [at, path]
    return None


def _is_steppable(param: Tensor) -> bool:
    return param.is_floating_point() or param.is_complex()


def _is_described(adaptor: OptimizerAdaptor) -> bool:
    """Return whether its record tells all that its constructor was told."""
    plain = (adaptor.clip, adaptor.state_dtype, adaptor.fused) == (None, None, None)
    # Clips of single groups are nowhere else.
    clips = any(group.get("clip") is not None for group in adaptor.param_groups)
    is_known = all(
        _simple_class(group["kind"]) is not None for group in adaptor.param_groups
    )
    return plain and not clips and adaptor.nonfinite == "pass" and is_known


def _built_adaptor(
    binding: Mapping[str, Any],
    record: FlatRecord,
    module_at: Callable[[str], nn.Module],
) -> OptimizerAdaptor:
    from ..optim.state import OptimizerRecord

    stored = record.typed(OptimizerRecord)
    at, path = binding["module"]
    module = unwrapped(module_at(at)).get_submodule(path)
    simples: list[SimpleOptimizer[Any]] = []
    for group in stored.groups:
        cls = _simple_class(group.kind)
        if cls is None:
            hint = did_you_mean(group.kind, (c.__name__ for c in _simple_classes()))
            raise ValueError(f"no optimizer {group.kind!r} is defined here.{hint}")
        known: set[str] = {*getattr(cls, "__dataclass_fields__", ())}
        values = {n: _frozen(v) for n, v in group.hyperparameters.items() if n in known}
        simples.append(cls(**values))
    rates = [float(group.hyperparameters["lr"]) for group in stored.groups]
    members = [
        {id(_param(module_at(field), name, "")) for field, name in names}
        for names in binding["groups"]
    ]
    groups = [
        Group(_is_among(ids), optimizer=simple, lr=rate)
        for ids, simple, rate in zip(members[1:], simples[1:], rates[1:], strict=True)
    ]
    is_maximizing = bool(stored.groups[0].hyperparameters.get("maximize", False))
    adaptor = OptimizerAdaptor(
        simples[0], module, lr=rates[0], groups=groups, maximize=is_maximizing
    )
    adaptor.load_record(stored, hyperparameters="restore")
    return adaptor


def _is_among(ids: set[int]) -> Callable[[Any], bool]:
    return lambda param: id(param.tensor) in ids


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _param(module: nn.Module, path: str, file: str) -> Tensor:
    try:
        return unwrapped(module).get_parameter(path)
    except AttributeError as missing:
        problem = f"{path}: the optimizer stepped it, and the module has it no more"
        raise RecordMismatchError(file, [problem]) from missing


def _torch_class(kind: str, file: str) -> Any:
    """Return one of torch's own optimizers: a file imports nothing."""
    cls = getattr(torch.optim, kind, None)
    if not (isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)):
        raise RecordMismatchError(file, [f"{kind!r} is no optimizer of torch.optim"])
    return cls


def _simple_class(kind: str) -> type[SimpleOptimizer[Any]] | None:
    return next((c for c in _simple_classes() if c.__name__ == kind), None)


def _simple_classes() -> Iterable[type[SimpleOptimizer[Any]]]:
    """Return the simple optimizers that are ours, or that the program has defined."""
    from .. import optim

    for name in optim.__all__:
        found = getattr(optim, name)
        if isinstance(found, type) and issubclass(found, SimpleOptimizer):
            yield found
    left = SimpleOptimizer.__subclasses__()
    while left:
        cls = left.pop()
        left += cls.__subclasses__()
        yield cls
