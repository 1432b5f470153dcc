"""A plateau falls when torch's does."""

from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as torchs

from burnish.optim.schedulers import (
    Plateau,
)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_a_plateau_falls_when_torchs_does(mode: str, threshold_mode: Any) -> None:
    options: Any = {"mode": mode, "threshold_mode": threshold_mode, "patience": 1}
    options |= {"cooldown": 1, "factor": 0.5, "threshold": 0.05}
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = torchs.ReduceLROnPlateau(optimizer, **options)
    ours = Plateau(0.1, **options)

    for figure in (1.0, 0.9, 0.89, 0.89, 0.95, 0.95, 0.5, 1.2, 1.3, 1.3, 1.3, 1.3):
        theirs.step(figure)
        ours.observe(figure)
        ours = Plateau.load(ours.save())  # type: ignore[arg-type]  # bytes, since no file was given

        assert ours.step() == pytest.approx(optimizer.param_groups[0]["lr"])
