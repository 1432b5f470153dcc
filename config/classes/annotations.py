"""The annotations of a class or function, as far as their names can be resolved."""

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_origin

from ..process.interrupts import raise_of_signal

_LAZY = ("__annotate__", "__annotate_func__")
"""Where a class body has its annotations since Python 3.14: in a function."""


@dataclass(frozen=True)
class Unresolved:
    """Marks the hint of an annotation whose name does not exist."""

    text: str
    """The annotation as it is written in the source."""


def known_hints(owner: Any, *, include_extras: bool = False) -> dict[str, Any]:
    """Return the annotations of a class or function; Any for an unknown name.

    One annotation that only type checkers import, or that a function defines, does not
    affect the others; with ``include_extras`` `unresolved` returns which one it is.
    """
    try:
        return typing.get_type_hints(owner, include_extras=include_extras)
    except Exception as error:
        raise_of_signal(error)
        # An annotation may use any name, even one that does not exist.
    hints: dict[str, Any] = {}
    for part in reversed(owner.__mro__) if isinstance(owner, type) else (owner,):
        hints |= _hints_one_by_one(part, include_extras)
    return hints


def unresolved(hint: object) -> str | None:
    """Return the annotation that `known_hints` could not resolve; None if it could."""
    if get_origin(hint) is not Annotated:
        return None
    marks = getattr(hint, "__metadata__", ())
    return next((m.text for m in marks if isinstance(m, Unresolved)), None)


def annotations_of(owner: Any) -> Mapping[str, object]:
    """Return the annotations of a class or function, by name.

    A name that only type checkers import is not an error: since Python 3.14 annotations
    are evaluated when they are requested, and the name becomes a ``ForwardRef``.
    """
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(
            owner, format=annotationlib.Format.FORWARDREF
        )
    return inspect.get_annotations(owner)


def annotations_in(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations in the body of a class that is being created."""
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
    """Replace all annotations in the body of a class by ``hints``."""
    for name in _LAZY:
        namespace.pop(name, None)
    namespace["__annotations__"] = hints


def is_class_variable(hint: object) -> bool:
    """Return whether ``hint``, possibly a string or unevaluated, is a ClassVar."""
    text = getattr(hint, "__forward_arg__", hint)
    if isinstance(text, str):
        return text.partition("[")[0].strip().rpartition(".")[2] == "ClassVar"
    return hint is ClassVar or get_origin(hint) is ClassVar


def _hints_one_by_one(owner: Any, include_extras: bool) -> dict[str, Any]:
    scope, inner_scope = _scopes_of(owner)
    hints: dict[str, Any] = {}
    for name, annotation in annotations_of(owner).items():
        holder = type("Holder", (), {"__annotations__": {name: annotation}})
        try:
            hints |= typing.get_type_hints(
                holder,
                globalns=scope,
                localns=inner_scope,
                include_extras=include_extras,
            )
        except Exception as error:  # this one cannot be resolved; the others can
            raise_of_signal(error)
            text = str(getattr(annotation, "__forward_arg__", annotation))
            hints[name] = Annotated[Any, Unresolved(text)] if include_extras else Any
    return hints


def _scopes_of(owner: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the names available to annotations of ``owner``: its module's, its own."""
    if isinstance(owner, type):
        module = sys.modules.get(owner.__module__)
        return vars(module) if module is not None else {}, dict(vars(owner))
    # A wrapper has the annotations of the function that it wraps, from that one's
    # module.
    return getattr(inspect.unwrap(owner), "__globals__", {}), {}
