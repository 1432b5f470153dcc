"""Readers of nodes that say more than a call of a class, by the key that tells them.

Who writes such nodes stands above this folder, and registers their reader here.
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
    """Return what reads ``node``, None if its class and arguments say all."""
    readers = _readers.entries.items()
    return next((read for key, read in readers if key in node), None)
