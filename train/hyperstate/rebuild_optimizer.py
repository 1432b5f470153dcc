"""Optimizers that are rebuilt over the parameters they were bound to.

When saved, the parameters of an optimizer are looked up in the modules beside it, by
identity; the file names them, and the class. When loaded, the modules are restored
first, and the optimizer is built over the same parameters of theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...core.modules.tree import unwrapped
from ...optim.adaptor import OptimizerAdaptor
from ...optim.groups import Group
from ...optim.schedulers.scheduler import Scheduler, is_findable, scheduler_of
from ...optim.simple import SimpleOptimizer
from ...optim.tensor_optimizer import hyperparameters
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.tensors.dtypes import can_require_grad
from ..checkpoints.param_names import carried_names, versions_beside
from ..checkpoints.state_dtypes import (
    cast_where_unknown,
    dtypes_of_params,
    load_in_dtypes,
)
from ..group_objects import class_name, required_class, simple_class
from ..plain_records import value_of

Modules = Mapping[str, nn.Module]
"""The modules of a state by the path of their field."""

Name = tuple[str, str]
"""A parameter: the path of the module's field, and its own path in the module."""


def binding_of(optimizer: torch.optim.Optimizer, modules: Modules) -> Any:
    """Return a description for rebuilding ``optimizer``; None if that is unknown.

    It is known for torch's optimizers and ours whose settings their records hold, if
    all of their parameters are in ``modules``.
    """
    names = _names(modules)
    groups: list[list[list[str]]] = []
    for group in optimizer.param_groups:
        param_names = [names.get(id(param)) for param in group["params"]]
        if any(name is None for name in param_names):
            return None
        groups.append([list(name) for name in param_names if name is not None])
    kind = type(optimizer).__name__
    if isinstance(optimizer, OptimizerAdaptor):
        at = _place_of(optimizer, modules)
        if at is None or not _is_described(optimizer):
            return None
        return {
            "kind": kind,
            "kinds": [class_name(type(g["optimizer"])) for g in optimizer.param_groups],
            "groups": groups,
            "module": at,
            "schedules": _schedules_of(optimizer),
        }
    is_known = getattr(torch.optim, kind, None) is type(optimizer)
    if not is_known:
        return None
    return {
        "kind": kind,
        "groups": groups,
        **versions_beside(modules),
        **dtypes_of_params(optimizer),
    }


def is_binding(about: object) -> bool:
    """Return whether ``about`` describes an optimizer, as `binding_of` does."""
    if not isinstance(about, Mapping) or not about.get("groups"):
        return False
    # Only the names of parameters are stored for classes that only the program can
    # make.
    is_known = "module" in about or hasattr(torch.optim, str(about.get("kind")))
    return is_known and all(name[1] for group in about["groups"] for name in group)


def rebuild_optimizer(
    binding: Mapping[str, Any],
    record: FlatRecord,
    module_at: Callable[[str], nn.Module],
) -> torch.optim.Optimizer:
    """Return the optimizer that ``binding`` describes, with the state in ``record``."""
    file = record.reading.file
    try:
        if "module" in binding:
            return _build_adaptor(binding, record, module_at)
        cls = _torch_class(binding["kind"], file)
        state = value_of(record)
        groups: list[dict[str, Any]] = []
        modules = {at: module_at(at) for group in binding["groups"] for at, _ in group}
        names_by_group = carried_names(binding, modules, file)
        for names, options in zip(names_by_group, state["param_groups"], strict=True):
            params = [_param(module_at(at), path, file) for at, path in names]
            groups.append({**options, "params": params})
        optimizer: torch.optim.Optimizer = cls(groups)
        state = cast_where_unknown(optimizer, state, binding, state["param_groups"])
        load_in_dtypes(optimizer, optimizer.load_state_dict, state)
    except (KeyError, ValueError, TypeError) as error:
        lacks = "the file does not hold " if isinstance(error, KeyError) else ""
        raise RecordMismatchError(
            file, [f"the optimizer cannot be rebuilt: {lacks}{error!s:.300}"]
        ) from error
    return optimizer


def _names(modules: Modules) -> dict[int, Name]:
    names: dict[int, Name] = {}
    for at, module in modules.items():
        bare_module = unwrapped(module)
        for path, param in bare_module.named_parameters(remove_duplicate=False):
            names.setdefault(id(param), (at, path))
    return names


def _place_of(adaptor: OptimizerAdaptor, modules: Modules) -> list[str] | None:
    """Return the field and the path of the module that has these parameters."""
    stepped = {id(param) for group in adaptor.param_groups for param in group["params"]}
    for at, module in modules.items():
        for path, part in unwrapped(module).named_modules():
            if {id(p) for p in part.parameters() if can_require_grad(p)} == stepped:
                return [at, path]
    return None


def _is_described(adaptor: OptimizerAdaptor) -> bool:
    """Return whether its record contains all arguments of its constructor."""
    dtypes = (adaptor.state_dtype, adaptor.master_dtype)
    return (
        (adaptor.clip, adaptor.fused, *dtypes) == (None,) * 4
        and adaptor.rounding == "nearest"
        and adaptor.nonfinite == "pass"
        and not adaptor.foreign()
        and all(map(_is_described_group, adaptor.param_groups))
    )


