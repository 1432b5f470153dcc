"""Hyperparameters as a dict: the keys that are more than an argument."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeGuard

from torch import nn

from ...config.path import join
from ...config.plain.node import AS_THEY_ARE
from ...config.short_text import short_repr
from ...config.spelling import did_you_mean
from ...records.tensors.dtypes import ALL as DTYPES
from ..errors import HyperparameterError
from ..modules.registry import Node

REF, CLASS, TENSOR, CONTAINERS = "__ref__", "__class__", "__tensor__", "__containers__"
FUNCTION, KEYWORDS = "__function__", "keywords"
CHILDREN, VERSION, SAVE, KINDS = "__children__", "__version__", "__save__", "__kinds__"

MARKS = frozenset({"__module__", "__name__", REF, CLASS, TENSOR, FUNCTION})
"""Keys that a dict of plain data cannot have."""

BLUEPRINT = "__blueprint__"
"""How a module was built, if that is more than a call of its class."""

RESULT = "result"
"""In a stored blueprint: the paths that it changed, with the nodes there."""

CHANGED, ATTRIBUTES = "__changed__", "attributes"
"""Changes of a module after its constructor: paths, classes, attributes."""

ORIGIN = "_burnish_blueprint"
"""The attribute of a module that holds the blueprint it was built from."""

UNSTORED = "__unstored__"
"""The key for arguments that were not plain data: descriptions by name."""

DEFAULTS = "__defaults__"
"""The key for untouched defaults that are not plain data: descriptions by name."""

NOTES = frozenset({CONTAINERS, KINDS, UNSTORED, DEFAULTS})
"""The keys that hold further facts about arguments, by name."""

ALL = "*"
"""The name of all arguments together, if they cannot be distinguished."""

RESERVED = frozenset(
    {"__module__", "__name__", "__registered__", CHILDREN, VERSION, SAVE}
    | {BLUEPRINT, CHANGED, *NOTES}
)
"""Keys of a module's hyperparameters that are not an argument."""

LISTS: tuple[type[nn.Module], ...] = (nn.Sequential, nn.ModuleList)
CONTAINERS_OF_TORCH: tuple[type[nn.Module], ...] = (*LISTS, nn.ModuleDict)
"""Containers that are lists and dicts in the hyperparameters of their owner."""


def is_node(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether ``value`` represents a module, or refers to an earlier one."""
    return isinstance(value, Mapping) and ("__name__" in value or REF in value)


def is_child(value: object) -> bool:
    """Return whether ``value`` consists of modules alone, as a child's entry does."""
    if is_node(value):
        return True
    if isinstance(value, Mapping):
        return all(map(is_child, value.values()))  # pyright: ignore[reportUnknownArgumentType]  # data
    return isinstance(value, list | tuple) and all(map(is_child, value))  # pyright: ignore[reportUnknownArgumentType]  # data


def dict_at(node: Node, key: str, path: str = "") -> Mapping[str, Any]:
    """Return the value of one of the keys in ``node``, at ``path``; {} without it.

    Raises HyperparameterError for anything but a dict.
    """
    value: Any = node.get(key, {})
    if not isinstance(value, Mapping):
        raise HyperparameterError(
            join(path, key), f"expected a dict, found {short_repr(value)}"
        )
    return value  # pyright: ignore[reportUnknownVariableType]  # data


def is_plain_value(value: object) -> bool:
    """Return whether ``value`` is stored as itself, whatever its declaration."""
    cls = type(value)
    return cls in AS_THEY_ARE and (cls is not str or value not in DTYPES)


class HparamsDict(dict[str, Any]):
    """A dict whose items are attributes too: ``net.hparams.encoder.width``.

    It is a copy: changing it changes no module. The class is under ``["__name__"]``.
    """

    __slots__ = ()
    # Inside plain data it counts as an ordinary dict, without a warning.
    _comes_back_plain: ClassVar[bool] = True

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            hint = did_you_mean(name, self)
            raise AttributeError(f"no hyperparameter {name!r}.{hint}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"{name!r}: hyperparameters are a copy, so attributes cannot be set. "
            f"Set the item, hparams[{name!r}] = ..., and build a new module with "
            "from_hyperparameters."
        )

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self if name.isidentifier())]
