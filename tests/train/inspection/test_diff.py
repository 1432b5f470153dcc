import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import AdamW, Group
from burnish.optim.schedulers import Cosine
from burnish.records import Record, RecordChecksumError, RecordError, open_record
from burnish.records.flat_record import FlatRecord
from burnish.records.tensors.dtypes import BY_NAME
from burnish.train import Checkpoints, Diff

from ...formats_of_records import RECORDERS


class Net(burnish.Module):
    def __init__(self, width: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.head = nn.Linear(width, 3)


def tuned(net: Net) -> Net:
    """Return a copy of ``net`` whose head moved, and layer 1 a little."""
    other = Net.from_record(net.into_record().clone())
    layer = other.layers[1]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        other.head.weight.mul_(2)
        layer.bias.add_(1e-3)
    return other


def test_it_tells_which_tensors_moved_the_most_first(tmp_path: Path) -> None:
    net = Net()
    net.save_record(tmp_path / "a.mpk")
    tuned(net).save_record(tmp_path / "b.safetensors")

    result = burnish.diff(tmp_path / "a.mpk", tmp_path / "b.safetensors")

    assert [c.path for c in result.changed] == ["head.weight", "layers.1.bias"]
    assert result.changed[0].distance.moved == pytest.approx(1)
    assert result.n_equal == 6
    assert not result.same
    assert "head.weight: moved 100.00%" in repr(result)
    assert "different values in 2 of 8 tensors" in result.summary()


@pytest.mark.parametrize("suffix", [".mpk.zst", ".json", ".safetensors"])
def test_one_model_in_two_formats_is_the_same(suffix: str, tmp_path: Path) -> None:
    net = Net()
    net.save_record(tmp_path / "a.mpk")
    net.save_record(tmp_path / f"b{suffix}")

    result = burnish.diff(tmp_path / "a.mpk", tmp_path / f"b{suffix}")

    assert result.same, result
    assert result.summary() == "the same"


def test_modules_records_and_state_dicts_are_compared_as_they_are_now() -> None:
    net = Net()

    assert burnish.diff(net, net.into_record()).same
    assert burnish.diff(net, net.state_dict()).same
    other = Net.from_record(net.into_record().clone())
    with torch.no_grad():
        other.head.bias.add_(1)
    assert [c.path for c in burnish.diff(net, other).changed] == ["head.bias"]


def test_what_only_one_has_and_other_shapes_are_listed() -> None:
    a = {"x": torch.ones(2), "old": torch.ones(5), "w": torch.ones(2, 3)}
    b = {"x": torch.ones(2), "new": torch.ones(7), "w": torch.ones(3, 2)}

    result = burnish.diff(a, b)

    assert (result.only_a, result.only_b) == (["old"], ["new"])
    assert result.reshaped == {"w": ((2, 3), (3, 2))}
    assert not result.same


def test_another_dtype_is_a_difference_unless_a_tolerance_is_given(
    tmp_path: Path,
) -> None:
    net = Net()
    net.save_record(tmp_path / "a.mpk")
    net.save_record(tmp_path / "b.mpk", precision="half")

    exact = burnish.diff(tmp_path / "a.mpk", tmp_path / "b.mpk")
    close = burnish.diff(tmp_path / "a.mpk", tmp_path / "b.mpk", rtol=1e-3, atol=1e-6)

    assert exact.retyped["head.bias"] == (torch.float32, torch.float16)
    assert not exact.same
    assert close.same
    assert "within the tolerance" in close.summary()


def test_a_renamed_parameter_is_recognized_by_its_id() -> None:
    net = Net()
    record = burnish.open_record(
        net.into_record().clone(), rename={"head": "classifier"}
    )

    result = burnish.diff(net, record)

    assert result.renamed == {
        "head.weight": "classifier.weight",
        "head.bias": "classifier.bias",
    }
    assert not result.only_a
    assert not result.only_b
    assert not result.changed


def test_a_renamed_tensor_of_a_stranger_is_recognized_by_its_values() -> None:
    values = torch.randn(3, 3)

    result = burnish.diff({"a": values, "x": torch.ones(3)}, {"b": values.clone()})

    assert result.renamed == {"a": "b"}
    assert result.only_a == ["x"]


def test_a_beginning_that_all_names_got_is_recognized_though_values_changed() -> None:
    net = Net()
    wrapped = {f"model.{k}": v + 1 for k, v in net.state_dict().items()}

    result = burnish.diff(net.state_dict(), wrapped)

    assert result.renamed["head.weight"] == "model.head.weight"
    assert len(result.changed) == 8
    assert not result.only_b


def test_hyperparameters_and_plain_values_are_compared(tmp_path: Path) -> None:
    a, b = Net(dropout=0.1), Net(dropout=0.5)

    result = burnish.diff(a, b)

    (change,) = result.hyperparameters
    assert (change.path, change.a, change.b) == ("dropout", 0.1, 0.5)
    burnish.save_record({"w": torch.ones(1), "epoch": 3}, tmp_path / "a.mpk")
    burnish.save_record({"w": torch.ones(1), "epoch": 4}, tmp_path / "b.mpk")
    (data,) = burnish.diff(tmp_path / "a.mpk", tmp_path / "b.mpk").data
    assert (data.path, data.a, data.b) == ("epoch", 3, 4)


def test_optimizers_are_compared_by_names_and_settings(tmp_path: Path) -> None:
    net = Net()
    for name, lr in (("a", 0.1), ("b", 0.2)):
        optim = AdamW().bind(net, lr=lr)
        net.head(torch.ones(1, 4)).sum().backward()
        optim.step()
        optim.save_record(tmp_path / f"{name}.mpk")

    result = burnish.diff(tmp_path / "a.mpk", tmp_path / "b.mpk")

    assert [c.path for c in result.hyperparameters] == ["groups.0.lr"]
    assert "head.weight.exp_avg" in {c.path for c in result.changed}


@pytest.mark.parametrize("is_ours", [True, False])
def test_parameters_in_other_groups_are_a_difference(
    is_ours: bool, tmp_path: Path
) -> None:
    net = Net()
    torch.stack([p.sum() for p in net.parameters()]).sum().backward()  # type: ignore[no-untyped-call]  # torch's has no types
    for name in ("a", "b"):
        spared, other = ("head.bias", "head.weight") if name == "a" else ("head.*", "")
        if is_ours:
            groups = [Group(spared, weight_decay=0.0)]
            optim: Any = AdamW().bind(net, lr=0.0, groups=groups)
        else:
            named = dict(net.named_parameters())
            picked = [named.pop("head.bias")]
            picked += [] if other else [named.pop("head.weight")]
            options: list[dict[str, Any]] = [
                {"params": [*named.values()]},
                {"params": picked, "lr": 0.0},
            ]
            optim = torch.optim.SGD(options, lr=0.0, momentum=0.9)
        optim.step()
        Checkpoints(tmp_path / name).save(1, model=net, optim=optim)

    result = burnish.diff(tmp_path / "a", tmp_path / "b")

    assert [c.path for c in result.hyperparameters] == ["optim.head.weight.group"]
    assert not result.same
    assert burnish.diff(tmp_path / "a", tmp_path / "a").same


def test_schedules_of_optimizers_are_compared(tmp_path: Path) -> None:
    net = Net()
    for name, n_steps in (("a", 100), ("b", 200)):
        optim = AdamW().bind(net, lr=Cosine(0.1, n_steps))
        optim.save_record(tmp_path / f"{name}.mpk")

    assert not burnish.diff(tmp_path / "a.mpk", tmp_path / "b.mpk").same
    assert burnish.diff(tmp_path / "a.mpk", tmp_path / "a.mpk").same


def test_parts_of_checkpoints_are_compared_by_name(tmp_path: Path) -> None:
    net = Net()
    runs = Checkpoints(tmp_path / "run")
    runs.save(1, model=net, rng=True)
    with torch.no_grad():
        net.head.bias.add_(1)
    runs.save(2, model=net, rng=True)
    net.save_record(tmp_path / "net.mpk")

    result = burnish.diff(runs[1], runs[2])

    assert [c.path for c in result.changed] == ["model.head.bias"]
    assert burnish.diff(tmp_path / "net.mpk", tmp_path / "run").same


def test_an_optimizer_is_compared_with_that_of_a_checkpoint(tmp_path: Path) -> None:
    net = Net()
    optim = AdamW().bind(net, lr=0.1)
    torch.stack([p.sum() for p in net.parameters()]).sum().backward()  # type: ignore[no-untyped-call]  # torch's has no types
    optim.step()
    of_torch = torch.optim.SGD(net.parameters(), lr=0.1)
    runs = Checkpoints(tmp_path / "run")
    runs.save(1, model=net, optim=optim, other=of_torch, rng=True)
    optim.save_record(tmp_path / "optim.mpk")

    for result in (
        burnish.diff(tmp_path / "optim.mpk", tmp_path / "run"),
        burnish.diff(tmp_path / "run", tmp_path / "optim.mpk"),
    ):
        assert result.same
        assert len(result.equal) == 2 * len([*net.parameters()])


def test_parts_in_which_nothing_differs_are_named(tmp_path: Path) -> None:
    net = Net()
    runs = Checkpoints(tmp_path / "run", keep_last=None)
    wide = nn.Linear(3, 2)
    rest: dict[str, Any] = {"table": {"a": 1}, "other": nn.Linear(2, 2)}
    runs.save(1, model=net, rng=True, **rest)
    torch.rand(1)
    runs.save(2, model=net, rng=True, **rest)
    runs.save(3, model=net, rng=True, table={"a": 2}, other=wide)
    runs.save(4, model=net, rng=True, table={"a": 2}, other=wide.half())

    result = burnish.diff(runs[1], runs[2])

    assert result.equal_parts == ["model", "table", "other"]
    assert "\n  the same: model, table, other\n" in repr(result)
    assert burnish.diff(runs[2], runs[3]).equal_parts == ["model", "rng"]
    assert burnish.diff(runs[3], runs[4]).equal_parts == ["model", "table", "rng"]
    assert not burnish.diff(runs[1], runs[1]).parts_text()
    assert burnish.diff(net, Net()).equal_parts == []


def test_what_stands_beside_a_state_dict_is_said_not_to_be_compared(
    tmp_path: Path,
) -> None:
    weights = Net().state_dict()
    for name, epoch in (("a", 3), ("b", 4)):
        stored = {"model": weights, "epoch": epoch, "optimizer": {"state": {}}}
        torch.save(stored, tmp_path / f"{name}.pt")
    burnish.save_record(weights, tmp_path / "c.mpk")

    for name in ("b.pt", "c.mpk"):
        result = burnish.diff(tmp_path / "a.pt", tmp_path / name)
        assert result.same
        assert result.not_compared == ["epoch", "optimizer"]
        text = "the weights are the same; not compared: epoch, optimizer"
        assert result.summary() == text


@pytest.mark.parametrize("atol", [None, 1.0])
def test_tensors_that_one_has_tied_are_a_difference_in_either_order(
    atol: float | None,
) -> None:
    w = torch.randn(3)
    tied, untied = {"x": w, "y": w, "z": w}, {"x": w, "y": w.clone(), "z": w.clone()}

    there, back = (
        burnish.diff(tied, untied, atol=atol),
        burnish.diff(untied, tied, atol=atol),
    )

    assert there.tied_a == back.tied_b == [("x", "y", "z")]
    assert there.equal == back.equal == ["x", "y", "z"]
    for result in (there, back, burnish.diff(untied, {"x": w, "y": w})):
        assert not result.only_b
        assert not result.same
        assert "tied only in" in result.summary()
    assert "tied only in A: x = y = z" in repr(there)
    assert burnish.diff(tied, dict(reversed(tied.items())), atol=atol).same


@pytest.mark.parametrize(
    ("a", "b", "is_same"),
    [
        ("a", "b", False),
        (0.1, 0.11, False),
        (0.1, 0.1 + 1e-12, True),
        (1, 1.0, True),
        (1234567890123456789, 1234567890123456788, False),
        (10**400, 1.0, False),
        (math.inf, 1, False),
        (True, 1, False),
        (None, 0, False),
    ],
)
def test_plain_values_beyond_the_tolerance_are_a_difference(
    a: object, b: object, is_same: bool
) -> None:
    result = burnish.diff({"v": a}, {"v": b}, rtol=0.0, atol=1e-9)

    assert len(result.data) == 1
    assert result.same is is_same


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"v": {}}, {}),
        ({"v": []}, {}),
        ({"v": {}}, {"v": {"x": 1}}),
        ({"v": [{}]}, {"v": []}),
        ({"v": {"x": {}}}, {"v": {"y": {}}}),
        ({"v": {1: 2, "1": 3}}, {"v": {1: 9, "1": 3}}),
    ],
)
def test_plain_data_that_is_empty_or_has_keys_of_one_text_is_compared(
    a: dict[str, object], b: dict[str, object]
) -> None:
    record_a, record_b = (
        burnish.open_record(burnish.save_record({"w": torch.ones(1), **data}))
        for data in (a, b)
    )

    assert not burnish.diff(record_a, record_b).same
    assert burnish.diff(record_a, record_a).same


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize("atol", [None, 0.0])
def test_tensors_of_every_dtype_are_compared(
    atol: float | None, tmp_path: Path
) -> None:
    values = torch.tensor([1, 0, 1], dtype=torch.uint8)
    dtypes = [*BY_NAME.values()]
    for name, turned in (("a", dtypes), ("b", dtypes[1:] + dtypes[:1])):
        tensors = {str(i): values.to(dtype) for i, dtype in enumerate(turned)}
        burnish.save_record(tensors, tmp_path / f"{name}.mpk")

    itself = burnish.diff(tmp_path / "a.mpk", tmp_path / "a.mpk", atol=atol)
    other = burnish.diff(tmp_path / "a.mpk", tmp_path / "b.mpk", atol=atol)

    assert itself.summary() == "the same"
    assert len(other.retyped) == len(dtypes)


