"""What to do about a record that does not fit, by the kind of problem."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ...records.flat_record import FlatRecord

UNCHANGED = "The module is as it was."

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of the tensor of each name."""

_MOST = 16
"""Places at which a set of names is looked for."""


def cure_of(
    record: FlatRecord,
    stored: Shapes,
    expected: Shapes,
    misfits: Sequence[str],
    *,
    is_matched: bool,
) -> str:
    """Return what to do about a record that has the tensors ``stored``.

    The module has those ``expected``; at the paths ``misfits`` they do not fit; with
    ``is_matched`` every name is on both sides.
    """
    cures = [UNCHANGED]
    if misfits:
        cures.append(_of_shapes(record, misfits))
    if not is_matched:
        cures.append(_of_place(stored, expected) or _of_names(stored, expected))
    return " ".join(cures)


def cure_of_typed(record: FlatRecord) -> str:
    """Return what to do with a record that is none of a module."""
    if record.type_name.endswith("OptimizerRecord"):
        return "It is an optimizer's: optimizer.load_record(file)."
    return f"Load it with the class that declares them: {record.type_name}.load(file)."


def _of_shapes(record: FlatRecord, misfits: Sequence[str]) -> str:
    ours: Any = record.metadata.get("burnish")
    build = "Build the module as it was when it was saved"
    if isinstance(ours, Mapping) and "hparams" in ours and record.type_name:
        build += f" ({record.type_name}.from_record(file) does, without arguments)"
    few = [*misfits[:3]]
    names = repr(few[0]) if len(few) == 1 else f"[{', '.join(map(repr, few))}]"
    if len(misfits) > 3:
        names = f"{names[:-1]}, ...]"
    return (
        f"{build}, or leave such entries out: open_record(file, exclude={names}). "
        "Nothing else permits another shape."
    )


def _of_place(stored: Shapes, expected: Shapes) -> str | None:
    """Return the cure if one side is a part of the other."""
    if place := _place(expected, stored):
        return (
            f"Every name of the module is in the record below {place!r}: load it from "
            f"that part, open_record(file)[{place!r}]."
        )
    if place := _place(stored, expected):
        return (
            f"Every name of the record is in the module below {place!r}: load it into "
            f"that part, load_record(module.{place}, file)."
        )
    return None


def _of_names(stored: Collection[str], expected: Collection[str]) -> str:
    rename = _renaming([*set(stored) - {*expected}], [*set(expected) - {*stored}])
    shown = f"{{{rename[0]!r}: {rename[1]!r}}}" if rename else "{old: new}"
    return (
        f"Rename with open_record(file, rename={shown}), leave entries out with "
        "open_record(file, exclude=...), or allow what differs: allow_missing=..., "
        "allow_unexpected=..., strict=False."
    )


def _place(part: Shapes, whole: Shapes) -> str | None:
    """Return the path below which ``whole`` has every name of ``part``.

    Of several the first with the same shapes.
    """
    if not part or len(part) > len(whole):
        return None
    longest = max(part, key=len)
    ends = sorted(name for name in whole if name.endswith(f".{longest}"))
    places = [
        place
        for place in (name[: -len(longest) - 1] for name in ends[:_MOST])
        if all(f"{place}.{inner}" in whole for inner in part)
    ]
    for place in places:
        if all(whole[f"{place}.{inner}"] == shape for inner, shape in part.items()):
            return place
    return next(iter(places), None)


def _renaming(old: Sequence[str], new: Sequence[str]) -> tuple[str, str] | None:
    """Return the beginning of ``old`` names, and what makes them ``new`` ones."""
    if not old or len(old) != len(new):
        return None
    wanted, first = set(new), min(old)
    for name in sorted(new)[:_MOST]:
        a, b = _heads(first.split("."), name.split("."))
        if a and b and {_moved(path, a, b) for path in old} == wanted:
            return a, b
    return None


def _heads(a: list[str], b: list[str]) -> tuple[str, str]:
    """Return both paths without the parts that they end with alike."""
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return ".".join(a), ".".join(b)


def _moved(path: str, old: str, new: str) -> str:
    is_below = path == old or path.startswith(f"{old}.")
    return new + path[len(old) :] if is_below else path


IGNORE = (
    'If the difference is meant: hyperparameters="ignore", of load_record, from_record '
    "or open_record."
)
"""What to do about hyperparameters that differ."""
