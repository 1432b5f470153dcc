"""Any dtype, any shape, any order in memory, through every format that is written."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.records import Record, open_record
from burnish.records.tensors.dtypes import BY_NAME

from ...formats_of_records import RECORDERS

Same = Callable[[torch.Tensor, torch.Tensor], bool]

WITHOUT_BURN = {
    dtype for name, dtype in BY_NAME.items() if name.startswith(("complex", "float8"))
}
LACKING = {"safetensors": {torch.complex128}, "bpk": WITHOUT_BURN}
DTYPES = [dtype for dtype in BY_NAME.values() if dtype is not torch.complex32]


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 6), max_size=4))
    count = 1
    for size in shape:
        count *= size
    n = count * dtype.itemsize
    raw = torch.tensor(list(draw(st.binary(min_size=n, max_size=n))), dtype=torch.uint8)
    if dtype is torch.bool:
        raw = raw & 1
    tensor = raw.view(dtype).view(shape) if n else torch.empty(shape, dtype=dtype)
    tensor = tensor.permute(draw(st.permutations(range(len(shape)))))
    if draw(st.booleans()) and shape:
        tensor = tensor[::2]
    return tensor


@pytest.mark.parametrize("name", RECORDERS)
@given(st.lists(tensors(), max_size=4))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_bit_comes_back(name: str, same: Same, found: list[torch.Tensor]) -> None:
    given: dict[str, Any] = {
        str(i): tensor
        for i, tensor in enumerate(found)
        if tensor.dtype not in LACKING.get(name, ())
    }

    record = open_record(RECORDERS[name].dumps(Record.from_state_dict(given)))
    record.load_all()

    assert [path for path in given if not same(record[path], given[path])] == []
