"""A run goes on with a network whose tensors a newer version splits or fuses."""

from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.optim import AdamW
from burnish.train import Checkpoints

from ...optim.stored.upgrades import CHANGES, from_the_start, grads_of, step, trained


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
