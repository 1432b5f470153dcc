"""A Lightning checkpoint as a folder of records, and the names of its parts."""

from pathlib import Path
from typing import Any

from ...config.process.interrupts import suppressed
from ...records.errors import ForeignFileError
from ...records.format_names import format_of_suffix
from ...records.io.remote.address import size_at
from ...records.io.remote.url import Place, path_or_url
from ...records.io.save_handle import join_saves
from ...records.source_errors import folder_error
from ..checkpoints.folders import recover
from ..checkpoints.manifest import FILE

MODEL, TRAINING = "model", "training"
"""The parts of a checkpoint: the weights, and everything else that training needs."""

STORED = "burnish_hparams"
"""The key of a module's hyperparameters in a checkpoint, as its record has them."""

STATE_DICT_EXTRA = "state_dict_extra"
"""The key of the values in the state dict that are not tensors."""


def is_checkpoint(path: object) -> bool:
    """Return whether ``path`` is a folder that `RecordIO` wrote."""
    if not isinstance(path, str | Path):
        return False
    join_saves(path)
    place = place_at(path)
    if isinstance(place, Path) and not place.exists():
        with suppressed(OSError):
            recover(place.parent)
    return size_at(place / FILE) is not None


def refuse_other_sources(path: object) -> None:
    """Raise if ``path`` is a folder or a record, which Lightning cannot read either.

    IsADirectoryError says what the folder contains, `ForeignFileError` what to pass
    instead.
    """
    place = place_at(path)
    if not isinstance(place, Path):
        return
    if place.is_dir():
        raise folder_error(str(place))
    form = format_of_suffix(place.name)
    if form is not None and form[0] != "torch" and place.is_file():
        cure = "burnish.load_record(module, file) fills a module from it."
        if is_checkpoint(place.parent):
            cure = f"Pass the folder that it is a part of, {str(place.parent)!r}."
        raise ForeignFileError(
            str(place), "a record", "a checkpoint of a trainer", cure
        )


def place_at(path: Any) -> Place:
    """Return the path or URL that Lightning passes, whatever its type."""
    return path_or_url(str(path))
