"""The lines above a record's table: its format, author, class and arguments."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..config.printable import printable
from ..config.short_text import first_names, quantity, short_repr
from ..records.entries.show import show_size
from ..train.inspection.named_records import StoredParts
from ..train.inspection.part_view import PartView
from ..train.inspection.torch_optimizers import groups_beside

_MOST = 8
"""Number of arguments and metadata that are shown; the others are only counted."""

_LONGEST = 48
"""Maximal length of one value, in characters."""


def lines_of_source(source: StoredParts) -> Iterator[str]:
    """Yield the lines about a folder: its kind, its step and its metrics."""
    facts = source.facts
    if source.kind == "record":
        return
    yield f"{printable(source.source)}: {_WHAT[source.kind]}{_step(facts)}"
    if facts.get("values"):
        yield f"  {pairs_text(facts['values'])}"
    if facts.get("info"):
        yield f"  info: {pairs_text(facts['info'])}"
    if "config" in facts and "__module__" not in facts["config"]:
        # The names that users look for come first, regardless of the file's order.
        config: Mapping[str, Any] = facts["config"]
        model_names = {
            k: config[k] for k in ("model_type", "architectures") if k in config
        }
        yield f"  config: {pairs_text({**model_names, **config})}"
    if facts.get("texts"):
        yield f"  texts: {', '.join(facts['texts'])}"
    steps = facts.get("steps", ())
    if len(steps) > 1:
        names = ", ".join(str(step) for step in steps[-6:])
        more = "..., " if len(steps) > 6 else ""
        yield f"  the newest of {quantity(len(steps), 'checkpoint')}: {more}{names}"
    for problem in facts.get("problems", ()):
        yield f"  a run cannot resume from it: {printable(problem)}"
    for error in source.unreadable:
        yield f"  cannot be read: {printable(str(error))}"


def lines_of_part(view: PartView) -> Iterator[str]:
    """Yield the lines about one record; the first has its name and format."""
    part, library = view.part, view.library
    reading = view.record.reading
    words = [f"format {reading.format}"]
    if reading.version is not None:
        words[0] += f" version {reading.version}"
    if view.record.type_name:
        words.append(f"record of {printable(view.record.type_name)}")
    if "library" in library:
        words.append(f"written by {printable(library['library'])}")
    if library.get("precision"):
        words.append(f"precision {printable(library['precision'])}")
    if library.get("version"):
        words.append(f"version {library['version']} of the class")
    words.append("with checksums" if view.has_sums else "no checksums")
    yield f"{printable(part.name or part.file)}: {', '.join(words)}"
    if view.hparams is not None:
        yield f"  {hparams_call_text(view.hparams)}"
        yield from _blueprint_lines(view.hparams)
    for i, group in enumerate(view.groups):
        call = f"{printable(group.kind)}({pairs_text(group.hyperparameters)})"
        size = quantity(view.n_params[i], "parameter")
        yield f"  group {i}: {call}, {size}, {group.engine}"
    if reading.beside:
        names = printable(first_names(reading.beside, 6))
        yield f"  next to the state dict, not read: {names}"
    for name, group, n_params in groups_beside(view.record):
        call = f"{printable(group.kind)}({pairs_text(group.hyperparameters)})"
        size = quantity(n_params, "parameter")
        yield f"  a group of {printable(name)}: {call}, {size}"
    if view.users_metadata:
        yield f"  metadata: {pairs_text(view.users_metadata)}"


def totals_text(view: PartView) -> str:
    """Return the number of tensors, of values and of bytes."""
    sizes = view.nbytes_by_dtype()
    n_values = sum(leaf.n_values for leaf in view.leaves())
    n_params = sum(
        leaf.n_values
        for leaf in view.leaves()
        if leaf.entry is not None and leaf.entry.kind == "parameter"
    )
    kinds = f", {n_params:,} of them parameters" if 0 < n_params < n_values else ""
    unit = "parameter" if n_params == n_values and n_params else "number"
    text = (
        f"{quantity(len(view.entries), 'tensor')}, {quantity(n_values, unit)}{kinds}, "
    )
    text += show_size(sum(sizes.values()))
    if len(sizes) > 1:
        parts = ", ".join(f"{n} {show_size(s)}" for n, s in sizes.most_common())
        text += f" ({parts})"
    return text


def hparams_call_text(hparams: Mapping[str, Any]) -> str:
    """Return hyperparameters as a constructor call: ``Net(width=32)``."""
    name = printable(str(hparams.get("__name__", "")))
    arguments = {k: v for k, v in hparams.items() if not k.startswith("__")}
    return f"{name}({pairs_text(arguments)})"


def pairs_text(pairs: Mapping[str, Any]) -> str:
    """Return ``a=1, b='x'``: the first few arguments, each value shortened."""
    texts = [f"{printable(k)}={_value(v)}" for k, v in [*pairs.items()][:_MOST]]
    more = f", and {len(pairs) - _MOST} more" if len(pairs) > _MOST else ""
    return ", ".join(texts) + more


def _value(value: object) -> str:
    text = _text_of(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _text_of(value: object) -> str:
    """Return a value as it is written in source code; classes and modules by name."""
    if isinstance(value, Mapping):
        of_class: Any = value.get("__class__")
        if isinstance(of_class, Mapping) and "__name__" in of_class:
            return printable(str(of_class["__name__"]))
        return hparams_call_text(value) if "__name__" in value else _braced(value)
    if isinstance(value, list | tuple):
        items = ", ".join(_value(item) for item in value[:4])
        return f"[{items}{', ...' * (len(value) > 4)}]"
    return printable(short_repr(value, _LONGEST))


def _braced(value: Mapping[Any, object]) -> str:
    items = [*value.items()][:4]
    texts = ", ".join(f"{printable(str(k))}: {_value(v)}" for k, v in items)
    return f"{{{texts}{', ...' * (len(value) > 4)}}}"


def _blueprint_lines(hparams: Mapping[str, Any]) -> Iterator[str]:
    blueprint = hparams.get("__blueprint__")
    if isinstance(blueprint, Mapping):
        tape = blueprint.get("tape")
        n = len(tape) if isinstance(tape, list) else 0
        yield f"  built from a blueprint with {quantity(n, 'edit')}"


def _step(facts: Mapping[str, Any]) -> str:
    return f" of step {facts['step']}" if "step" in facts else ""


_WHAT = {
    "pretrained folder": "a pretrained folder",
    "shards": "weights in several files",
    "checkpoint": "a checkpoint",
    "hyperstate": "a checkpoint of HyperState",
    "folder": "a folder of records",
}
