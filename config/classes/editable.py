"""Fields that may be changed while a run is in progress, and how they are marked."""

from collections.abc import Iterator
from typing import Annotated, TypeVar, get_args, get_origin

from ..path import child, join
from .declared_types import is_sequence, item_type, members, underlying_type
from .fields import is_mapping, is_struct, stored_fields
from .keyed_types import typed_keys
from .type_parameters import aliased_type

T = TypeVar("T")


class _Mark:
    """Marks a field that may be edited while a run is in progress."""

    def __repr__(self) -> str:
        return "editable"


EDITABLE = _Mark()

Editable = Annotated[T, EDITABLE]
"""``lr: Editable[float] = 0.1`` may be edited while a run is in progress.

Everything else treats the field as a float. In `Hparams`, ``Hparam(0.1,
editable=True)`` does the same.
"""


def is_editable(annotation: object) -> bool:
    """Return whether a field of this type is marked, or one of its alternatives is."""
    aliased = aliased_type(annotation)
    if aliased is not None:
        return is_editable(aliased)
    if get_origin(annotation) is Annotated:
        kind, *marks = get_args(annotation)
        return EDITABLE in marks or is_editable(kind)
    alternatives = members(annotation)
    return len(alternatives) > 1 and any(map(is_editable, get_args(annotation)))


def editable_paths(cls: object) -> dict[str, object]:
    """Return the types of the marked fields of ``cls``, by path.

    ``*`` matches any item of a list or a dict. The content of a marked field may be
    edited too, and is not listed.
    """
    return dict(_marked(cls, "", ()))


def _marked(
    annotation: object, path: str, above: tuple[object, ...]
) -> Iterator[tuple[str, object]]:
    for kind in members(annotation):
        if is_struct(kind) and kind not in above:
            for field in stored_fields(kind):
                below = child(path, field.name)
                yield from _marked_part(field.annotation, below, (*above, kind))
        elif (types_by_key := typed_keys(kind)) and kind not in above:
            for name, declared in types_by_key.items():
                yield from _marked_part(declared, child(path, name), (*above, kind))
        elif (is_mapping(kind) or is_sequence(kind)) and kind not in above:
            declared = item_type(kind, 0)
            yield from _marked_part(declared, join(path, "*"), (*above, kind))


def _marked_part(
    annotation: object, path: str, above: tuple[object, ...]
) -> Iterator[tuple[str, object]]:
    if is_editable(annotation):
        yield path, underlying_type(annotation)
    else:
        yield from _marked(annotation, path, above)
