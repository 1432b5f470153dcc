"""Tensors that wrap others, stored as what they are made of."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.wrapper_tensor import Int8, Scheme, configs_of_torchao
from torch import nn

import burnish
from burnish.core import allow_classes, from_record
from burnish.records import RecordError, RecordMismatchError, open_record
from burnish.records.entries.entries import with_parts

FORMATS = ["net.mpk", "net.mpk.zst", "net.json", "net.safetensors"]


class Net(burnish.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, width), nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.second(self.first(x).relu())
        return output


SCHEME = Scheme()


def quantized(net: Net, scheme: Any = SCHEME) -> Net:
    weight = Int8.of(net.first.weight.detach(), scheme)
    net.first.weight = nn.Parameter(weight, requires_grad=False)
    return net


X = torch.randn(5, 3)


def test_a_wrapper_is_stored_as_its_inner_tensors_and_its_form() -> None:
    net = quantized(Net())

    record = open_record(net.save_record(precision="half"))

    dtypes = {entry.path: entry.dtype for entry in record.entries()}
    assert dtypes["first.weight.data_"] == torch.int8
    assert dtypes["first.weight.scale"] == torch.float32
    assert dtypes["second.weight"] == torch.float16
    form = record.extra()["first.weight"]
    assert form["shape"] == [4, 3]
    assert form["__tensor_class__"][1] == "Int8"


@pytest.mark.parametrize("name", FORMATS)
def test_a_living_module_with_wrappers_is_filled(tmp_path: Path, name: str) -> None:
    net, other = quantized(Net()), quantized(Net())
    weight = other.first.weight
    net.save_record(tmp_path / name)

    report = other.load_record(tmp_path / name)

    assert report.missing == report.unexpected == []
    assert other.first.weight is weight
    assert torch.equal(other(X), net(X))


@pytest.mark.parametrize("name", FORMATS)
def test_a_new_module_gets_wrappers_of_allowed_classes(
    tmp_path: Path, name: str
) -> None:
    net = quantized(Net())
    net.save_record(tmp_path / name)

    with allow_classes(Int8):
        again = Net.from_record(tmp_path / name)
    built = from_record(lambda: quantized(Net()), tmp_path / name)

    for module in (again, built):
        assert type(module.first.weight.data) is Int8
        assert not module.first.weight.requires_grad
        assert torch.equal(module(X), net(X))
    scheme = again.first.weight.scheme  # type: ignore[attr-defined]
    assert scheme == Scheme()


def test_without_leave_the_class_is_named_and_nothing_is_built() -> None:
    data = quantized(Net()).save_record()
    net = Net()
    before = net.first.weight.detach().clone()

    with pytest.raises(RecordMismatchError, match=r"allow_classes\(Int8\)"):
        Net.from_record(data)
    with pytest.raises(RecordMismatchError, match=r"first\.weight: stored as a .*Int8"):
        net.load_record(data)
    with allow_classes(Int8), pytest.raises(RecordMismatchError, match="plain tensor"):
        net.load_record(data)
    assert torch.equal(net.first.weight, before)


def test_a_form_that_differs_is_a_mismatch_and_changes_nothing() -> None:
    data = quantized(Net(), Scheme(4)).save_record()
    net = quantized(Net())
    before = net(X)

    with pytest.raises(RecordMismatchError, match=r"first\.weight: stored context"):
        net.load_record(data)

    assert torch.equal(net(X), before)


def test_a_plain_record_does_not_fill_a_wrapper() -> None:
    with pytest.raises(RecordMismatchError, match=r"first\.weight\.data_: expected"):
        quantized(Net()).load_record(Net().save_record())


def damaged(record: Any, **form: Any) -> Any:
    node = {**record.tree["first.weight"], **form}
    return with_parts(record, tree={"first.weight": node})


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"shape": [5, 3]}, r"the stored data does not describe a tensor|stored shape"),
        ({"shape": "x"}, "not the form of a tensor"),
        ({"tensors": ["data_"]}, "does not describe a tensor.*KeyError"),
        ({"tensors": ["data_", "gone"]}, "gone is missing"),
        ({"context": {}}, "does not describe a tensor.*KeyError"),
        (
            {"context": {"dtype": {"__dtype__": "torch.nothing"}}},
            "does not describe a tensor",
        ),
        (
            {"context": {"scheme": {"__object__": ["os", "system", {}]}}},
            r"os\.system is not an enum or dataclass of tests",
        ),
        (
            {"context": {"scheme": {"__object__": [__name__, "Net", {"width": 3}]}}},
            "Net is not an enum or dataclass",
        ),
        ({"stride": [True, 1]}, "not the form of a tensor"),
    ],
)
def test_a_damaged_form_is_a_record_error(form: dict[str, Any], problem: str) -> None:
    record = damaged(quantized(Net()).into_record(), **form)

    with allow_classes(Int8), pytest.raises(RecordError, match=problem):
        Net.from_record(record)


def test_inner_tensors_of_another_dtype_are_refused_before_the_class_sees_them() -> (
    None
):
    net = quantized(Net())
    record = net.into_record()
    wrong = [
        entry.with_tensor(torch.zeros(4, 1, dtype=torch.float16))
        if entry.path == "first.weight.scale"
        else entry
        for entry in record.entries()
    ]
    other = quantized(Net())
    other.first.weight.scale = torch.zeros(4, 2)  # type: ignore[attr-defined]

    with pytest.raises(RecordMismatchError, match=r"first\.weight\.scale"):
        other.load_record(with_parts(record, entries=wrong))


def test_a_context_that_is_no_plain_data_is_refused_with_its_path() -> None:
    with pytest.raises(RecordError, match=r"first\.weight: the context of its Int8"):
        quantized(Net(), object()).save_record()


def test_weights_of_torchao_are_saved_and_loaded(tmp_path: Path) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    for config in configs_of_torchao(quantization):
        net, other = Net(32), Net(32)
        for module in (net, other):
            quantization.quantize_(module, config)
        classes = {type(p.data) for p in net.parameters()} - {torch.Tensor}
        burnish.save_record(net, tmp_path / "net.mpk")

        burnish.load_record(other, tmp_path / "net.mpk")
        with allow_classes(*classes):
            again = Net.from_record(tmp_path / "net.mpk")

        for module in (other, again):
            assert torch.equal(module(X), net(X))


@pytest.mark.parametrize(
    "choice",
    [
        {"only": "first.weight"},
        {"only": "*.weight"},
        {"only": "first.weight.**"},
        {"only": lambda entry: entry.path.startswith("first.weight")},
        {"exclude": ["*.bias", "second.**"]},
    ],
)
def test_a_wrapper_that_is_chosen_is_stored_and_read_with_all_that_it_is_made_of(
    choice: Any,
) -> None:
    net: Any = quantized(Net())

    chosen = open_record(net.save_record(**choice))
    read = open_record(net.save_record(), **choice)

    for record in (chosen, read):
        other: Any = quantized(Net())
        report = other.load_record(record, strict=False)
        assert {"first.weight.data_", "first.weight.scale"} <= set(report.loaded)
        assert torch.equal(
            other.first.weight.dequantized(), net.first.weight.dequantized()
        )


@pytest.mark.parametrize("name", ["first.weight", "**.weight", "first.{weight,x}"])
def test_a_wrapper_that_is_left_out_is_left_out_with_all_that_it_is_made_of(
    name: str,
) -> None:
    net = quantized(Net())
    other: Any = quantized(Net())
    before = other.first.weight.dequantized()

    assert not [p for p in open_record(net.save_record(exclude=name)) if name in p]
    report = other.load_record(open_record(net.save_record(), exclude=name))

    assert "first.weight.data_" in report.missing
    assert torch.equal(other.first.weight.dequantized(), before)


def test_a_wrapper_may_be_missing_by_its_path() -> None:
    net, other = quantized(Net()), quantized(Net())
    data = net.save_record(exclude="first.weight")

    report = other.load_record(data, allow_missing="first.weight")

    assert "first.weight.scale" in report.missing


def test_a_wrapper_is_not_stored_without_a_part_of_it() -> None:
    record = open_record(quantized(Net()).save_record(exclude="first.weight.scale"))

    assert "first.weight" not in record.extra()
    assert "first.weight.data_" in record


def test_a_record_shows_a_wrapper_under_its_name_if_its_class_is_allowed(
    tmp_path: Path,
) -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    values = Int8.of(torch.randn(3, 4))
    net[0].weight = nn.Parameter(values, requires_grad=False)
    burnish.save_record(net, tmp_path / "net.mpk")
    record = open_record(tmp_path / "net.mpk")

    with allow_classes(Int8):
        shown = [record["0.weight"], record[0].weight, record["0"]["weight"]]

    assert all(type(tensor) is Int8 for tensor in shown)
    assert torch.equal(shown[0].dequantized(), values.dequantized())
    with pytest.raises(RecordMismatchError, match=r"allow_classes\(Int8\)"):
        _ = record["0.weight"]
