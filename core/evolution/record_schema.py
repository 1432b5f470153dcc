"""The content of a module's records, as a file to check later versions with."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

import torch
from torch import nn

from ...config.process.interrupts import raise_of_signal
from ...config.storage.opening import read_file
from ...config.storage.replacement import write_text
from ...records.entries.entry import Entry
from ...records.errors import RecordFormatError
from ...records.flat_record import FlatRecord
from ...records.tensors.dtypes import BY_NAME, NAME_OF
from ..errors import HyperparameterError
from ..hyperparameters.hparams_node import SAVE
from ..hyperparameters.reader import planned
from ..modules.classes import declared_class, is_decorated
from ..modules.registry import names_of
from ..modules.signature import VARIADIC, parameters_of
from ..modules.tree import Places, places_of, unwrapped
from ..modules.versions import versions_of
from ..state.entries import held_tensors
from ..state.uninitialized.modes import construct_on
from ..state.uninitialized.uninitialized import build_unfilled

_FORMAT = 1
_MOST_BYTES = 256 << 20

Target = nn.Module | type[nn.Module] | Callable[[], nn.Module]
"""A module, a class that needs no arguments, or a function that returns a module."""


Arguments = Mapping[str, bool]
"""The names of arguments, and whether each is required."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorForm:
    """The form of one stored tensor."""

    kind: str
    dtype: str
    shape: tuple[int, ...]
    ties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSchema:
    """The tensors of a module by path, and the versions of its classes."""

    name: str
    """The name of the class, with its module."""
    version: int = 0
    versions: Mapping[str, int] = field(default_factory=dict[str, int])
    """The versions of the classes of submodules, by path."""
    tensors: Mapping[str, TensorForm] = field(default_factory=dict[str, TensorForm])
    arguments: Arguments | None = None
    """The constructor's arguments, and which are required; None if not captured."""

    def as_record(self) -> FlatRecord:
        """Return a record of this form, without values."""
        entries = [
            Entry(
                path,
                form.kind,  # type: ignore[arg-type]  # checked when it was read
                BY_NAME[form.dtype],
                form.shape,
                torch.empty(form.shape, dtype=BY_NAME[form.dtype], device="meta"),
                ties=form.ties,
            )
            for path, form in self.tensors.items()
        ]
        ours = {"version": self.version, "versions": dict(self.versions)}
        return FlatRecord.of(entries, metadata={"burnish": ours}, type_name=self.name)


def schema_of(
    target: Target, hparams: Mapping[str, object] | None = None
) -> RecordSchema:
    """Return the form of the records of ``target``, which is built without values.

    ``hparams`` are those of a class that needs arguments.
    """
    places = places_of(build_blank(target, hparams))
    cls = declared_class(type(unwrapped(places[0][1])))
    names, versions = names_of(cls), versions_of(places)
    return RecordSchema(
        name=f"{names['__module__']}.{names['__name__']}",
        version=versions.pop("", 0),
        versions=versions,
        tensors=_tensors(places),
        arguments=arguments_of(cls),
    )


def dump_schema(
    target: Target,
    file: str | os.PathLike[str],
    hparams: Mapping[str, object] | None = None,
) -> None:
    """Write the form of ``target``'s records to ``file``: JSON, one tensor per line."""
    schema = schema_of(target, hparams)
    tensors = ",\n".join(
        f"    {json.dumps(path)}: {json.dumps(_as_list(form))}"
        for path, form in schema.tensors.items()
    )
    head: dict[str, Any] = {"record_schema": _FORMAT, "name": schema.name}
    head |= {"version": schema.version, "versions": dict(schema.versions)}
    if schema.arguments is not None:
        head["arguments"] = dict(schema.arguments)
    text = json.dumps(head, indent=2)[:-2]
    write_text(file, f'{text},\n  "tensors": {{\n{tensors}\n  }}\n}}\n')


def load_schema(file: str | os.PathLike[str]) -> RecordSchema:
    """Return the schema in ``file``. Raises `RecordFormatError` for other content."""
    name = os.fsdecode(file)
    try:
        data = json.loads(read_file(file, _MOST_BYTES))
        if data["record_schema"] > _FORMAT:
            raise RecordFormatError(name, "a schema of a newer version", "", "Upgrade.")
        return RecordSchema(
            name=str(data["name"]),
            version=int(data["version"]),
            versions={str(p): int(v) for p, v in data["versions"].items()},
            tensors={
                str(p): _form_of_list(values) for p, values in data["tensors"].items()
            },
            arguments=_flags(data.get("arguments")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordFormatError(
            name, f"not a schema of a record ({error!s:.80})", "what dump_schema wrote"
        ) from error


def arguments_of(cls: type[nn.Module]) -> Arguments | None:
    """Return the arguments in the records of a ``cls``; None if they hold none."""
    if not is_decorated(cls):
        return None
    return {
        name: parameter.default is Parameter.empty and parameter.kind not in VARIADIC
        for name, parameter in parameters_of(cls).items()
    }


def _flags(flags: Any) -> dict[str, bool] | None:
    return None if flags is None else {str(n): bool(flag) for n, flag in flags.items()}


def build_blank(
    target: Target, hparams: Mapping[str, object] | None = None
) -> nn.Module:
    """Return the module of ``target``, on the meta device if possible."""
    if isinstance(target, nn.Module):
        return target
    factory: Callable[[], nn.Module] = target
    if isinstance(target, type):
        arguments = {k: v for k, v in (hparams or {}).items() if k != SAVE}
        factory = planned(arguments, target)
    try:
        return construct_on("meta", lambda: _module(factory))
    except HyperparameterError as error:
        if isinstance(error.__cause__, TypeError):
            raise
    except Exception as error:  # some constructors read values: see below
        raise_of_signal(error)
    return _module(lambda: build_unfilled(factory, None)[0])


def _module(make: Callable[[], nn.Module]) -> nn.Module:
    module = make()
    if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]  # users return anything
        raise TypeError(f"expected a module, got {module!r:.80}")
    return module


def _tensors(places: Places) -> dict[str, TensorForm]:
    """Return the stored tensors; a tied one once, with its other paths."""
    rows: dict[int, tuple[str, torch.Tensor, str, list[str]]] = {}
    for path, kind, tensor in held_tensors(places):
        if kind == "transient" or nn.parameter.is_lazy(tensor):
            continue
        row = rows.setdefault(id(tensor), (path, tensor, kind, []))
        if path != row[0]:
            row[3].append(path)
    return {
        path: TensorForm(
            kind=kind,
            dtype=NAME_OF[tensor.dtype],
            shape=tuple(tensor.shape),
            ties=tuple(ties),
        )
        for path, tensor, kind, ties in rows.values()
    }


def names_of_tensors(places: Places) -> set[str]:
    """Return the paths of everything stored of a module, with all those of a tie."""
    forms = _tensors(places)
    return {*forms, *(path for form in forms.values() for path in form.ties)}


def _as_list(form: TensorForm) -> list[Any]:
    return [form.kind, form.dtype, list(form.shape), *form.ties]


def _form_of_list(values: Any) -> TensorForm:
    kind, dtype, shape, *ties = values
    if kind not in ("parameter", "buffer") or dtype not in BY_NAME:
        raise ValueError(f"{kind!r}, {dtype!r}")
    return TensorForm(
        kind=kind, dtype=dtype, shape=tuple(map(int, shape)), ties=tuple(map(str, ties))
    )
