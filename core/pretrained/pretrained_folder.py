"""A folder of a pretrained module: `config.json`, and one or more files of weights.

A save takes effect when a single file is replaced: the weights, or their index. They
carry the hyperparameters too, so that a reader between two replacements, or after a
killed save, gets a matching pair.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xxhash

from ...config.storage.opening import read_file
from ...config.storage.replacement import write_text
from ...records.errors import RecordFormatError
from ...records.flat_record import FlatRecord
from ...records.open import open_record
from ...records.source_errors import what_to_read
from ..hyperparameters.hparams_node import SAVE
from .shards import INDEX, OUR_SHARD, open_shards, read_shard_index, shard_names

CONFIG = "config.json"
GENERATION = "generation_config.json"
SAFETENSORS, MPK = "model.safetensors", "model.mpk"
KINDS = (
    SAFETENSORS,
    INDEX,
    MPK,
    "model.mpk.zst",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Files that may hold weights, the preferred ones first."""

_MAX_CONFIG = 64 << 20


@dataclass(frozen=True, slots=True)
class FolderContent:
    """The content of a folder: a configuration and weights that belong together."""

    config: dict[str, Any]
    record: FlatRecord
    is_ours: bool
    """Whether the hyperparameters are ours; if not, another library wrote the file."""


def read_folder(folder: str, **reading: object) -> FolderContent:
    """Return the content of ``folder``; ``reading`` are options of `open_record`.

    It waits for a concurrent save: the result is the old content or the new. Raises
    FileNotFoundError if a part is missing.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"{folder} is not a folder; save_pretrained writes one, and "
            "from_record reads a single file. Download a model from a hub "
            "first, for example with huggingface_hub.snapshot_download"
        )
    attempt = 0
    while True:
        before = _state(folder)
        try:
            return _content(folder, **reading)
        except FileNotFoundError:
            # A concurrent save has just replaced these files.
            attempt += 1
            if attempt > 100 or _state(folder) == before:
                raise


def digest(hparams: Mapping[str, object]) -> str:
    """Return a key that is equal for equal hyperparameters."""
    arguments = {key: value for key, value in hparams.items() if key != SAVE}
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_64_hexdigest(text.encode())


def write_config(folder: str, config: Mapping[str, object]) -> None:
    """Replace `config.json`."""
    write_text(os.path.join(folder, CONFIG), json.dumps(config, indent=2) + "\n")


def write_generation(folder: str, text: str) -> None:
    """Replace the generation config of a transformers model."""
    write_text(os.path.join(folder, GENERATION), text)


def read_generation(folder: str) -> dict[str, Any] | None:
    """Return the generation config of a transformers model, None if there is none."""
    return read_config(os.path.join(folder, GENERATION))


def remove_others(folder: str, current_files: set[str]) -> None:
    """Remove the weights of earlier saves, to which nothing refers any more."""
    for name in os.listdir(folder):
        is_weights = name in (SAFETENSORS, INDEX, MPK) or OUR_SHARD.fullmatch(name)
        if is_weights and name not in current_files:
            os.unlink(os.path.join(folder, name))


def _content(folder: str, **reading: Any) -> FolderContent:
    config = read_config(os.path.join(folder, CONFIG))
    name = _weights(folder, config)
    file = os.path.join(folder, name)
    opened = open_shards(folder, file, **reading) if name.endswith(".json") else None
    record = opened or open_record(file, **reading)
    hparams = _hparams_in(record.metadata)
    if hparams is None:
        if config is None:
            raise FileNotFoundError(
                f"{os.path.join(folder, CONFIG)} is missing, and the weights do "
                "not say which module they belong to. Net.from_record(file, "
                f"...) reads weights in one file; burnish convert {folder!r} "
                "NEW.mpk merges several"
            )
        return FolderContent(config, record, "__module__" in config)
    if config is None or config.get(SAVE) not in (None, digest(hparams)):
        return FolderContent(dict(hparams), record, True)
    return FolderContent(config, record, "__module__" in config)


def _weights(folder: str, config: Mapping[str, object] | None) -> str:
    """Return the file of weights that `config.json` was saved with."""
    weight_files = [
        name for name in KINDS if os.path.isfile(os.path.join(folder, name))
    ]
    if not weight_files:
        listed = ", ".join(sorted(os.listdir(folder))[:8])
        expected = f"expected {SAFETENSORS}, {INDEX} or {MPK}"
        if not listed:
            raise FileNotFoundError(f"{folder} is empty; {expected}")
        raise FileNotFoundError(
            f"{folder} holds no weights, only {listed}; {expected}. It is a folder, "
            f"{what_to_read(folder)}"
        )
    saved_digest = None if config is None else config.get(SAVE)
    if len(weight_files) > 1 and saved_digest is not None:
        for name in weight_files:
            if _saved_with(os.path.join(folder, name)) == saved_digest:
                return name
    return weight_files[0]


def _saved_with(file: str) -> str | None:
    if file.endswith(".index.json"):
        index = read_shard_index(file)
        folder = os.path.dirname(file)
        names = shard_names(index)
        if not all(os.path.isfile(os.path.join(folder, name)) for name in names):
            return None
        metadata: Any = index.get("metadata", {})
    else:
        with open_record(file) as record:
            metadata = record.metadata
    hparams = _hparams_in(metadata)
    return None if hparams is None else digest(hparams)


def _hparams_in(metadata: object) -> Mapping[str, Any] | None:
    ours = metadata.get("burnish") if isinstance(metadata, Mapping) else None
    hparams = ours.get("hparams") if isinstance(ours, Mapping) else None
    return hparams if isinstance(hparams, Mapping) else None


def read_config(file: str) -> dict[str, Any] | None:
    """Return the JSON of a configuration, None if the file is missing.

    Raises RecordFormatError for other content.
    """
    try:
        text = read_file(file, _MAX_CONFIG)
    except FileNotFoundError:
        return None
    if len(text) > _MAX_CONFIG:
        raise RecordFormatError(file, f"over {_MAX_CONFIG:,} bytes", "a configuration")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordFormatError(file, f"no JSON: {error!s:.120}") from error
    if not isinstance(config, dict):
        raise RecordFormatError(file, "no map", "a map of hyperparameters")
    return config  # pyright: ignore[reportUnknownVariableType]  # JSON


def _state(folder: str) -> list[tuple[str, int, int]]:
    file_states: list[tuple[str, int, int]] = []
    for entry in os.scandir(folder):
        try:
            status = entry.stat()
        except FileNotFoundError:
            continue
        file_states.append((entry.name, status.st_ino, status.st_mtime_ns))
    return sorted(file_states)
