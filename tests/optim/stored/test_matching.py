"""Which stored states belong to a parameter, through the rules of its classes."""

from typing import Any

import pytest
import torch

from burnish.config import DeleteField, MapFieldValue, RenameField
from burnish.core import load_record
from burnish.core.evolution.tensor_rules import MergeTensors, SplitTensor
from burnish.optim import AdamW
from burnish.records import RecordMismatchError

from ...core.evolution.versions import define, nest
from .upgrades import CHANGES, Change, grads_of, step, trained


def test_the_optimizer_may_be_loaded_before_its_module() -> None:
    change = CHANGES["all"]
    old, old_optimizer = trained(change, AdamW())
    net = change.new_class()()
    optimizer = AdamW().bind(net, lr=0.1)

    optimizer.load_record(old_optimizer.save_record())
    load_record(net, old.save_record())

    moment = change.as_new({p: moment_of(old_optimizer, w) for p, w in named(old)})
    assert torch.equal(moment_of(optimizer, net.qk), moment["qk"])


def test_a_module_from_a_state_dict_has_states_by_the_same_rules() -> None:
    change = CHANGES["split"]
    old, old_optimizer = trained(change, AdamW())
    net = change.new_class()()
    net.load_state_dict(change.as_new(old.state_dict()))
    optimizer = AdamW().bind(net, lr=0.1)

    report = optimizer.load_record(old_optimizer.save_record())

    assert report.missing == []
    assert report.derived == {"q": ["qkv"], "k": ["qkv"], "v": ["qkv"]}
    assert "derived (3): q (of qkv)" in repr(report)


def test_a_living_record_of_the_same_process_is_carried_too() -> None:
    change = CHANGES["split"]
    old, old_optimizer = trained(change, AdamW())
    net = change.new_class().from_record(old.save_record())
    optimizer = AdamW().bind(net, lr=0.1)

    optimizer.load_record(old_optimizer.into_record())
    step(net, optimizer, grads_of(net, 0))

    assert old_optimizer.state[old.qkv]["step"] == 3
    assert optimizer.state[net.k]["step"] == 4


def test_a_record_of_the_new_version_is_found_by_ids_that_are_the_same_everywhere() -> (
    None
):
    change = CHANGES["split"]
    old, old_optimizer = trained(change, AdamW())
    data = old.save_record()
    first = change.new_class().from_record(data)
    first_optimizer = AdamW().bind(first, lr=0.1)
    first_optimizer.load_record(old_optimizer.save_record())

    renamed = {0: [*change.rules, RenameField("q", "query")]}
    shapes = {"query": (2, 4), "k": (3, 4), "v": (4, 4), "b": (3,)}
    second = define(nest(shapes), 1, renamed).from_record(data)
    optimizer = AdamW().bind(second, lr=0.1)
    report = optimizer.load_record(first_optimizer.save_record())

    assert report.renamed == {"q": "query"}


def test_what_a_rule_renames_is_found_by_a_fresh_module() -> None:
    change = Change([RenameField("a", "b")], {"a.w": (2,)}, {"b.w": (2,)})
    _, old_optimizer = trained(change, AdamW())
    optimizer = AdamW().bind(change.new_class()(), lr=0.1)

    report = optimizer.load_record(old_optimizer.save_record())

    assert report.renamed == {"a.w": "b.w"}
    assert report.missing == report.unexpected == []


def test_what_a_rule_deletes_is_not_missed() -> None:
    change = Change([DeleteField("old")], {"old.w": (2,), "w": (3,)}, {"w": (3,)})
    _, old_optimizer = trained(change, AdamW())
    optimizer = AdamW().bind(change.new_class()(), lr=0.1)

    report = optimizer.load_record(old_optimizer.save_record())

    assert report.loaded == ["w"]
    assert report.unexpected == ["old.w"]


def test_what_a_function_computes_begins_anew() -> None:
    rule = MapFieldValue("w", lambda w: 2 * w)
    change = Change([rule], {"w": (2,), "b": (3,)}, {"w": (2,), "b": (3,)})
    _, old_optimizer = trained(change, AdamW())
    optimizer = AdamW().bind(change.new_class()(), lr=0.1)

    report = optimizer.load_record(old_optimizer.save_record())

    assert report.loaded == ["b"]
    assert report.missing == ["w"]
    assert report.changed == [
        "w: built from w; its state starts from scratch: "
        "its values were computed by a function"
    ]


def test_parts_that_were_frozen_leave_the_whole_without_a_state() -> None:
    change = CHANGES["merge"]
    old, old_optimizer = trained(change, AdamW(), 0)
    grads = grads_of(old, 0)
    step(old, old_optimizer, {"b": grads["b"]})
    net = change.new_class().from_record(old.save_record())

    report = AdamW().bind(net, lr=0.1).load_record(old_optimizer.save_record())

    assert report.missing == ["qk"]
    assert report.changed == []


def test_renames_come_before_the_rules() -> None:
    change = CHANGES["split"]
    _, old_optimizer = trained(Change([], {"fused": (9, 4), "b": (3,)}, {}), AdamW())
    optimizer = AdamW().bind(change.new_class()(), lr=0.1)

    report = optimizer.load_record(old_optimizer.save_record(), rename={"fused": "qkv"})

    assert report.derived == {n: ["fused"] for n in "qkv"}
    assert report.missing == []


