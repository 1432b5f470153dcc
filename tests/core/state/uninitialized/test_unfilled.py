"""What shows the memory of a parameter shows its stored values."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack, to_dlpack  # type: ignore[attr-defined]  # it is there

import burnish
from burnish.core import from_record, into_record, report_of

from ....formats_of_records import SUFFIXES
from .built import Views, scripted, scripted_conversion, seeded, sevens

pytestmark = pytest.mark.usefixtures("poisoned_memory")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_shows_the_memory_of_a_parameter_shows_its_stored_values(
    suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"net.{suffix}"
    burnish.save_record(sevens(), file)

    loaded = from_record(Views, file)

    for value in (loaded.flat, loaded.view, loaded.views[0]):
        assert torch.equal(value, torch.full_like(value, 7.0))
    assert loaded.array.tolist() == [7.0, 7.0, 7.0]
    storage = loaded.l.weight.untyped_storage().data_ptr()
    assert loaded.flat.untyped_storage().data_ptr() == storage
    assert loaded.view.data_ptr() == loaded.l.weight[1:].data_ptr()


def test_views_of_a_tensor_that_changes_its_dtype_have_the_values_and_are_reported(
    tmp_path: Path,
) -> None:
    burnish.save_record(sevens(), tmp_path / "net.mpk", exclude="flat")
    record = burnish.open_record(tmp_path / "net.mpk", dtype=torch.bfloat16)

    built = from_record(Views, record)
    living = Views()
    report = burnish.load_record(living, record)

    for module, told in ((built, report_of(built)), (living, report)):
        assert module.l.weight.dtype is torch.bfloat16
        assert module.view.dtype is torch.float32
        assert torch.equal(module.view, torch.full((2, 3), 7.0))
        assert told is not None
        assert any(
            "l.weight: other tensors that shared its memory" in s for s in told.changed
        )


def test_part_of_a_larger_memory_is_filled_and_the_rest_is_initialized() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            both = nn.Parameter(torch.empty(6))
            nn.init.constant_(both, 1.0)
            self.low = nn.Parameter(both.data[:3])
            self.rest = both.data[3:]

    loaded = from_record(Packed, into_record(sevens(Packed)))

    assert loaded.low.tolist() == [7.0, 7.0, 7.0]
    assert loaded.rest.tolist() == [1.0, 1.0, 1.0]


def test_data_that_somebody_holds_beside_its_parameter_is_a_view_of_it() -> None:
    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.data = torch.empty(3)
            self.w = nn.Parameter(self.data)
            nn.init.constant_(self.w, 2.0)
            self.total = float(self.data.sum())

    loaded = from_record(Holds, into_record(sevens(Holds)))

    assert loaded.total == 6.0
    assert type(loaded.data) is Tensor
    assert loaded.data.data_ptr() == loaded.w.data_ptr()
    assert loaded.data.tolist() == [7.0, 7.0, 7.0]


READERS: dict[str, Callable[[Tensor], Any]] = {
    "vmap": lambda w: torch.vmap(torch.sum)(w),
    "grad": lambda w: torch.func.grad(lambda x: (x * x).sum())(w),
    "jacrev": lambda w: torch.func.jacrev(lambda x: x * x)(w),
    "jvp": lambda w: torch.func.jvp(torch.sin, (w,), (torch.ones(3, 3),))[0],
    "functional_call": lambda w: torch.func.functional_call(
        nn.Linear(3, 3, bias=False), {"weight": w}, (torch.ones(3),)
    ),
    "script": lambda w: scripted(w),
    "scripted conversion": lambda w: scripted_conversion(w),
    "trace": lambda w: torch.jit.trace(lambda x: x * 2, w)(w),  # type: ignore[no-untyped-call]  # torch's
    "compile": lambda w: torch.compile(lambda x: x * 2, backend="eager")(w),
    "ops": lambda w: torch.ops.aten.sum(w),
    "dlpack": lambda w: from_dlpack(w.detach()) * 1,
    "old dlpack": lambda w: from_dlpack(to_dlpack(w.detach())) * 1,
    "array": lambda w: torch.tensor(w.detach().numpy().tolist()),
    "storage": lambda w: torch.tensor(list(w.untyped_storage())),
    "typed storage": lambda w: torch.tensor(list(w.detach().numpy().flat)),
    "pickle": lambda w: pickle.loads(pickle.dumps(w)) * 1,
    "item": lambda w: torch.tensor(w[0, 0].item()),
    "iteration": lambda w: torch.stack(list(w)),
    "out": lambda w: torch.sin(w.detach(), out=torch.empty(3, 3)),
    "copy_": lambda w: torch.empty(3, 3).copy_(w.detach()),
    "autograd": lambda w: torch.autograd.grad((w * w).sum(), [w])[0],
    "as a set": lambda w: torch.stack([*{w}]),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("how", READERS)
def test_a_parameter_that_is_read_in_a_constructor_is_initialized(how: str) -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Linear(3, 3)
            self.l = nn.Linear(3, 3)
            self.seen = torch.as_tensor(READERS[how](self.l.weight)).detach()

    record, expected = into_record(sevens(Reads)), seeded(Reads)

    loaded = seeded(lambda: from_record(Reads, record))

    assert torch.equal(loaded.seen, expected.seen)
    assert torch.equal(loaded.l.weight, torch.full((3, 3), 7.0))
