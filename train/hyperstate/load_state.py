"""A state read from its file, outside of a run: to inspect, to test, to export."""

import errno
import os
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from ...config.storage.scratch import is_scratch
from ...records.io.remote.address import size_at
from ...records.io.remote.url import Place, Url, path_or_url
from .state_folder import read_state
from .state_folders import place_named
from .stored_files import STATE, StoredFiles, check_texts

S = TypeVar("S")


def load_state(
    cls: type[S],
    file: str | os.PathLike[str],
    ctx: Mapping[str, Any] | None = None,
    *,
    ignore_extra: bool = False,
    hyperparameters: Literal["compare", "ignore"] | None = None,
) -> S:
    """Return the state in ``file``, a ``state.ron`` or the folder of a checkpoint.

    ``ctx`` is passed to `Serializable.deserialize`, beside "state": usually
    ``{"config": config}``. The records beside the file are read and verified, and the
    program's random generators do not change. ``ignore_extra`` drops stored fields that
    ``cls`` does not have; ``hyperparameters`` is that of `HyperState.load`. Raises
    RecordMismatchError for an object that only the program can make, ConfigError,
    RecordError or FileNotFoundError, naming file and field.
    """
    text = _state_file(place_named(file))
    context = dict(ctx or {})
    return read_state(
        # Lazy fields are read later, when the working directory may be another.
        StoredFiles(path_or_url(text.parent)),
        cls,
        context.get("config"),
        None,
        context,
        ignore_extra=ignore_extra,
        hyperparameters=hyperparameters,
        text=text.name,
    )


def _state_file(place: Place) -> Place:
    """Return the text of the state at ``place``. FileNotFoundError if it is missing."""
    if isinstance(place, Url):
        url = place if size_at(place) is not None else place / STATE
        check_texts(StoredFiles(url.parent), url.name)
        return url
    text = place / STATE if place.is_dir() else place
    if text.exists():
        check_texts(StoredFiles(text.parent), text.name)
        return text
    message = "no such file"
    if place.is_dir():
        names = (file.parent.name for file in place.glob(f"*/{STATE}"))
        inside = sorted(name for name in names if not is_scratch(name))
        message = f"the folder has no {STATE}"
        if inside:
            message += f"; choose a checkpoint of the run: {', '.join(inside[-8:])}"
    raise FileNotFoundError(errno.ENOENT, message, str(text))
