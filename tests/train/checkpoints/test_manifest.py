"""A manifest that is newer, damaged or lies is refused by name."""

import json
from pathlib import Path

import pytest
import torch

from burnish.records import (
    RecordError,
    RecordFormatError,
    RecordVersionError,
)
from burnish.train import Checkpoints

from ..loaders import saved
from .runs import filled, net, same

torch.set_num_threads(1)


def test_a_newer_manifest_is_refused_and_a_damaged_one_named(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path).save(1, model=net())
    manifest = Path(saved.folder, "checkpoint.json")
    text = manifest.read_text()

    manifest.write_text(text.replace('"burnish": 1', '"burnish": 99'))
    with pytest.raises(RecordVersionError, match="99"):
        Checkpoints(tmp_path).restore(model=net())
    manifest.write_text(text.replace("model.mpk", "../../elsewhere.mpk"))
    with pytest.raises(RecordFormatError, match="no name of a file in the folder"):
        Checkpoints(tmp_path).restore(model=net())
    manifest.write_text(text[:20])
    with pytest.raises(RecordFormatError, match=r"checkpoint\.json"):
        Checkpoints(tmp_path).restore(model=net())


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"file": "gone.mpk"}, "gone.mpk, which is not there"),
        ({"file": "../net.mpk"}, "is no name of a file in the folder"),
        ({"file": "who.mpk"}, "expected one of a module"),
        ({"kind": "state"}, "expected a PlainData"),
        ({"kind": "other"}, "the unknown kind 'other'"),
    ],
)
def test_a_manifest_that_lies_about_a_part_is_refused_and_nothing_changed(
    lie: dict[str, str], words: str, tmp_path: Path
) -> None:
    saved = Checkpoints(tmp_path).save(3, net=filled(net(), 1.0), who=[1])
    file = Path(saved.folder, "checkpoint.json")
    tree = json.loads(file.read_text())
    del tree["parts"]["net"]["digest"]
    tree["parts"]["net"].update(lie)
    file.write_text(json.dumps(tree))
    model, who = filled(net(), 2.0), [2]

    with pytest.raises(RecordError, match=words):
        Checkpoints(tmp_path).restore(who=who, net=model)

    assert same(model, filled(net(), 2.0))
    assert who == [2]


def test_a_manifest_of_another_step_is_refused(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    file = tmp_path / "step000000000001" / "checkpoint.json"
    tree = json.loads(file.read_text())
    file.write_text(json.dumps({**tree, "step": 7}))

    with pytest.raises(RecordFormatError, match="step 7"):
        checkpoints.restore(x=[])


@pytest.mark.parametrize("name", ["../x.mpk", "/tmp/x.mpk", "a/b.mpk", ".."])
def test_a_manifest_that_names_a_file_elsewhere_is_refused(
    name: str, tmp_path: Path
) -> None:
    checkpoints = saved(tmp_path, 1)
    file = tmp_path / "step000000000001" / "checkpoint.json"
    tree = json.loads(file.read_text())
    tree["parts"]["x"]["file"] = name
    file.write_text(json.dumps(tree))

    with pytest.raises(RecordFormatError):
        checkpoints.restore(x=[])
