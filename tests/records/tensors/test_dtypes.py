"""The names of dtypes in files and in Python."""

import pytest
import torch

from burnish.records.tensors.dtypes import (
    ALL,
    BY_NAME,
    NAME_OF,
    can_require_grad,
    dtype_named,
    name_of_dtype,
)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_dtype_of_files_comes_back_from_its_name(name: str) -> None:
    assert NAME_OF[BY_NAME[name]] == name
    assert name_of_dtype(BY_NAME[name]) == name
    assert dtype_named(name) is dtype_named(f"torch.{name}") is BY_NAME[name]


def test_every_dtype_is_known_by_its_name_in_python() -> None:
    assert ALL["torch.float32"] is torch.float32
    assert set(BY_NAME.values()) <= set(ALL.values())


@pytest.mark.parametrize("name", ["float33", "torch.Tensor", "", None])
def test_another_name_is_an_error(name: object) -> None:
    with pytest.raises(ValueError, match="is not a dtype of this torch version"):
        dtype_named(name)


def test_whole_numbers_cannot_require_grad() -> None:
    assert not can_require_grad(torch.zeros(1, dtype=torch.int64))
    assert can_require_grad(torch.zeros(1, dtype=torch.complex64))
