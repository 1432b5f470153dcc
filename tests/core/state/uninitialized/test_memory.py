"""What stands for the memory of parameters, and who else uses it."""

import torch

from burnish.core.state.uninitialized.tape import (
    can_require_grad,
    is_ordinary,
)


def test_what_has_no_values_in_memory_is_not_ordinary() -> None:
    assert is_ordinary(torch.zeros(2))
    assert not is_ordinary(torch.zeros(0))
    assert not is_ordinary(torch.zeros(2, device="meta"))
    assert not is_ordinary(torch.zeros(2).to_sparse())


def test_whole_numbers_cannot_require_grad() -> None:
    assert not can_require_grad(torch.zeros(1, dtype=torch.int64))
    assert can_require_grad(torch.zeros(1, dtype=torch.complex64))
