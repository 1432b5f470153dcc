"""What stands for the memory of parameters, and who else uses it."""

import torch

from burnish.core.state.uninitialized.tape import is_ordinary


def test_what_has_no_values_in_memory_is_not_ordinary() -> None:
    assert is_ordinary(torch.zeros(2))
    assert not is_ordinary(torch.zeros(0))
    assert not is_ordinary(torch.zeros(2, device="meta"))
    assert not is_ordinary(torch.zeros(2).to_sparse())
