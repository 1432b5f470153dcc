"""Code past Python sees real values."""

import pytest
import torch
from torch import nn

from burnish.core import from_record, into_record

from .built import sevens

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def test_a_raw_address_shows_every_later_value() -> None:
    import ctypes

    class Raw(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(2))
            self.address = self.w.data_ptr()
            nn.init.constant_(self.w, 3.0)
            self.seen = self.peek()

        def peek(self) -> list[float]:
            return list((ctypes.c_float * 2).from_address(self.address))

    loaded = from_record(Raw, into_record(sevens(Raw)))

    assert loaded.seen == [3.0, 3.0]
    assert loaded.peek() == [7.0, 7.0]
