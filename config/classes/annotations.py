"""What a class or function annotates, as far as its names are known by now."""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, get_origin

_LAZY = ("__annotate__", "__annotate_func__")
"""Where the body of a class has its annotations since Python 3.14: in a function."""


def annotations_of(owner: Any) -> Mapping[str, object]:
    """Return the annotations of a class or function, by name.

    A name that only type checkers import is no error: since Python 3.14 annotations are
    evaluated when they are asked for, and it stands as a ``ForwardRef``.
    """
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(
            owner, format=annotationlib.Format.FORWARDREF
        )
    return inspect.get_annotations(owner)


def annotations_in(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations in the body of a class that is not made yet."""
    hints: dict[str, object] | None = namespace.get("__annotations__")
    annotate: Callable[..., object] | None = next(
        (namespace[name] for name in _LAZY if name in namespace), None
    )
    if hints is None and annotate is not None and sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.call_annotate_function(
            annotate, annotationlib.Format.FORWARDREF
        )
    return hints or {}


def annotate(namespace: dict[str, object], hints: dict[str, object]) -> None:
    """Put ``hints`` in the place of all annotations in the body of a class."""
    for name in _LAZY:
        namespace.pop(name, None)
    namespace["__annotations__"] = hints


def is_class_variable(hint: object) -> bool:
    """Return whether ``hint``, which may be a text or unevaluated, is a ClassVar."""
    text = getattr(hint, "__forward_arg__", hint)
    if isinstance(text, str):
        return text.partition("[")[0].strip().rpartition(".")[2] == "ClassVar"
    return hint is ClassVar or get_origin(hint) is ClassVar