def _is_described_group(group: Mapping[str, Any]) -> bool:
    """Return whether the classes can be imported, and the rest is plain data.

    A function, a member of an Enum, or a clip is not part of the record.
    """
    simple, schedule = group["optimizer"], group.get("schedule")
    values = [group[name] for name in hyperparameters(simple)]
    return (
        group.get("clip") is None
        and simple_class(class_name(type(simple))) is type(simple)
        and (schedule is None or is_findable(schedule))
        and all(map(_is_plain, values))
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def _schedules_of(adaptor: OptimizerAdaptor) -> list[int | None]:
    """Return by group the first group that has the same schedule."""
    schedules = [group.get("schedule") for group in adaptor.param_groups]
    at = [id(schedule) for schedule in schedules]
    return [
        None if schedule is None else at.index(id(schedule)) for schedule in schedules
    ]


def _build_adaptor(
    binding: Mapping[str, Any],
    record: FlatRecord,
    module_at: Callable[[str], nn.Module],
) -> OptimizerAdaptor:
    from ...optim.stored.record_types import OptimizerRecord

    optimizer_record = record.typed(OptimizerRecord)
    at, path = binding["module"]
    module = unwrapped(module_at(at)).get_submodule(path)
    simples = [
        _build_simple(name, group.hyperparameters)
        for name, group in zip(binding["kinds"], optimizer_record.groups, strict=True)
    ]
    rates = _rates(binding["schedules"], optimizer_record.groups)
    members = _members(binding, optimizer_record, module_at, record.reading.file)
    # The first group takes the parameters of no other: the adaptor makes it itself.
    groups = [
        Group(_is_among(ids), optimizer=simple, lr=rate)
        for ids, simple, rate in zip(members[1:], simples[1:], rates[1:], strict=True)
    ]
    is_maximizing = bool(
        optimizer_record.groups[0].hyperparameters.get("maximize", False)
    )
    adaptor = OptimizerAdaptor(
        simples[0], module, lr=rates[0], groups=groups, maximize=is_maximizing
    )
    adaptor.load_record(optimizer_record, hyperparameters="restore")
    return adaptor


def _members(
    binding: Mapping[str, Any],
    optimizer_record: Any,
    module_at: Callable[[str], nn.Module],
    file: str,
) -> list[set[int]]:
    """Return by group the identities of its parameters, renamed by rules.

    Raises RecordMismatchError for one that the module no longer has.
    """
    from ...optim.stored.module_layout import ModuleLayout, UpgradedPaths
    from ...optim.stored.record_types import optimizer_description

    at, path = binding["module"]
    module = unwrapped(module_at(at)).get_submodule(path)
    described = optimizer_description(optimizer_record)
    layout = ModuleLayout.read(described.get("module"), file)
    upgraded = UpgradedPaths.of(layout, module, lambda name: name, file)
    beginning = f"{path}." if path else ""

    def params_of(field: str, name: str) -> list[Tensor]:
        # Tensors that another module shares with this one are there under its name
        # only.
        if field != at or not name.startswith(beginning):
            return [_param(module_at(field), name, file)]
        names = upgraded.descendants(name.removeprefix(beginning))
        return [_param(module, new_name, file) for new_name in names]

    return [
        {id(param) for field, name in names for param in params_of(field, name)}
        for names in binding["groups"]
    ]


def _build_simple(
    name: str, hyperparameters: Mapping[str, Any]
) -> SimpleOptimizer[Any]:
    cls = required_class(name)
    field_names: set[str] = {*getattr(cls, "__dataclass_fields__", ())}
    return cls(
        **{n: _as_tuple(v) for n, v in hyperparameters.items() if n in field_names}
    )


def _rates(
    schedules: Sequence[int | None], groups: Sequence[Any]
) -> list[float | Scheduler]:
    """Return by group the learning rate, or the schedule, which groups may share."""
    rates: list[float | Scheduler] = []
    for leader, group in zip(schedules, groups, strict=True):
        if leader is None:
            rates.append(float(group.hyperparameters["lr"]))
        elif leader < len(rates):
            rates.append(rates[leader])
        else:
            rates.append(scheduler_of(group.schedule))
    return rates


def _is_among(ids: set[int]) -> Callable[[Any], bool]:
    return lambda param: id(param.tensor) in ids


def _as_tuple(value: object) -> Any:
    # Files have lists where optimizers declare tuples, as for betas.
    return tuple(value) if isinstance(value, list) else value


def _param(module: nn.Module, path: str, file: str) -> Tensor:
    try:
        return unwrapped(module).get_parameter(path)
    except AttributeError as missing:
        problem = f"{path}: the optimizer updated it, but the module no longer has it"
        raise RecordMismatchError(file, [problem]) from missing


def _torch_class(kind: str, file: str) -> Any:
    """Return one of torch's own optimizers: a file imports nothing."""
    cls = getattr(torch.optim, kind, None)
    if not (isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)):
        raise RecordMismatchError(
            file, [f"{kind!r} is not an optimizer of torch.optim"]
        )
    return cls
