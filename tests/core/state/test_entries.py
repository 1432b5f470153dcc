from typing import Any

import pytest
import torch
from torch import nn

from burnish.core import into_record, load_record
from burnish.records import RecordError

from ..awkward import ZOO  # a neighbour, not the package


def test_a_tied_tensor_is_one_entry_with_all_its_paths() -> None:
    entries = into_record(ZOO["SharedSubmodule"]()).entries()

    paths = {entry.path: entry.ties for entry in entries}
    assert paths["a.weight"] == ("b.weight", "c.0.weight", "c.2.weight")
    assert list(paths) == ["a.weight", "a.bias", "c.1.weight", "c.1.bias"]


def test_the_same_memory_seen_alike_is_one_entry() -> None:
    entries = into_record(ZOO["TiedBuffers"]()).entries()

    assert ("a", ("b", "view")) in [(entry.path, entry.ties) for entry in entries]


def test_kinds_tell_persistent_buffers_from_others() -> None:
    record = into_record(ZOO["NonPersistent"]())

    kinds = {entry.path: entry.kind for entry in record.entries()}
    assert kinds == {"l.weight": "parameter", "l.bias": "parameter", "f": "transient"}
    assert "f" not in record.to_state_dict()


def test_entries_know_the_order_of_dimensions_in_memory() -> None:
    formats = {
        e.path: e.memory_format for e in into_record(ZOO["ChannelsLast"]()).entries()
    }

    assert formats["w"] == "channels_last"


def test_a_lazy_module_is_an_error_that_names_each_tensor_and_the_cure() -> None:
    module = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())

    with pytest.raises(RecordError, match=r"0\.weight: a lazy tensor.*Run the module"):
        into_record(module)
    with pytest.raises(RecordError, match=r"1\.running_mean"):
        load_record(module, into_record(nn.Linear(2, 2)))


def test_a_module_on_the_meta_device_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(RecordError, match=r"weight: a tensor on the meta device"):
        into_record(nn.Linear(2, 2, device="meta"))


def test_extra_state_that_is_no_data_is_an_error_that_names_the_module() -> None:
    class Odd(nn.Module):
        def get_extra_state(self) -> Any:
            return {"handle": open}

    with pytest.raises(
        RecordError, match=r"inner\._extra_state.*get_extra_state of .*Odd"
    ):
        into_record(nn.ModuleDict({"inner": Odd()}))


def test_a_module_that_only_its_own_state_dict_knows_is_refused() -> None:
    class Packed(nn.Module):
        def _save_to_state_dict(
            self, destination: Any, prefix: str, keep_vars: bool
        ) -> None:
            destination[prefix + "packed"] = torch.ones(3)

    with pytest.raises(RecordError, match=r"layer\.packed: .*Packed"):
        into_record(nn.ModuleDict({"layer": Packed()}))


def test_a_module_that_contains_itself_is_met_once() -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    module[0].add_module("parent", module)

    assert [e.path for e in into_record(module).entries()] == ["0.weight", "0.bias"]


def test_a_child_may_have_the_name_of_a_method_or_of_a_wrapper() -> None:
    module: Any = nn.ModuleDict({"save": nn.Linear(2, 2), "module": nn.Linear(2, 2)})

    record = into_record(module)

    assert record["save.weight"] is module["save"].weight
    assert record["module.weight"] is module["module"].weight


def test_the_record_is_live_and_its_clone_a_snapshot() -> None:
    module = nn.Linear(2, 2)
    record = into_record(module)
    snapshot = record.clone()

    with torch.no_grad():
        module.weight.zero_()

    assert not record["weight"].any()
    assert snapshot["weight"].any()
