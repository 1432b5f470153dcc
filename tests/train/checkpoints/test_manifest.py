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
from burnish.train.checkpoints.manifest import Manifest

from ..loaders import saved
from .runs import filled, net, same

torch.set_num_threads(1)


def test_a_newer_manifest_is_refused_and_a_damaged_one_named(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path).save(1, model=net())
    manifest = Path(saved.folder, "checkpoint.json")
    tree = json.loads(manifest.read_text())
    del tree["checksum"]
    text = json.dumps(tree, indent=2)

    manifest.write_text(text.replace('"burnish": 1', '"burnish": 99'))
    with pytest.raises(RecordVersionError, match="99"):
        Checkpoints(tmp_path).restore(model=net())
    manifest.write_text(text.replace("model.mpk", "../../elsewhere.mpk"))
    with pytest.raises(RecordFormatError, match="not the name of a file in the folder"):
        Checkpoints(tmp_path).restore(model=net())
    manifest.write_text(text[:20])
    with pytest.raises(RecordFormatError, match=r"checkpoint\.json"):
        Checkpoints(tmp_path).restore(model=net())


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"file": "gone.mpk"}, "gone.mpk, which is missing"),
        ({"file": "../net.mpk"}, "is not the name of a file in the folder"),
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
    del tree["parts"]["net"]["digest"], tree["checksum"]
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
    del tree["checksum"]
    file.write_text(json.dumps({**tree, "step": 7}))

    with pytest.raises(RecordFormatError, match="step 7"):
        checkpoints.restore(x=[])


@pytest.mark.parametrize("step", [1e999, 1.5, True, "1", None, [1]])
def test_a_step_that_is_no_integer_is_a_damaged_manifest(
    step: object, tmp_path: Path
) -> None:
    file = Path(saved(tmp_path, 1).folder, "step000000000001", "checkpoint.json")
    tree = json.loads(file.read_text())
    del tree["checksum"]
    file.write_text(json.dumps({**tree, "step": step}))

    with pytest.raises(RecordFormatError, match="manifest that cannot be read"):
        Manifest.read(file.parent)


@pytest.mark.parametrize(
    "name", ["../x.mpk", "/tmp/x.mpk", "a/b.mpk", "..", "x\0.mpk", "\ud800.mpk"]
)
def test_a_manifest_that_names_a_file_elsewhere_is_refused(
    name: str, tmp_path: Path
) -> None:
    checkpoints = saved(tmp_path, 1)
    file = tmp_path / "step000000000001" / "checkpoint.json"
    tree = json.loads(file.read_text())
    del tree["checksum"]
    tree["parts"]["x"]["file"] = name
    file.write_text(json.dumps(tree))

    with pytest.raises(RecordFormatError):
        checkpoints.restore(x=[])


def manifest_of_a_run(folder: Path) -> Path:
    """Return the manifest of a checkpoint that has something of everything."""
    shared = torch.nn.Linear(2, 2)
    run = Checkpoints(folder, only={"net": "0.*"}).save(
        3,
        net=filled(net(), 1.0),
        actor=torch.nn.Sequential(shared),
        critic=torch.nn.Sequential(shared),
        who=[1],
        loss=0.25,
        tokens=1_234_567,
        best=float("nan"),
    )
    return Path(run.folder, "checkpoint.json")


def test_a_flipped_bit_anywhere_is_refused_or_says_the_same(tmp_path: Path) -> None:
    file = manifest_of_a_run(tmp_path)
    content, expected = file.read_bytes(), repr(Manifest.read(file.parent))
    n_refused = 0

    for i in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[i] ^= 1 << bit
            try:
                read = Manifest.of(bytes(flipped), "checkpoint.json")
            except RecordError:
                n_refused += 1
                continue
            differing = [x for x in repr(read).split() if x not in expected]
            # A digest tells itself that it is wrong, once its part is read.
            assert not differing or all("digest=" in x for x in differing), flipped

    assert n_refused > 6 * len(content)


def test_a_flipped_digit_of_a_counter_is_told_before_a_part_changes(
    tmp_path: Path,
) -> None:
    file = manifest_of_a_run(tmp_path)
    file.write_text(file.read_text().replace("1234567", "1234563"))
    model = filled(net(), 2.0)

    with pytest.raises(
        RecordFormatError, match="different content than what was written"
    ):
        Checkpoints(tmp_path).restore(net=model, who=[])

    assert same(model, filled(net(), 2.0))


def test_a_manifest_changed_on_purpose_is_read_without_its_checksum(
    tmp_path: Path,
) -> None:
    file = manifest_of_a_run(tmp_path)
    tree = json.loads(file.read_text())
    del tree["checksum"]
    tree["values"]["tokens"] = 7
    file.write_text(json.dumps(tree))

    assert Checkpoints(tmp_path)["latest"]["tokens"] == 7


def test_a_manifest_laid_out_anew_keeps_its_checksum(tmp_path: Path) -> None:
    file = manifest_of_a_run(tmp_path)
    tree = json.loads(file.read_text())
    file.write_text(json.dumps(dict(reversed(tree.items()))))

    assert Checkpoints(tmp_path)["latest"]["tokens"] == 1_234_567
