"""Checkpoints of the older HyperState are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import torch

from burnish.train import HyperState, Lazy

from .states import Config, Old

torch.set_num_threads(1)


def test_a_checkpoint_of_the_older_hyperstate_is_read(tmp_path: Path) -> None:
    @dataclass
    class Seeded(Lazy):
        step: int
        old: Old

    folder = tmp_path / "latest-step000000000012"
    folder.mkdir()
    (folder / "config.ron").write_text("Config(width: 5)")
    (folder / "state.ron").write_text('Seeded(step: 12, old: "<blob:msgpack>")')
    array = {b"nd": True, b"type": "<i8", b"kind": b"", b"shape": [1]}
    packed: Any = msgpack.packb({"number": {**array, b"data": np.array([4]).tobytes()}})
    (folder / "state.old.msgpack").write_bytes(packed)

    run = HyperState.load(
        Config, Seeded, lambda _: Seeded(0, Old(0)), checkpoint_dir=tmp_path
    )

    assert run.state.step == 12
    assert run.state.old.number == 9
