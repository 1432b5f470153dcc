"""What a checkpoint says in texts beside its records: a step, numbers, a config."""

from contextlib import closing

from ..hyperstate.state_folders import place_named
from ..hyperstate.stored_files import StoredFiles
from .named_records import StoredParts
from .settings import values_by_path


def told_values(source: StoredParts) -> dict[str, object] | None:
    """Return the values by path; None for what has no texts.

    Raises ConfigSyntaxError for a text that cannot be read.
    """
    if source.kind == "checkpoint":
        return values_by_path(
            {"step": source.facts["step"], **source.facts["values"]}, ""
        )
    if source.kind != "hyperstate":
        return None
    values: dict[str, object] = {}
    names = source.facts["texts"]
    files = source.texts or StoredFiles.of_folder(place_named(source.source), names)
    with closing(files):
        for name in names:
            values |= values_by_path(files.tree(name), name.rpartition(".")[0])
    return values
