"""Forms of wrapper tensors: what files contain for one beside its parts.

Reading plain data needs only this; `wrapped_tensors` rebuilds the wrappers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ...config.plain.node import Node
from ...config.short_text import short_repr

CLASS = "__tensor_class__"
"""The key of a form that holds the module and the name of the class."""

Form: TypeAlias = Mapping[str, Any]
"""The description of a wrapper beside its parts, as plain data."""

Wrap: TypeAlias = Callable[[Form, Mapping[str, Any], str], object]
"""Returns the object for a form and its parts: ``wrap(form, parts, path)``."""

_TAG = "$wrapper"


def is_form(form: object) -> bool:
    """Return whether a file's plain data is a form as `form_of` returns it."""

    def are(kind: type, items: object) -> bool:
        return isinstance(items, list) and all(type(item) is kind for item in items)

    return (
        isinstance(form, Mapping)
        and [*form] == [CLASS, "shape", "stride", "requires_grad", "tensors", "context"]
        and are(str, form[CLASS])
        and len(form[CLASS]) == 2
        and are(int, form["shape"])
        and are(int, form["stride"])
        and len(form["shape"]) == len(form["stride"])
        and are(str, form["tensors"])
        and len({*form["tensors"]}) == len(form["tensors"])
    )


def is_same_form(a: Form, b: Form) -> bool:
    """Return whether two forms are equal, apart from what is trained."""
    return all(a[key] == b[key] for key in a if key != "requires_grad")


def form_difference(stored_form: Form, living_form: Form, owner: str) -> str:
    """Return a description of where a form differs from that of ``owner``."""
    keys = [key for key in stored_form if stored_form[key] != living_form[key]]
    return "; ".join(
        f"stored {key.strip('_')} {short_repr(stored_form[key], 100)}, {owner} has "
        f"{short_repr(living_form[key], 100)}"
        for key in keys
        if key != "requires_grad"
    )


def wrapper_node(form: Node, parts: Sequence[Node]) -> Node:
    """Return a wrapper as one node: a dict of a single key, as readers support."""
    return {"$dict": [[_TAG, [form, [*parts]]]]}


def wrapper_in(node: Node) -> tuple[Node, dict[str, Node]] | None:
    """Return the form and the named parts of a wrapper's node; None for other nodes.

    Parts whose names the form does not give are numbered: they make no wrapper.
    """
    pairs = node.get("$dict") if isinstance(node, dict) else None
    if not isinstance(pairs, list) or len(pairs) != 1 or pairs[0][0] != _TAG:
        return None
    content = pairs[0][1]
    if not (isinstance(content, list) and len(content) == 2):
        return None
    form, parts = content
    if not (isinstance(form, dict) and CLASS in form and isinstance(parts, list)):
        return None
    names = form.get("tensors")
    if not isinstance(names, list) or len({*map(str, names)}) != len(parts):
        names = range(len(parts))
    return form, dict(zip(map(str, names), parts, strict=True))
