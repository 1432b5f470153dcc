"""Hparam: what is said of one field of `Hparams`, beside its type."""

from typing import Any

from pydantic import Field
from pydantic_core import PydanticUndefined

from ..arguments import check_flag
from .editable import EDITABLE


def Hparam(
    default: Any = PydanticUndefined, *, editable: bool = False, **options: Any
) -> Any:
    """Return a field with a default, bounds and a description: pydantic's ``Field``.

    ``editable=True`` lets a user change the field during a run. ``options`` are those
    of ``pydantic.Field``, as ``ge=0``, ``description`` or ``default_factory``.
    """
    check_flag("editable", editable)
    field: Any = Field(default, **options)
    if editable:
        field.metadata.append(EDITABLE)
    return field
