"""Generators of every kind go on where they stood."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from burnish.train import Checkpoints
from burnish.train.checkpoints.rng import restored_generators

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


def drawn() -> list[float]:
    return [random.random(), *torch.rand(2).tolist()]  # no secret


@pytest.mark.parametrize("if_it_raises", [True, False])
def test_generators_stay_where_they_were_if_something_fails(if_it_raises: bool) -> None:
    def draw_and_fail() -> None:
        with restored_generators(if_it_raises=if_it_raises):
            drawn()
            raise ValueError

    torch.manual_seed(3)
    random.seed(3)
    expected = drawn()
    torch.manual_seed(3)
    random.seed(3)

    with pytest.raises(ValueError, match=r"^$"):
        draw_and_fail()
    assert drawn() == expected


def test_draws_of_a_block_that_succeeds_count_or_not_as_asked() -> None:
    torch.manual_seed(3)
    with restored_generators():
        first = torch.rand(1)
    with restored_generators(if_it_raises=True):
        assert torch.equal(torch.rand(1), first)

    assert not torch.equal(torch.rand(1), first)
