"""Extra state after a refactor: its tensors, names, and what rules compute of it."""

from typing import Any

import pytest
import torch
from tests.wrapper_tensor import Int8
from torch import nn

from burnish.config import DeleteField, MapFieldValue, RenameField
from burnish.core import load_record
from burnish.core.evolution.tensor_rules import (
    MergeTensors,
    SplitTensor,
    TransposeTensor,
)
from burnish.records import RecordMismatchError, open_record

from .versions import define


class Memory(nn.Module):
    """Keeps plain data beside its parameters."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self.data = data

    def get_extra_state(self) -> Any:
        """Return the data."""
        return self.data

    def set_extra_state(self, state: Any) -> None:
        """Take the data."""
        self.data = state


def old_net(**memories: Any) -> Any:
    """Return a module whose extra state stands behind layers that refactors change."""

    def make(self: Any) -> None:
        self.qk = nn.Linear(3, 4, bias=False)
        self.old = nn.Linear(1, 1, bias=False)
        for name, data in memories.items():
            self.add_module(name, Memory(data))

    return define(make)()


def upgraded(
    data: Any, *rules: Any, name: str = "memory", is_split: bool = False
) -> Any:
    """Return what the extra state of an old record is to a class with ``rules``."""

    def make(self: Any) -> None:
        if is_split:
            self.q, self.k = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
        else:
            self.qk = nn.Linear(3, 4, bias=False)
        self.add_module(name, Memory(None))

    rules = (DeleteField("old"), *rules)
    net = define(make, 1, {0: rules}).from_record(data)
    return net.get_submodule(name).data


SPLIT = SplitTensor("qk.weight", ["q.weight", "k.weight"])


def test_tensors_of_extra_state_stay_what_they_are_beside_those_that_rules_change() -> (
    None
):
    data: dict[str, Any] = {"ema": torch.arange(3.0), "all": [torch.ones(2), "text"]}
    record = old_net(memory=data).save_record()

    unchanged, split = upgraded(record), upgraded(record, SPLIT, is_split=True)
    renamed = upgraded(record, RenameField("memory", "kept"), name="kept")

    for read in (unchanged, split, renamed):
        assert torch.equal(read["ema"], data["ema"])
        assert torch.equal(read["all"][0], torch.ones(2))
        assert read["all"][1] == "text"


def test_a_tensor_in_extra_state_may_be_mapped_by_itself() -> None:
    record = old_net(memory={"ema": torch.ones(3)}).save_record()

    read = upgraded(record, MapFieldValue("memory._extra_state.ema", lambda t: t + 1))

    assert read["ema"].tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("source", ["bytes", "module"])
def test_extra_state_is_mapped_as_a_whole(source: str) -> None:
    def halved(state: Any) -> Any:
        state["ema"].mul_(0.5)
        return {"step": (state["count"],), "means": [state["ema"], torch.ones(1)]}

    old = old_net(memory={"ema": torch.ones(3), "count": 7})
    record = old.save_record() if source == "bytes" else old.into_record()

    read = upgraded(
        record, MapFieldValue("*._extra_state", halved), SPLIT, is_split=True
    )

    assert read["step"] == (7,)
    assert [mean.tolist() for mean in read["means"]] == [[0.5] * 3, [1.0]]
    assert old.memory.data["ema"].tolist() == [1.0] * 3


def test_plain_extra_state_is_mapped_by_each_rule_in_turn() -> None:
    record = old_net(memory=1).save_record()
    rules = [MapFieldValue("memory._extra_state", lambda n: n + 1)] * 2

    assert upgraded(record, *rules) == 3


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            DeleteField("memory._extra_state.ema"),
            r"memory\._extra_state: the rules leave nothing of .*ema",
        ),
        (
            MergeTensors(["memory._extra_state.ema"], "memory.ema"),
            r"memory\._extra_state: the rules leave nothing of .*ema",
        ),
        (
            MapFieldValue("memory._extra_state", lambda n: n[0]),
            r"memory\._extra_state: the function of a rule raised KeyError",
        ),
        (
            MapFieldValue("memory._extra_state", lambda n: object()),
            r"memory\._extra_state.* The function of a rule returned it",
        ),
    ],
    ids=["deleted", "merged", "raises", "no data"],
)
def test_what_extra_state_cannot_be_after_a_rule_is_told(
    rule: Any, problem: str
) -> None:
    record = old_net(memory={"ema": torch.ones(3)}).save_record()

    with pytest.raises(RecordMismatchError, match=problem):
        upgraded(record, rule)


def test_two_extra_states_of_one_name_are_refused() -> None:
    record = old_net(memory=1, other=2).save_record()

    with pytest.raises(RecordMismatchError, match=r"be named memory\._extra_state"):
        upgraded(record, RenameField("other", "memory"))


def test_rules_that_open_a_record_keep_the_tensors_of_extra_state() -> None:
    old = old_net(memory={"ema": torch.arange(3.0)})
    fresh = old_net(memory=None)
    del fresh.old

    load_record(fresh, open_record(old.save_record(), rename=[DeleteField("old")]))

    assert torch.equal(fresh.memory.data["ema"], torch.arange(3.0))
    with pytest.raises(RecordMismatchError, match="is dropped; drop both or neither"):
        open_record(old.save_record(), rename=[DeleteField("memory._extra_state.ema")])


def wrapping_net(values: torch.Tensor) -> Any:
    """Return a module with a tensor that wraps others behind a layer."""

    def make(self: Any) -> None:
        self.old = nn.Linear(1, 1)
        weight = Int8.of(values)
        self.w = nn.Parameter(weight, requires_grad=False)

    return make


def test_a_tensor_that_wraps_others_stays_whole_and_is_not_rearranged() -> None:
    def make(self: Any) -> None:
        wrapping_net(torch.zeros(2, 2))(self)
        del self.old

    old = define(wrapping_net(torch.arange(4.0).view(2, 2)))()
    record, gone = old.save_record(), DeleteField("old")

    new = define(make, 1, {0: [gone]})()
    load_record(new, record)

    assert torch.equal(new.w.dequantized(), old.w.dequantized())
    for rule in (TransposeTensor("w"), MapFieldValue("w", lambda w: w)):
        with pytest.raises(RecordMismatchError, match="w is a tensor that wraps"):
            load_record(define(make, 1, {0: [gone, rule]})(), record)
