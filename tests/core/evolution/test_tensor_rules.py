"""Rules for tensors, forth and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.config import MapFieldValue, RenameField, RewriteRule
from burnish.core import load_record
from burnish.core.evolution.tensor_rules import (
    MergeTensors,
    SplitTensor,
    StackTensors,
    TransposeTensor,
    UnstackTensor,
)
from burnish.records import (
    RecordMismatchError,
    open_record,
)

from .versions import RULES, attention_v0, attention_v2, define, nest


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda w: None, "returned a NoneType, expected a tensor"),
        (lambda w: w.tolist(), "returned a list, expected a tensor"),
        (lambda w: w / (1 // 0), "raised ZeroDivisionError: "),
    ],
)
def test_a_function_that_gives_no_tensor_is_told_with_the_path(
    function: Any, message: str
) -> None:
    data = define(nest({"w": (2,)}))().save_record()
    net = define(nest({"w": (2,)}), 1, {0: [MapFieldValue("w", function)]})()

    with pytest.raises(
        RecordMismatchError, match=f"w: the function of a rule {message}"
    ):
        load_record(net, data)


def test_a_function_may_look_at_values() -> None:
    rule = MapFieldValue(
        "w", lambda w: torch.from_numpy(w.numpy() * 2) + w.max().item()
    )
    old = define(nest({"w": (2,)}))()
    net = define(nest({"w": (2,)}), 1, {0: [rule]})()

    load_record(net, old.save_record())

    expected = old.state_dict()["w"] * 2 + old.state_dict()["w"].max()
    assert torch.equal(net.state_dict()["w"], expected)


def test_a_split_piece_has_memory_of_its_own(tmp_path: Path) -> None:
    define(attention_v0)().save_record(tmp_path / "net.mpk")

    net = define(attention_v2, 2, RULES).from_record(tmp_path / "net.mpk")

    weight = net.layers[0].q.weight
    assert weight.untyped_storage().nbytes() == weight.numel() * weight.itemsize
    assert weight.is_contiguous()


ROUND_TRIPS: list[
    tuple[Any, Any, dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]
] = [
    (
        MergeTensors(["a.gate.weight", "a.up.weight"], "a.gate_up.weight"),
        SplitTensor("a.gate_up.weight", ["a.gate.weight", "a.up.weight"]),
        {"a.gate.weight": (4, 3), "a.up.weight": (4, 3)},
        {"a.gate_up.weight": (8, 3)},
    ),
    (
        MergeTensors(["q", "k"], "qk", dim=1),
        SplitTensor("qk", ["q", "k"], dim=-1, sizes=[4, 2]),
        {"q": (2, 4), "k": (2, 2)},
        {"qk": (2, 6)},
    ),
    (
        TransposeTensor("*.c.weight"),
        TransposeTensor("*.c.weight", (1, 0)),
        {"0.c.weight": (2, 3), "1.c.weight": (2, 3)},
        {"0.c.weight": (3, 2), "1.c.weight": (3, 2)},
    ),
    (
        StackTensors("h.*.mlp.*.w", "h.*.mlp_w"),
        UnstackTensor("h.*.mlp_w", "h.*.mlp.*.w"),
        {f"h.{i}.mlp.{j}.w": (2, 3) for i in range(2) for j in range(11)},
        {f"h.{i}.mlp_w": (11, 2, 3) for i in range(2)},
    ),
]


@pytest.mark.parametrize(("there", "back", "old", "new"), ROUND_TRIPS, ids=str)
def test_a_rule_and_its_inverse_give_what_was_there(
    there: Any, back: Any, old: Any, new: Any
) -> None:
    first = define(nest(old))()
    data = first.save_record()

    second = define(nest(new), 1, {0: [there]}).from_record(data)
    third = define(nest(old), 1, {0: [back]})()
    second_as_old = define(nest(new))()
    second_as_old.load_state_dict(second.state_dict())
    load_record(third, second_as_old.save_record())

    state = first.state_dict()
    assert {k: tuple(v.shape) for k, v in second.state_dict().items()} == new
    assert all(torch.equal(v, state[k]) for k, v in third.state_dict().items())


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (SplitTensor("w", ["a", "b"], sizes=[1, 2]), "cannot be split into"),
        (SplitTensor("w", ["a", "b", "c"]), "cannot be split into"),
        (SplitTensor("w", ["a", "b"], dim=5), "has no dimension 5"),
        (MergeTensors(["w", "nothing"], "a"), "the record has w but not nothing"),
        (MergeTensors(["nothing", "w"], "a"), "the record has w but not nothing"),
        (MergeTensors(["w", "v"], "a"), "cannot be joined"),
        (RenameField("w", "v"), "two entries would be named v"),
        (SplitTensor("w", ["v", "u"]), "two entries would be named v"),
        (SplitTensor("w", ["a", "a"]), "two entries would be named a"),
        (MergeTensors(["w"], "v"), "two entries would be named v"),
        (UnstackTensor("w", "layers.*"), r"two entries would be named layers\.0"),
        (StackTensors("layers.*", "w"), "two entries would be named w"),
    ],
    ids=str,
)
def test_a_rule_that_does_not_fit_says_so(rule: Any, problem: str) -> None:
    shapes = {"w": (4, 2), "v": (3,), "layers.0": (1,), "layers.1": (1,)}
    data = define(nest(shapes))().save_record()
    net = define(nest(shapes), 1, {0: [rule]})()
    before = {k: v.clone() for k, v in net.state_dict().items()}

    with pytest.raises(RecordMismatchError, match=problem):
        load_record(net, data)

    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_a_value_is_mapped_when_it_is_read() -> None:
    old = define(nest({"w": (4, 2)}))()
    rule = MapFieldValue("w", lambda w: 2 * w[:2])

    net = define(nest({"w": (2, 2)}), 1, {0: [rule]}).from_record(old.save_record())

    assert torch.equal(net.w, 2 * old.w[:2])


@pytest.mark.parametrize("source", ["bytes", "opened", "module"])
def test_a_function_that_works_in_place_changes_nothing_of_its_source(
    source: str,
) -> None:
    old = define(nest({"w": (4, 2)}))()
    before = old.w.detach().clone()
    record: Any = old.into_record() if source == "module" else old.save_record()
    if source == "opened":
        record = open_record(record)
        assert torch.equal(record["w"], before)
    rule = MapFieldValue("w", lambda w: w.mul_(2))
    new = define(nest({"w": (4, 2)}), 1, {0: [rule]})

    nets = [new(), new()]
    for net in nets:
        load_record(net, record)

    assert all(torch.equal(net.w, 2 * before) for net in nets)
    assert torch.equal(old.w, before)


def test_names_of_a_rule_have_the_same_wildcards() -> None:
    with pytest.raises(ValueError, match="equally many wildcards"):
        SplitTensor("layers.*.w", ["a", "b"])
    with pytest.raises(ValueError, match=r"one '\*' more"):
        StackTensors("layers.*.w", "layers.*.w")


@pytest.mark.parametrize("path", [7, ""])
def test_a_rule_that_names_no_path_is_told(path: Any) -> None:
    class Broken(RewriteRule):
        def rename(self, path: str) -> Any:
            return broken

    broken = path
    old = define(lambda self: setattr(self, "fc", nn.Linear(1, 1)))
    data = old().save_record()
    new = define(lambda self: setattr(self, "fc", nn.Linear(1, 1)), 1, {0: [Broken()]})

    with pytest.raises(RecordMismatchError, match=r"fc\.weight would be named"):
        new().load_record(data)


def test_names_in_an_iterator_are_kept() -> None:
    names: Any = iter(["q", "k"])
    rule = MergeTensors(names, "qk")
    assert rule.names_after("k") == rule.names_after("k") == ("qk",)


@pytest.mark.parametrize("names", ["qk", None, b"qk"])
def test_one_name_is_no_list_of_names(names: Any) -> None:
    with pytest.raises(TypeError, match="MergeTensors: fields must be a list of names"):
        MergeTensors(names, "qk")
    with pytest.raises(TypeError, match="SplitTensor: into must be a list of names"):
        SplitTensor("qk", names)
