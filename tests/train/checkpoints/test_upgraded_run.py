"""A run goes on with a network whose tensors a newer version splits or fuses."""

from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.optim import AdamW
from burnish.train import Checkpoints

from ... import fresh_processes
from ...optim.stored.upgrades import CHANGES, from_the_start, grads_of, step, trained

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("names", [("model", "optim"), ("optim", "model")])
@pytest.mark.parametrize("rule", CHANGES)
def test_a_restore_carries_model_and_optimizer(
    tmp_path: Path, rule: str, names: tuple[str, str]
) -> None:
    change = CHANGES[rule]
    old, old_optimizer = trained(change, AdamW())
    Checkpoints(tmp_path).save(3, model=old, optim=old_optimizer)
    twin, twin_optimizer = from_the_start(change, AdamW(), 3)
    net = change.new_class()()
    optimizer = AdamW().bind(net, lr=0.5)
    parts: Any = {"model": net, "optim": optimizer}

    Checkpoints(tmp_path).restore(**{name: parts[name] for name in names})
    grads = change.as_new(grads_of(old, 3))
    step(net, optimizer, grads)
    step(twin, twin_optimizer, grads)

    for value, expected in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(value, expected)


RESUMED = """
import sys

import torch

from burnish.optim import AdamW
from burnish.train import Checkpoints
from tests.optim.stored.upgrades import CHANGES, grads_of, step

change = CHANGES["split"]
net = change.new_class()()
optimizer = AdamW().bind(net, lr=0.5)
Checkpoints(sys.argv[1]).restore(model=net, optim=optimizer)
step(net, optimizer, change.as_new(grads_of(change.old_net(), 3)))
Checkpoints(sys.argv[1]).save(4, model=net, optim=optimizer)
"""


def test_another_process_goes_on_and_its_checkpoint_is_of_the_new_version(
    tmp_path: Path,
) -> None:
    change = CHANGES["split"]
    old, old_optimizer = trained(change, AdamW())
    Checkpoints(tmp_path).save(3, model=old, optim=old_optimizer)
    twin, twin_optimizer = from_the_start(change, AdamW(), 3)

    fresh_processes.run("-c", RESUMED, tmp_path, cwd=ROOT, check=True)
    net = change.new_class()()
    optimizer = AdamW().bind(net, lr=0.5)
    Checkpoints(tmp_path).restore(model=net, optim=optimizer)
    for seed, started in ((3, twin), (4, twin), (4, net)):
        grads = change.as_new(grads_of(old, seed))
        step(started, twin_optimizer if started is twin else optimizer, grads)

    for value, expected in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(value, expected)
