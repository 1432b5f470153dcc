"""Advice for a record that does not fit, by the kind of problem."""

from collections.abc import Collection, Mapping, Sequence

from ....records.entries.entries import Entries, library_part

UNCHANGED = "The module is unchanged."

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each tensor by name."""

_MOST = 16
"""Maximal number of paths at which a set of names is searched for."""


def cure_of(
    record: Entries,
    stored_shapes: Shapes,
    expected_shapes: Shapes,
    misfits: Sequence[str],
    missing: Sequence[str],
    unexpected: Sequence[str],
    *,
    is_matched: bool,
) -> str:
    """Return advice for a record that has tensors of ``stored_shapes``.

    The module has those of ``expected_shapes``; at the paths ``misfits`` they do not
    fit, and ``missing`` and ``unexpected`` are those of one side alone; with
    ``is_matched`` every name is on both sides.
    """
    cures = [UNCHANGED]
    if misfits:
        cures.append(_of_shapes(record, misfits))
    if not is_matched:
        cures.append(
            _of_place(stored_shapes, expected_shapes)
            or _of_names(missing, unexpected, stored_shapes.keys() & expected_shapes)
        )
    return " ".join(cures)


def cure_of_typed(record: Entries) -> str:
    """Return advice for a record that is not of a module."""
    if record.type_name.endswith("OptimizerRecord"):
        return "It belongs to an optimizer: optimizer.load_record(file)."
    return f"Load it with the class that declares them: {record.type_name}.load(file)."


def _of_shapes(record: Entries, misfits: Sequence[str]) -> str:
    build = "Build the module as it was when it was saved"
    if "hparams" in library_part(record.metadata) and record.type_name:
        # The reader may have called just that: the stored arguments give a part that
        # was replaced after the constructor its first shape.
        build += (
            f": {record.type_name}.from_record(file) passes the stored arguments; if "
            "parts were replaced after the constructor, from_record(build, file) takes "
            "a function that builds the module and replaces them. Or"
        )
    else:
        build += " (the record does not hold its arguments: pass the same ones), or"
    return (
        f"{build} leave such entries out: open_record(file, "
        f"exclude={_as_argument(misfits)}). No option allows a different shape, "
        "or a different kind of dtype."
    )


def _of_place(stored_shapes: Shapes, expected_shapes: Shapes) -> str | None:
    """Return the advice if one side is a part of the other."""
    if place := _place(expected_shapes, stored_shapes):
        return (
            f"The record has every name of the module below {place!r}: load it "
            f"from that part, open_record(file)[{place!r}]."
        )
    if place := _place(stored_shapes, expected_shapes):
        return (
            f"The module has every name of the record below {place!r}: load it "
            f"into that part, load_record(module.{place}, file)."
        )
    return None


def _as_argument(names: Sequence[str]) -> str:
    """Return the names, or the first of many, as they are passed to an option."""
    few = [*names[:3]]
    text = repr(few[0]) if len(few) == 1 else f"[{', '.join(map(repr, few))}]"
    return f"{text[:-1]}, ...]" if len(names) > 3 else text


def _of_names(
    missing: Sequence[str], unexpected: Sequence[str], shared_names: Collection[str]
) -> str:
    if shared_names and missing and not unexpected:
        names = _as_argument(_patterns(missing, shared_names))
        return (
            "The record has no other values for them. To leave them as they are "
            f"in the module, pass allow_missing={names} or strict=False to "
            "load_record or from_record."
        )
    if shared_names and unexpected and not missing:
        names = _as_argument(_patterns(unexpected, shared_names))
        return (
            "The module has no other place for them. Leave them out with "
            f"open_record(file, exclude={names}), or pass "
            f"allow_unexpected={names} or strict=False to load_record or "
            "from_record."
        )
    rename = _renaming(unexpected, missing)
    rename_text = f"{{{rename[0]!r}: {rename[1]!r}}}" if rename else "{old: new}"
    return (
        f"Rename with open_record(file, rename={rename_text}), leave entries out "
        "with open_record(file, exclude=...), or allow the differences: pass "
        "allow_missing=..., allow_unexpected=... or strict=False to load_record "
        "or from_record."
    )


def _patterns(names: Sequence[str], other_names: Collection[str]) -> list[str]:
    """Return patterns of ``names`` that match none of ``other_names``."""
    taken_heads = {name.partition(".")[0] for name in other_names}
    patterns = dict[str, None]()
    for name in names:
        head, dot, _ = name.partition(".")
        patterns[f"{head}.**" if dot and head not in taken_heads else name] = None
    return [*patterns]


def _place(part_shapes: Shapes, whole_shapes: Shapes) -> str | None:
    """Return the path below which ``whole_shapes`` has all names of ``part_shapes``.

    Of several the first whose shapes agree.
    """
    if not part_shapes or len(part_shapes) > len(whole_shapes):
        return None
    longest = max(part_shapes, key=len)
    ends = sorted(name for name in whole_shapes if name.endswith(f".{longest}"))
    places = [
        place
        for place in (name[: -len(longest) - 1] for name in ends[:_MOST])
        if all(f"{place}.{path}" in whole_shapes for path in part_shapes)
    ]
    for place in places:
        if all(
            whole_shapes[f"{place}.{path}"] == shape
            for path, shape in part_shapes.items()
        ):
            return place
    return next(iter(places), None)


def _renaming(
    old_names: Sequence[str], new_names: Sequence[str]
) -> tuple[str, str] | None:
    """Return the common prefix of old names, and the one that replaces it."""
    if not old_names or len(old_names) != len(new_names):
        return None
    expected_names, first_name = set(new_names), min(old_names)
    for name in sorted(new_names)[:_MOST]:
        a, b = _heads(first_name.split("."), name.split("."))
        if (
            a
            and b
            and {_replace_head(path, a, b) for path in old_names} == expected_names
        ):
            return a, b
    return None


def _heads(a: list[str], b: list[str]) -> tuple[str, str]:
    """Return both paths without their common ending."""
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return ".".join(a), ".".join(b)


def _replace_head(path: str, old_head: str, new_head: str) -> str:
    is_below = path == old_head or path.startswith(f"{old_head}.")
    return new_head + path[len(old_head) :] if is_below else path


def cure_of_replaced(replaced: Sequence[str]) -> str:
    """Return advice for parts that were ``replaced`` in the stored module."""
    more = f"; and {len(replaced) - 4} more" if len(replaced) > 4 else ""
    return (
        "The stored module was changed after its constructor: "
        f"{'; '.join(replaced[:4])}{more}. Make the same changes before loading: "
        "load_record(module, file), or from_record(build, file) with a function "
        "that builds and changes it."
    )


IGNORE = (
    'If the difference is intended, pass hyperparameters="ignore" to load_record, '
    "from_record or open_record."
)
"""Advice for hyperparameters that differ."""

RESIZED = (
    "A buffer whose shape changes in training takes the stored shape if its class "
    "sets that in _load_from_state_dict, before torch's own copies the values."
)
"""Advice for a buffer whose shape no constructor argument determines."""
