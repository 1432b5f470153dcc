"""Readers of nodes that are more than a call of a class, by their key.

The code that writes such nodes is above this folder, and registers their reader here.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ...config.registry import Registry

if TYPE_CHECKING:
    from torch import nn

NodeReader: TypeAlias = Callable[["type[nn.Module]", Mapping[str, Any]], "nn.Module"]
"""Builds the module of the class that a node describes."""

_readers: Registry[str, NodeReader] = Registry()


def register_node_reader(key: str, read: NodeReader) -> None:
    """Let ``read`` build the modules whose hyperparameters have ``key``."""
    _readers.register(key, value=read)


def node_reader(node: Mapping[str, object]) -> NodeReader | None:
    """Return the reader of ``node``, None if it is a call of its class."""
    readers = _readers.entries.items()
    return next((read for key, read in readers if key in node), None)
