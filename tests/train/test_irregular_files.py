"""Pipes, sockets, devices and folders where files are read: an error, at once."""

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish import config
from burnish.config.schema.storage import load_schema
from burnish.core.evolution.record_schema import load_schema as load_record_schema
from burnish.records import RecordError, open_record
from burnish.train import Checkpoints

from ..irregular_files import make_irregular, no_waiting


@dataclass
class Config:
    n: int = 1


def pretrained(name: str) -> Callable[[Path], object]:
    def read(file: Path) -> object:
        folder = file.parent
        burnish.save_pretrained(nn.Linear(2, 2), folder / "good")
        for other in (folder / "good").iterdir():
            if other.name != name:
                other.rename(folder / other.name)
        file.rename(folder / name)
        if name.endswith("index.json"):
            (folder / "model.safetensors").unlink()
        return burnish.from_pretrained(folder)

    return read


def checkpoint(name: str) -> Callable[[Path], object]:
    def read(file: Path) -> object:
        net = nn.Linear(2, 2)
        kept = Checkpoints(file.parent / "run")
        kept.save(1, net=net)
        place = file.parent / "run" / "step000000000001" / name
        place.unlink()
        file.rename(place)
        return kept.restore(1, net=net)

    return read


READERS: dict[str, Callable[[Path], object]] = {
    ".mpk": open_record,
    ".json": open_record,
    ".safetensors": open_record,
    ".pt": open_record,
    ".mpk.gz": lambda file: burnish.load_record(nn.Linear(2, 2), file),
    ".mpk.zst": lambda file: burnish.from_record(lambda: nn.Linear(2, 2), file),
    ".ron": lambda file: config.load(Config, file),
    ".yaml": lambda file: config.load(Config, file),
    " schema.ron": load_schema,
    " records.json": load_record_schema,
    " config.json": pretrained("config.json"),
    " weights": pretrained("model.safetensors"),
    " index": pretrained("model.safetensors.index.json"),
    " manifest": checkpoint("checkpoint.json"),
    " part": checkpoint("net.mpk"),
}
EXPECTED = (OSError, RecordError, KeyError, config.ConfigError)


@pytest.fixture(autouse=True)
def _nothing_waits() -> Generator[None]:
    with no_waiting():
        yield


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_never_waited_for(
    reader: str, kind: str, tmp_path: Path
) -> None:
    file = tmp_path / f"x{reader}"
    make_irregular(kind, file)

    with pytest.raises(EXPECTED) as caught:
        READERS[reader](file)

    assert str(caught.value)


@pytest.mark.parametrize("saver", ["record", "config", "checkpoint", "pretrained"])
def test_a_pipe_under_a_temporarys_name_holds_no_save_up(
    saver: str, tmp_path: Path
) -> None:
    savers: dict[str, tuple[str, Callable[[Any], object]]] = {
        "record": ("net.mpk", lambda at: burnish.save_record(nn.Linear(2, 2), at)),
        "config": ("run.ron", lambda at: config.dump(Config(), at)),
        "checkpoint": (
            "step000000000001",
            lambda at: Checkpoints(at.parent).save(1, net=torch.ones(2)),
        ),
        "pretrained": (
            "model.safetensors",
            lambda at: burnish.save_pretrained(nn.Linear(2, 2), at.parent),
        ),
    }
    name, save = savers[saver]
    planted = tmp_path / f".{name}.0a1b2c3d.tmp"
    retired = tmp_path / f".{name}.0a1b2c3d.old"
    os.mkfifo(planted)
    os.mkfifo(retired)

    save(tmp_path / name)

    assert planted.exists()
    assert (tmp_path / name).exists()


class BytesPath:
    """A path of an object that gives bytes."""

    def __init__(self, path: Path) -> None:
        self._path = os.fsencode(path)

    def __fspath__(self) -> bytes:
        return self._path


def test_paths_that_give_bytes_are_paths_everywhere(tmp_path: Path) -> None:
    net: Any = nn.Linear(2, 2)
    file: Any = BytesPath(tmp_path / "net.mpk")
    text: Any = BytesPath(tmp_path / "run.ron")
    folder: Any = BytesPath(tmp_path / "folder")

    burnish.save_record(net, file)
    config.dump(Config(5), text)
    burnish.save_pretrained(net, folder)

    assert burnish.load_record(net, file).loaded
    assert config.load(Config, text) == Config(5)
    assert config.load(Config, os.fsencode(text)) == Config(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # users pass anything
    assert burnish.from_pretrained(folder, nn.Linear).in_features == 2


def test_bytes_are_content_of_records_and_no_path(tmp_path: Path) -> None:
    net, name = nn.Linear(2, 2), os.fsencode(tmp_path / "net.mpk")
    anything: Any = burnish.save_record

    with pytest.raises(TypeError, match=r"got b'.*; os.fsdecode makes it a path"):
        anything(net, name)

    assert not os.path.exists(name)
