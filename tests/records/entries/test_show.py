"""A record on one line."""

import torch

from ..typed_records import Moments


def test_a_repr_is_one_line_of_dtypes_and_shapes() -> None:
    assert repr(Moments(m=torch.ones(2, 3))) == "Moments(m=float32[2x3], v=None)"