def test_a_rename_is_asked_of_states_alone_where_no_class_has_changed() -> None:
    change = CHANGES["split"]
    old, old_optimizer = trained(change, AdamW(), 0)
    step(old, old_optimizer, {"b": grads_of(old, 0)["b"]})
    again = AdamW().bind(change.old_net(), lr=0.1)

    report = again.load_record(
        old_optimizer.save_record(), rename=lambda path: {"b": "b"}[path]
    )

    assert report.loaded == ["b"]


def test_a_piece_that_the_optimizer_does_not_hold_is_told() -> None:
    change = CHANGES["split"]
    _, old_optimizer = trained(change, AdamW())
    other = define(nest({"b": (3,)}), 1, {0: change.rules})()
    optimizer = AdamW().bind(other, lr=0.1)

    with pytest.raises(RecordMismatchError, match="qkv: stored, but no parameter"):
        optimizer.load_record(old_optimizer.save_record())
    report = optimizer.load_record(old_optimizer.save_record(), strict=False)

    assert report.unexpected == ["qkv"]


def test_a_tied_parameter_is_split_under_any_of_its_paths() -> None:
    def tied(self: Any) -> None:
        nest({"a.w": (4, 2)})(self)
        nest({"b.w": (4, 2)})(self)
        self.b.w = self.a.w

    old = define(tied)()
    old_optimizer = AdamW().bind(old, lr=0.1)
    step(old, old_optimizer, grads_of(old, 0))
    rules = {0: [SplitTensor("b.w", ["b.x", "b.y"])]}
    net = define(nest({"a.w": (4, 2), "b.x": (2, 2), "b.y": (2, 2)}), 1, rules)()
    optimizer = AdamW().bind(net, lr=0.1)

    report = optimizer.load_record(old_optimizer.save_record())

    assert report.missing == []
    moment = moment_of(old_optimizer, old.a.w)
    assert torch.equal(moment_of(optimizer, net.b.y), moment[2:])
    assert torch.equal(moment_of(optimizer, net.a.w), moment)


def test_rules_of_a_child_hold_wherever_it_stands() -> None:
    old_block, new_block = CHANGES["split"].old_net, CHANGES["split"].new_class()

    def of(block: Any) -> Any:
        def make(self: Any) -> None:
            self.blocks = torch.nn.ModuleList(block() for _ in range(2))

        return make

    old = define(of(old_block))()
    old_optimizer = AdamW().bind(old, lr=0.1)
    step(old, old_optimizer, grads_of(old, 0))
    net = define(of(new_block))()
    optimizer = AdamW().bind(net, lr=0.1)

    report = optimizer.load_record(old_optimizer.save_record())

    assert report.derived["blocks.1.k"] == ["blocks.1.qkv"]
    moment = moment_of(old_optimizer, old.blocks[1].qkv)
    assert torch.equal(moment_of(optimizer, net.blocks[1].k), moment[2:5])


def test_rules_that_do_not_fit_what_was_stored_change_nothing() -> None:
    rules = {0: [MergeTensors(["b", "nothing"], "c")]}
    _, old_optimizer = trained(CHANGES["split"], AdamW())
    net = define(nest({"qkv": (9, 4), "c": (6,)}), 1, rules)()
    optimizer = AdamW().bind(net, lr=0.1)

    with pytest.raises(RecordMismatchError, match="the record has b but not nothing"):
        optimizer.load_record(old_optimizer.save_record())

    assert not optimizer.state


def named(net: Any) -> Any:
    return net.named_parameters()


def moment_of(optimizer: Any, parameter: Any) -> torch.Tensor:
    moment: torch.Tensor = optimizer.state[parameter]["exp_avg"]
    return moment


def test_a_parameter_that_only_the_restored_optimizer_steps_is_told() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    net[0].bias.requires_grad_(False)  # held, and without a state
    optimizer = AdamW().bind(net[0], lr=0.1)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    data = optimizer.save_record()

    same = AdamW().bind(net[0], lr=0.1)
    more = AdamW().bind(net, lr=0.1)

    assert same.load_record(data, hyperparameters="restore").changed == []
    [change] = more.load_record(data, hyperparameters="restore").changed
    assert change.startswith("1.weight, 1.bias: stepped now, but not by the optimizer")


def test_a_parameter_that_the_restored_optimizer_steps_no_more_is_told() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    optimizer = AdamW().bind(net, lr=0.1)
    net[0](torch.ones(1, 2)).sum().backward()  # the other layer is not reached yet
    optimizer.step()

    fewer = AdamW().bind(net[0], lr=0.1)
    report = fewer.load_record(optimizer.save_record(), hyperparameters="restore")

    [change] = report.changed
    assert change.startswith("1.weight, 1.bias: stepped by the optimizer that was sav")


def test_a_frozen_parameter_that_rules_changed_is_not_taken_for_a_new_one() -> None:
    change = CHANGES["split"]
    old, old_optimizer = trained(change, AdamW(), 0)
    step(old, old_optimizer, {"b": grads_of(old, 0)["b"]})
    again = AdamW().bind(change.new_class()(), lr=0.1)

    report = again.load_record(
        old_optimizer.save_record(), hyperparameters="restore", strict=False
    )

    assert {"q", "k", "v"} <= {*report.missing}
    assert not any("stepped" in text for text in report.changed)