@pytest.mark.filterwarnings("ignore:ComplexHalf support")
@pytest.mark.parametrize("atol", [None, 0.0])
@pytest.mark.parametrize("name", RECORDERS)
def test_one_value_that_differs_is_found_in_every_dtype_and_format(
    name: str, atol: float | None
) -> None:
    dtypes = [dtype for dtype in BY_NAME.values() if holds(name, dtype)]
    a, b = (
        {f"{d}/{n}": torch.full((n,), value).to(d) for d in dtypes for n in (1, 3)}
        for value in (1, 0)
    )

    result = burnish.diff(saved_in(name, a), saved_in("mpk", b), atol=atol)
    again = burnish.diff(saved_in(name, a), saved_in(name, b), atol=atol)

    assert {c.path for c in result.changed} == {c.path for c in again.changed} == {*a}


def holds(name: str, dtype: torch.dtype) -> bool:
    try:
        saved_in(name, {"a": torch.ones(1).to(dtype)})
    except RecordError:
        return False
    return True


def saved_in(name: str, tensors: dict[str, torch.Tensor]) -> FlatRecord:
    return open_record(RECORDERS[name].dumps(Record.from_state_dict(tensors)))


def test_damage_is_an_error_and_no_difference(tmp_path: Path) -> None:
    Record.from_state_dict({"w": torch.full((100,), 7.0)}).save(tmp_path / "a.mpk")
    data = bytearray((tmp_path / "a.mpk").read_bytes())
    data[data.index(b"\0\0\xe0\x40" * 9) + 2] ^= 1
    (tmp_path / "b.mpk").write_bytes(data)

    with pytest.raises(RecordChecksumError, match="w"):
        burnish.diff(tmp_path / "a.mpk", tmp_path / "b.mpk")


