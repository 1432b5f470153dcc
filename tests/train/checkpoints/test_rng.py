"""Generators of every kind go on where they stood."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from burnish.train import Checkpoints

torch.set_num_threads(1)


def test_generators_of_every_kind_go_on_where_they_stood(tmp_path: Path) -> None:
    def draws(parts: dict[str, Any]) -> list[float]:
        return [
            torch.rand(1, generator=parts["torch_own"]).item(),
            parts["python_own"].random(),
            float(parts["numpy_own"].random()),
            float(parts["numpy_old"].random()),
            torch.rand(1).item(),
            random.random(),
            float(np.random.random()),
        ]

    def parts() -> dict[str, Any]:
        return {
            "torch_own": torch.Generator(),
            "python_own": random.Random(),
            "numpy_own": np.random.default_rng(),
            "numpy_old": np.random.RandomState(),
        }

    first = parts()
    draws(first)
    Checkpoints(tmp_path).save(1, rng=True, **first)
    expected = draws(first)
    second = parts()

    Checkpoints(tmp_path).restore(rng=True, **second)

    assert draws(second) == expected
