"""`Net.Record`: the type of the records of one module class."""

from functools import partial
from typing import Any

from torch import nn

from ...records.errors import RecordVersionError
from ...records.flat_record import FlatRecord
from ..modules.versions import version_of

_TYPE = "_burnish_record_type"


def record_type(cls: type[nn.Module]) -> type[FlatRecord]:
    """Return the type of records of ``cls``: one class each, made at first use.

    The type of a subclass is a subclass. Modules that nobody decorated share one.
    """
    existing_type = cls.__dict__.get(_TYPE)
    if existing_type is not None:
        return existing_type  # type: ignore[no-any-return]  # only set below
    if not hasattr(cls, "_burnish_skip"):
        return FlatRecord
    bases = [record_type(base) for base in cls.__bases__ if issubclass(base, nn.Module)]
    parents = tuple(b for b in dict.fromkeys(bases) if b is not FlatRecord)
    new_type = type(
        "Record",
        parents or (FlatRecord,),
        {
            "__module__": cls.__module__,
            "__qualname__": f"{cls.__qualname__}.Record",
            "__doc__": f"What a {cls.__qualname__} has learned.",
            "_of_class": (cls.__qualname__, partial(_own_metadata, cls)),
        },
    )
    setattr(cls, _TYPE, new_type)
    return new_type


def _own_metadata(cls: type[nn.Module]) -> dict[str, Any]:
    """Return what a record of ``cls`` says of the class as it is now."""
    version = version_of(cls)
    return {"version": version} if version else {}


def class_version(module: nn.Module) -> int:
    """Return the version of the class of ``module``; 0 for one that states none."""
    return version_of(type(module))


def check_version(module: nn.Module, record: FlatRecord) -> None:
    """Raise `RecordVersionError` if a newer version of the class wrote ``record``."""
    ours: Any = record.metadata.get("burnish")
    name = type(module).__qualname__
    if not isinstance(ours, dict) or record.type_name != name:
        return
    stored_version: Any = ours.get("version", 0)  # pyright: ignore[reportUnknownMemberType]  # a file says anything
    if isinstance(stored_version, int) and stored_version > class_version(module):
        subject = f"the record of a {name}"
        raise RecordVersionError(
            record.reading.file, stored_version, class_version(module), subject
        )


class RecordOfClass:
    """The class attribute ``Record`` of a decorated class."""

    def __get__(self, module: Any, cls: type[nn.Module]) -> type[FlatRecord]:
        return record_type(cls)