def test_progress_is_told_to_the_end() -> None:
    calls: list[tuple[int, int, str]] = []

    burnish.diff(Net(), Net(), progress=lambda *call: calls.append(call))

    assert calls[-1][:2] == (300, 300)


def test_a_tolerance_is_a_number_from_0_on() -> None:
    bad: Any
    for bad in (-1.0, math.nan, math.inf, "1e-3"):
        with pytest.raises(ValueError, match="rtol"):
            burnish.diff({}, {}, rtol=bad)


def test_the_repr_is_one_screen_and_never_raw() -> None:
    a = {f"\x1b[{i}m": torch.ones(1) for i in range(99)}
    b = {name: values + 1 for name, values in a.items()}

    text = repr(burnish.diff(a, b))

    assert isinstance(burnish.diff(a, b), Diff)
    assert len(text.splitlines()) <= 24
    assert "\x1b" not in text


def test_a_tensor_that_was_all_zeros_is_in_order_by_the_norm_of_its_layer() -> None:
    a = {"0.weight": torch.ones(4), "0.bias": torch.zeros(1), "1.bias": torch.zeros(1)}
    b = {"0.weight": torch.full((4,), 3.0), "0.bias": torch.ones(1)}

    result = burnish.diff(a, {**b, "1.bias": torch.ones(1)})

    assert [(change.path, change.moved) for change in result.changed] == [
        ("1.bias", math.inf),
        ("0.weight", 2.0),
        ("0.bias", 0.5),
    ]


def test_of_two_without_a_common_name_it_says_so_and_counts_nothing() -> None:
    result = burnish.diff({"a": torch.ones(2)}, {"b": torch.zeros(3)})

    assert result.summary().startswith("no tensor in common; 1 only in ")
    assert "of 0 tensors" not in repr(result)
