"""One checkpoint: looked into alone, and restored all at once."""

from pathlib import Path

import pytest
import torch

from burnish.records import (
    RecordChecksumError,
    RecordFormatError,
    RecordMismatchError,
)
from burnish.train import Checkpoint, Checkpoints

from .runs import filled, net, same

torch.set_num_threads(1)


def test_a_misfit_changes_none_of_the_parts(tmp_path: Path) -> None:
    model = filled(net(), 1.0)
    optim = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    generator = torch.Generator()
    Checkpoints(tmp_path).save(1, model=model, optim=optim, gen=generator)
    other = filled(net(), 2.0)
    groups = [{"params": [p]} for p in other.parameters()]
    fewer = torch.optim.SGD(groups, lr=0.25)
    moved = torch.Generator().manual_seed(5)
    before = moved.get_state()

    with pytest.raises(RecordMismatchError, match=r"optim: the SGD refused its state"):
        Checkpoints(tmp_path).restore(gen=moved, model=other, optim=fewer)

    assert same(other, filled(net(), 2.0))
    assert torch.equal(moved.get_state(), before)
    assert fewer.param_groups[0]["lr"] == 0.25


def test_a_missing_part_is_told_what_there_is(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(1, model=net())

    with pytest.raises(RecordMismatchError, match=r"modle: not in the .*'model'\?"):
        Checkpoints(tmp_path).restore(modle=net())


def test_a_flipped_bit_is_caught_before_anything_changes(tmp_path: Path) -> None:
    model = filled(net(), 1.0)
    optim = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(3, 4)).sum().backward()
    optim.step()
    saved = Checkpoints(tmp_path).save(1, model=model, optim=optim)
    data = bytearray(saved.file("optim").read_bytes())
    data[-60] ^= 1
    saved.file("optim").write_bytes(data)
    other = filled(net(), 2.0)

    with pytest.raises((RecordChecksumError, RecordFormatError), match=r"optim\.mpk"):
        Checkpoints(tmp_path).restore(model=other, optim=optim)

    assert same(other, filled(net(), 2.0))


def test_a_checkpoint_can_be_looked_into_alone(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path).save(5, model=filled(net(), 1.0), loss=0.5)

    again = Checkpoint.read(saved.folder)

    assert again.step == 5
    assert again.values == {"loss": 0.5}
    assert again["loss"] == 0.5
    assert bool((again["model"]["0.weight"] == 1.0).all())
    with pytest.raises(KeyError, match=r"no part 'mode'.*Did you mean 'model'"):
        _ = again["mode"]
    with pytest.raises(KeyError, match="nothing is saved as 6; there are 5"):
        _ = Checkpoints(tmp_path)[6]
