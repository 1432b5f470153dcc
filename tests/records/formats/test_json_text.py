"""Plain data that JSON has no numbers for."""

import json

import torch

from burnish.records import (
    open_record,
)

from .json_files import saved


def test_long_integers_and_odd_floats_in_metadata_come_back() -> None:
    data = saved(
        {"w": torch.ones(1)}, big=2**63 - 1, huge=-(10**40), odd=[float("inf")]
    )

    metadata = open_record(data).metadata

    assert metadata["big"] == 2**63 - 1
    assert metadata["huge"] == -(10**40)
    assert metadata["odd"] == [float("inf")]


def test_floats_that_json_has_not_are_named_in_metadata() -> None:
    inf = float("inf")

    found = json.loads(saved({}, odd=[inf, -inf, float("nan"), 0.5]))["metadata"]

    names = [{"$float": name} for name in ("inf", "-inf", "nan")]
    assert found["odd"] == [*names, 0.5]
