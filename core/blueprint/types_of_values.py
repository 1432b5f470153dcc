"""Values against what a constructor declares, where the declaration is plain."""

import numbers
import typing
from typing import Any

from torch import nn

from ...config.fields import members
from ...config.path import join
from ..hyperparameters.plain import hints_of
from .errors import WrongTypeError

_FITS: dict[Any, tuple[type, ...]] = {
    int: (numbers.Integral,),
    float: (numbers.Real,),
    bool: (bool,),
    str: (str,),
    type(None): (type(None),),
}
_PLAIN = (bool, int, float, str, list, tuple, dict)


def check_type(cls: type[nn.Module], name: str, value: Any, path: str) -> None:
    """Raise `WrongTypeError` for a plain value that the annotation rules out.

    None is left to the constructor, since sizes may be left out; so is all that is
    declared as more than numbers, texts and None.
    """
    declared = members(hints_of(cls).get(name, Any))
    if type(value) not in _PLAIN or not all(kind in _FITS for kind in declared):
        return
    if any(isinstance(value, _FITS[kind]) for kind in declared):
        return
    expected = " or ".join(_name(kind) for kind in declared)
    raise WrongTypeError(
        join(path, name),
        f"{cls.__qualname__} expects {expected}, "
        f"found {value!r:.60}, a {type(value).__name__}.",
    )


def _name(kind: Any) -> str:
    return "None" if kind is type(None) else str(typing.cast(type, kind).__name__)
