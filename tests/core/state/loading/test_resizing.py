from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import report_of
from burnish.records import RecordMismatchError


class Observer(nn.Module):
    """A range that is empty until it has seen data, as torch's observers have one."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.empty(0))
        self.register_buffer("high", torch.empty(0, dtype=torch.float64))
        self.lin = nn.Linear(2, 2)

    def _load_from_state_dict(self, state: Any, start: str, *others: Any) -> None:  # type: ignore[override]  # as users write it
        if start + "low" in state:
            self.low.resize_(state[start + "low"].shape)
            self.high = state[start + "high"]
        super()._load_from_state_dict(state, start, *others)


class Fixed(Observer):
    def _load_from_state_dict(self, *arguments: Any) -> None:  # type: ignore[override]  # as users write it
        nn.Module._load_from_state_dict(self, *arguments)


def net(kind: Any = Observer) -> Any:
    return nn.ModuleList([kind(), nn.Linear(2, 2)])


def seen(kind: Any = Observer) -> Any:
    module = net(kind)
    module[0].low, module[0].high = torch.arange(3.0), torch.ones(3, 2).double()
    return module


def test_buffers_whose_class_resizes_them_take_the_stored_shape() -> None:
    source, living = seen(), net()
    expected = {name: t.clone() for name, t in source.state_dict().items()}
    data = burnish.save_record(source)
    buffer = living[0].low

    report = burnish.load_record(living, data)
    new = burnish.from_record(net, data)

    for module in (living, new):
        found = module.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert living[0].low is buffer
    new_report = report_of(new)
    assert new_report is not None
    assert report.changed == new_report.changed
    assert report.changed[0] == "0.low: took the stored shape"


def test_two_modules_whose_buffers_were_resized_share_no_memory() -> None:
    record = burnish.open_record(burnish.save_record(seen()))
    first, second = net(), net()
    burnish.load_record(first, record)
    burnish.load_record(second, record)

    first[0].low.zero_()

    assert second[0].low.tolist() == [0.0, 1.0, 2.0]


def test_a_buffer_of_another_shape_is_refused_where_its_class_does_not_resize_it() -> (
    None
):
    with pytest.raises(RecordMismatchError, match=r"0\.low: found shape"):
        burnish.load_record(net(Fixed), burnish.save_record(seen(Fixed)))


def test_a_buffer_that_no_class_resizes_is_told_where_a_class_would_do_it() -> None:
    """The cure was to build it as it was saved, which no constructor can."""
    with pytest.raises(RecordMismatchError, match="in _load_from_state_dict, before"):
        burnish.load_record(net(Fixed), burnish.save_record(seen(Fixed)))
    with pytest.raises(RecordMismatchError) as error:
        burnish.load_record(nn.Linear(3, 2), burnish.save_record(nn.Linear(2, 2)))

    assert "changes in training" not in str(error.value)


def test_a_resized_buffer_is_as_it_was_after_a_load_that_fails() -> None:
    class Refuses(nn.Module):
        def get_extra_state(self) -> Any:
            return 1

        def set_extra_state(self, state: Any) -> None:
            raise ValueError("not this one")

    source, living = seen(), net()
    source.append(Refuses())
    living.append(Refuses())
    before = living[0].lin.weight.detach().clone()

    with pytest.raises(RecordMismatchError, match="not this one"):
        burnish.load_record(living, burnish.save_record(source))

    assert living[0].low.shape == (0,)
    assert living[0].high.shape == (0,)
    assert torch.equal(living[0].lin.weight, before)
