"""Tensors that wrap others in state dicts, plain nests and declared fields."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.wrapper_tensor import Int8, Scheme, configs_of_torchao
from torch import nn

import burnish
from burnish.core import allow_classes, into_record, load_record, save_record
from burnish.records import (
    FlatRecord,
    Record,
    RecordError,
    RecordMismatchError,
    open_record,
)

FORMATS = ["data.mpk", "data.mpk.zst", "data.json"]


def wrapper() -> Int8:
    return Int8.of(torch.arange(1.0, 13).reshape(4, 3), Scheme(4))


def other_network() -> nn.Sequential:
    return network(Int8.of(torch.randn(4, 3), Scheme(4)))


def network(values: Int8 | None = None) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    net[0].weight = nn.Parameter(wrapper() if values is None else values, False)
    return net


def assert_alike(a: Any, b: Any) -> None:
    assert type(a) is type(b) is Int8
    assert torch.equal(a.data_, b.data_)
    assert torch.equal(a.scale, b.scale)
    assert (a.scheme, a.dtype, a.shape) == (b.scheme, b.dtype, b.shape)


X = torch.randn(5, 3)


@pytest.mark.parametrize("name", [*FORMATS, "data.safetensors"])
def test_a_state_dict_fills_a_module_that_has_such_weights(
    tmp_path: Path, name: str
) -> None:
    net, other = network(), other_network()
    save_record(net.state_dict(), tmp_path / name)

    report = load_record(other, tmp_path / name)

    assert report.missing == report.unexpected == []
    assert torch.equal(other(X), net(X))


@pytest.mark.parametrize("name", [*FORMATS, "data.safetensors"])
def test_a_state_dict_comes_back_with_leave(tmp_path: Path, name: str) -> None:
    net = network()
    save_record(net.state_dict(), tmp_path / name)

    with allow_classes(Int8):
        again = open_record(tmp_path / name).to_data()

    assert list(again) == list(net.state_dict())
    assert_alike(again["0.weight"], net.state_dict()["0.weight"])
    assert torch.equal(again["2.weight"], net.state_dict()["2.weight"])


def test_without_leave_the_error_names_path_class_and_cure() -> None:
    record = open_record(save_record(network().state_dict()))

    with pytest.raises(
        RecordMismatchError, match=r"0\.weight: .*Int8.*allow_classes\(Int8\)"
    ):
        record.to_data()
    with pytest.raises(RecordMismatchError, match=r"allow_classes\(Int8\)"):
        record.to_state_dict()


def checkpoint(net: nn.Module) -> dict[str, Any]:
    return {"model": net.state_dict(), "epoch": 3, "best": [wrapper(), (wrapper(),)]}


@pytest.mark.parametrize("name", FORMATS)
def test_a_nest_comes_back_with_leave(tmp_path: Path, name: str) -> None:
    net = network()
    save_record(checkpoint(net), tmp_path / name)

    with allow_classes(Int8):
        again = open_record(tmp_path / name).to_data()

    assert again["epoch"] == 3
    assert_alike(again["model"]["0.weight"], net.state_dict()["0.weight"])
    assert_alike(again["best"][0], wrapper())
    assert_alike(again["best"][1][0], wrapper())


@pytest.mark.parametrize("name", FORMATS)
def test_the_state_dict_in_a_nest_fills_a_module_without_leave(
    tmp_path: Path, name: str
) -> None:
    net, other = network(), other_network()
    save_record({"model": net.state_dict(), "epoch": 3}, tmp_path / name)

    load_record(other, tmp_path / name)

    assert torch.equal(other(X), net(X))


def test_a_nest_without_leave_shows_what_the_wrapper_is_made_of() -> None:
    record = open_record(save_record(checkpoint(network())))

    with pytest.raises(RecordMismatchError, match=r"allow_classes\(Int8\)"):
        record.to_data()

    assert torch.equal(record["model"]["0.weight"]["data_"], wrapper().data_)
    assert torch.equal(record["best"][0].scale, wrapper().scale)


def test_two_places_of_one_wrapper_are_stored_once() -> None:
    shared = wrapper()
    for value in ({"a": shared, "b": shared}, [shared, {"again": shared}]):
        record = open_record(save_record(value))

        with allow_classes(Int8):
            again = record.to_data()

        first, second = again.values() if isinstance(again, dict) else again
        second = second["again"] if isinstance(second, dict) else second
        assert len(record.entries()) == 2
        assert first.data_.data_ptr() == second.data_.data_ptr()


def test_a_dict_that_looks_like_a_wrapper_stays_a_dict() -> None:
    value = {"$wrapper": [{"tensors": ["a"]}, [torch.ones(2)]]}

    again = open_record(save_record({"x": value, "n": 1})).to_data()

    assert list(again["x"]) == ["$wrapper"]
    assert torch.equal(again["x"]["$wrapper"][1][0], torch.ones(2))


def test_a_precision_of_state_dicts_leaves_what_wrappers_are_made_of() -> None:
    nest = burnish.records.Precision(tensor="half")
    for value, precision in (
        (network().state_dict(), burnish.records.Precision(param="half")),
        ({"model": network().state_dict(), "epoch": 1}, nest),
    ):
        record = open_record(save_record(value, precision=precision))

        dtypes = {entry.path: entry.dtype for entry in record.entries()}
        prefix = "model." if "epoch" in value else ""
        assert dtypes[f"{prefix}0.weight.scale"] == torch.float32
        assert dtypes[f"{prefix}2.weight"] == torch.float16


class Wrapped(Int8):
    """A subclass, so that a field may declare one and get the other."""


class Kept(Record):
    plain: torch.Tensor
    maybe: torch.Tensor | None
    parameter: nn.Parameter
    exact: Int8
    anything: Any
    by_name: dict[str, torch.Tensor]
    inner: FlatRecord


def kept() -> Kept:
    net = network()
    return Kept(
        plain=wrapper(),
        maybe=wrapper(),
        parameter=nn.Parameter(wrapper()),
        exact=wrapper(),
        anything=[wrapper()],
        by_name={"a": wrapper()},
        inner=into_record(net),
    )


@pytest.mark.parametrize("name", FORMATS)
def test_declared_fields_hold_wrappers(tmp_path: Path, name: str) -> None:
    record = kept()
    record.save(tmp_path / name)

    with allow_classes(Int8):
        again = Kept.load(tmp_path / name)
        values = again.fields()

    for value in (
        values["plain"],
        values["maybe"],
        values["exact"],
        values["anything"][0],
        values["by_name"]["a"],
    ):
        assert_alike(value, wrapper())
    assert isinstance(values["parameter"], nn.Parameter)
    assert values["parameter"].requires_grad
    other = other_network()
    load_record(other, again.inner)
    assert torch.equal(other[0].weight.data_, wrapper().data_)  # type: ignore[union-attr,arg-type]


def test_a_field_that_declares_the_class_allows_it() -> None:
    again = Kept.load(kept().save())

    assert_alike(again.exact, wrapper())
    with pytest.raises(RecordMismatchError, match=r"by_name\.a: .*allow_classes"):
        _ = again.by_name


def test_a_field_of_another_class_refuses_a_wrapper_when_it_is_saved() -> None:
    class Strict(Record):
        value: Wrapped

    with pytest.raises(TypeError, match="value: found a tensor that wraps others"):
        Strict(value=wrapper()).save()  # type: ignore[arg-type]


def test_a_record_put_together_by_hand_takes_wrappers() -> None:
    net, other = network(), other_network()

    record = Record.from_state_dict(net.state_dict())
    load_record(other, record)

    assert torch.equal(other(X), net(X))
    with allow_classes(Int8):
        assert_alike(record.to_state_dict()["0.weight"], wrapper())


class Lying(Int8):
    """What its class makes of stored parts is something else."""

    made: Any = None

    @classmethod
    def __tensor_unflatten__(
        cls, inner: Any, context: Any, size: Any, stride: Any
    ) -> Any:
        return cls.made(inner, context)


def _raise(inner: Any, context: Any) -> Any:
    raise OSError("no such kernel")


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (_raise, "OSError: no such kernel"),
        (lambda inner, context: None, "it became a NoneType"),
        (lambda inner, context: inner["data_"], "it became a Tensor"),
        (
            lambda inner, context: Lying(
                inner["data_"][:2], inner["scale"][:2], *context.values()
            ),
            "stored shape",
        ),
        (
            lambda inner, context: Lying(
                inner["data_"], inner["scale"].half(), *context.values()
            ),
            "scale became a different tensor",
        ),
    ],
)
def test_whatever_a_class_makes_or_raises_is_a_record_error(
    monkeypatch: pytest.MonkeyPatch, made: Any, problem: str
) -> None:
    value = Lying.of(torch.ones(4, 3))
    state_dict, nest = save_record({"a.w": value}), save_record({"a": [value]})
    monkeypatch.setattr(Lying, "made", staticmethod(made))

    for data in (state_dict, nest):
        with (
            allow_classes(Lying),
            pytest.raises(RecordError, match=rf"a\.(w|0): .*{problem}"),
        ):
            open_record(data).to_data()


def _changed(node: Any, **form: Any) -> Any:
    """Return a record's tree with its wrapper's form changed."""
    if isinstance(node, Mapping):
        if "__tensor_class__" in node:
            return {**node, **form}
        return {key: _changed(item, **form) for key, item in node.items()}
    return [_changed(item, **form) for item in node] if isinstance(node, list) else node


@pytest.mark.parametrize(
    "form",
    [
        {"shape": [-1, 3]},
        {"shape": [4]},
        {"shape": [2**70, 3]},
        {"stride": "x"},
        {"tensors": ["data_", "data_"]},
        {"tensors": ["data_", "gone"]},
        {"tensors": []},
        {"context": {"scheme": {"__object__": ["os", "system", {}]}}},
        {"__tensor_class__": ["os", "system"]},
        {"__tensor_class__": 5},
    ],
)
@pytest.mark.parametrize("value", [{"a.w": wrapper()}, {"a": [wrapper()]}])
def test_a_damaged_form_is_a_record_error(value: Any, form: dict[str, Any]) -> None:
    record = open_record(save_record(value))
    damaged = FlatRecord.of(
        record.entries(),
        tree=_changed(record.tree, **form),
        type_name=record.type_name,
        typed=record.is_typed,
    )

    with allow_classes(Int8), pytest.raises(RecordError):
        damaged.to_data()


def test_wrappers_inside_of_wrappers_come_back() -> None:
    class Outer(Int8):
        def __tensor_flatten__(self) -> tuple[list[str], Any]:
            return ["inner"], None

        @classmethod
        def __tensor_unflatten__(
            cls, inner: Any, context: Any, size: Any, stride: Any
        ) -> Any:
            return outer(inner["inner"])

    def outer(inner: Int8) -> Outer:
        value = Outer(inner.data_, inner.scale, inner.scheme, inner.dtype)
        vars(value)["inner"] = inner
        return value

    for value in ({"w": outer(wrapper())}, {"w": [outer(wrapper())]}):
        with allow_classes(Int8, Outer):
            again = open_record(save_record(value)).to_data()["w"]

        again = again[0] if isinstance(again, list) else again
        assert type(again) is Outer
        assert_alike(vars(again)["inner"], wrapper())


def test_weights_of_torchao_in_state_dicts_and_nests_come_back(tmp_path: Path) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    for config in configs_of_torchao(quantization):
        nets = [nn.Sequential(nn.Linear(32, 32)) for _ in range(4)]
        for net in nets:
            quantization.quantize_(net, config)
        saved_net, *others = nets
        classes = {type(p.data) for p in saved_net.parameters()} - {torch.Tensor}
        save_record(saved_net.state_dict(), tmp_path / "a.mpk")
        save_record({"model": saved_net.state_dict()}, tmp_path / "b.mpk")

        load_record(others[0], tmp_path / "a.mpk")
        load_record(others[1], tmp_path / "b.mpk")
        with allow_classes(*classes):
            nest = open_record(tmp_path / "b.mpk").to_data()
        others[2].load_state_dict(nest["model"])

        values = torch.randn(5, 32)
        for net in others:
            assert torch.equal(net(values), saved_net(values))
