"""Whether stored hyperparameters are those of a class, wherever it stands by now."""

from torch import nn

from ...records.errors import RecordError
from .registry import MODULE, NAME, REGISTERED, Node, class_named, names_of
from .signature import parameters_of


def is_same_class(node: Node, cls: type[nn.Module]) -> bool:
    """Return whether ``node`` is of ``cls``, wherever that stands by now."""
    ours = names_of(cls)
    if node.get(REGISTERED) is not None and REGISTERED in ours:
        # A class may have former names beside the one that it writes.
        return _known_class({REGISTERED: node[REGISTERED]}) is cls
    if node.get(NAME) != ours[NAME]:
        return _known_class(node) is cls
    if node.get(MODULE) == ours[MODULE]:
        return True
    # Known in its old place it is another class; unknown there, it has moved.
    return _known_class(node) in (None, cls)


def takes_the_same(node: Node, cls: type[nn.Module]) -> bool:
    """Return whether a relative of ``cls`` is stored that has the same arguments."""
    stored_class = _known_class(node)
    if stored_class is None or not is_related(node, cls):
        return False
    return list(parameters_of(stored_class)) == list(parameters_of(cls))


def is_related(node: Node, cls: type[nn.Module]) -> bool:
    """Return whether ``node`` is of a known parent or subclass of ``cls``."""
    stored_class = _known_class(node)
    return stored_class is not None and (
        issubclass(cls, stored_class) or issubclass(stored_class, cls)
    )


def is_of_a_parent(node: Node, cls: type[nn.Module]) -> bool:
    """Return whether ``node`` is of a known class that ``cls`` derives from."""
    stored_class = _known_class(node)
    return stored_class is not None and issubclass(cls, stored_class)


def renamed_hint(node: Node, cls: type[nn.Module]) -> str:
    """Return how to say that ``cls`` was called otherwise, if nobody is called so."""
    name = node.get(NAME)
    if _known_class(node) is not None or not isinstance(name, str):
        return ""
    return (
        f" (if that is its former name: burnish.register_class({cls.__qualname__}, "
        f"name={name[:60]!r}))"
    )


def _known_class(node: Node) -> type[nn.Module] | None:
    try:
        return class_named(node)
    except RecordError:
        return None
