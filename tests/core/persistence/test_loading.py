import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import from_record, into_record, load_record, report_of
from burnish.records import (
    FlatRecord,
    PrecisionError,
    Record,
    RecordChecksumError,
    RecordError,
    RecordMismatchError,
    open_record,
)


def net(width: int = 4) -> Any:
    return nn.Sequential(
        nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2)
    )


def stored(module: nn.Module, **options: Any) -> bytes:
    data: bytes = burnish.save_record(module, **options)
    return data


def state(module: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(module.state_dict())


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


def record_of(**tensors: Tensor) -> FlatRecord:
    return Record.from_state_dict(tensors)


def test_a_load_tells_what_it_did() -> None:
    module, other = net(), net()

    report = load_record(other, stored(module))

    assert same(state(other), state(module))
    assert report.verified == "all"
    assert len(report.loaded) == 9
    assert not report.missing_keys
    assert not report.unexpected_keys


@pytest.mark.parametrize("is_training", [True, False])
def test_a_load_leaves_the_training_mode_and_a_built_module_is_in_training(
    is_training: bool,
) -> None:
    data = stored(net().train(not is_training))
    module = net().train(is_training)

    load_record(module, data)

    assert {child.training for child in module.modules()} == {is_training}
    assert from_record(net, data).training


def test_a_wrong_shape_changes_nothing_and_names_path_and_both_shapes() -> None:
    module = net(5)
    before = state(module)

    with pytest.raises(RecordMismatchError) as caught:
        load_record(module, stored(net(4)), strict=False)

    assert "0.weight: found shape (4, 3), expected (5, 3)" in caught.value.problems
    assert same(state(module), before)


def test_many_wrong_shapes_are_one_problem() -> None:
    old, new = (nn.ModuleList(nn.Linear(2, n) for _ in range(24)) for n in (2, 3))

    with pytest.raises(RecordMismatchError) as caught:
        load_record(new, stored(old))

    assert caught.value.problems == (
        "{0...23}.weight: found shape (2, 2), expected (3, 2)",
        "{0...23}.bias: found shape (2,), expected (3,)",
    )


def test_missing_entries_are_grouped_and_name_what_was_probably_meant() -> None:
    old: Any = nn.ModuleDict({"fc": nn.ModuleList(nn.Linear(2, 2) for _ in range(24))})
    new: Any = nn.ModuleDict({"fcs": nn.ModuleList(nn.Linear(2, 2) for _ in range(24))})

    with pytest.raises(RecordMismatchError) as caught:
        load_record(new, stored(old))

    assert caught.value.problems[0] == (
        "fcs.{0...23}.weight: expected parameter float32 (2, 2), found nothing. "
        "Did you mean 'fc.{0...23}.weight'?"
    )
    assert len(caught.value.problems) == 4


def test_patterns_allow_some_differences_and_not_others() -> None:
    old: Any = nn.ModuleDict({"body": nn.Linear(2, 2), "old": nn.Linear(2, 2)})
    new: Any = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    data = stored(old)

    with pytest.raises(RecordMismatchError, match=r"head\.weight"):
        load_record(new, data, allow_unexpected="old.**")
    with pytest.raises(RecordMismatchError, match=r"old\.weight"):
        load_record(new, data, allow_missing="head.**")
    report = load_record(new, data, allow_missing="head.**", allow_unexpected="old.**")

    assert report.missing == ["head.weight", "head.bias"]
    assert report.unexpected == ["old.weight", "old.bias"]
    assert torch.equal(new["body"].weight, old["body"].weight)
    assert load_record(new, data, strict=False).missing == report.missing


def test_a_part_that_was_saved_by_pattern_is_loaded_by_pattern() -> None:
    module, other = net(), net()
    before = state(other)

    report = load_record(other, stored(module, only="0.**"), allow_missing="**")

    assert report.loaded == ["0.weight", "0.bias"]
    assert torch.equal(other[0].weight, module[0].weight)
    assert torch.equal(other[2].weight, before["2.weight"])


def test_values_keep_the_dtype_of_the_module_and_the_report_says_so() -> None:
    module, other = net(), net().half()
    data = stored(module, precision="bfloat16")

    report = load_record(other, data)

    assert other[0].weight.dtype is torch.float16
    assert report.converted["0.weight"] == (torch.bfloat16, torch.float16)
    assert torch.equal(other[0].weight, module[0].weight.bfloat16().half())


def test_a_record_opened_with_a_dtype_changes_that_of_the_parameters() -> None:
    data = stored(net(), precision="half")

    as_stored = from_record(net, burnish.open_record(data, dtype="stored"))
    as_asked = from_record(net, burnish.open_record(data, dtype=torch.float64))
    living = net()
    parameters = list(living.parameters())
    load_record(living, burnish.open_record(data, dtype=torch.bfloat16))

    assert as_stored[0].weight.dtype is torch.float16
    assert as_stored[1].running_mean.dtype is torch.float32
    assert as_asked[2].bias.dtype is torch.float64
    assert living[0].weight.dtype is torch.bfloat16
    assert all(a is b for a, b in zip(parameters, living.parameters(), strict=True))


def test_a_value_too_large_for_the_module_is_refused_and_nothing_is_changed() -> None:
    module, small = nn.Linear(2, 2), nn.Linear(2, 2).half()
    with torch.no_grad():
        module.bias[1] = 1e6
    before = state(small)

    with pytest.raises(PrecisionError, match=r"bias: 1e\+06 does not fit float16"):
        load_record(small, stored(module))

    assert same(state(small), before)


@pytest.mark.parametrize(
    ("found", "expected", "fits"),
    [
        (torch.float64, torch.float32, True),
        (torch.float32, torch.float8_e4m3fn, True),
        (torch.int32, torch.int64, True),
        (torch.uint8, torch.int16, True),
        (torch.int64, torch.int32, False),
        (torch.int8, torch.uint8, False),
        (torch.bool, torch.int64, False),
        (torch.int64, torch.float32, False),
        (torch.float32, torch.int64, False),
        (torch.complex64, torch.float32, False),
        (torch.float32, torch.complex64, False),
        (torch.complex64, torch.complex128, False),
    ],
)
def test_floats_become_floats_and_integers_wider_ones_and_nothing_else(
    found: torch.dtype, expected: torch.dtype, fits: bool
) -> None:
    class Holds(nn.Module):
        value: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("value", torch.zeros(3, dtype=expected))

    record = record_of(value=torch.ones(3, dtype=found))

    for load in (
        lambda: load_record(Holds(), record),
        lambda: from_record(Holds, record),
    ):
        if fits:
            load()
        else:
            with pytest.raises(RecordMismatchError, match="value: found dtype"):
                load()


def test_a_damaged_file_is_found_before_anything_is_changed(tmp_path: Path) -> None:
    module, other = net(), net()
    data = bytearray(stored(module))
    position = bytes(data).rfind(module[2].bias.detach().numpy().tobytes())
    data[position] ^= 1
    file = tmp_path / "net.mpk"
    file.write_bytes(data)
    before = state(other)

    with pytest.raises(RecordChecksumError, match=r"2\.bias"):
        load_record(other, file)
    with pytest.raises(RecordChecksumError, match=r"2\.bias"):
        from_record(net, file)

    assert same(state(other), before)


class _Fails(Tensor):
    """A tensor that cannot be written to."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.copy_:
            raise RuntimeError("this tensor is read-only")
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]  # torch's


def test_a_copy_that_fails_midway_leaves_the_module_as_it_was() -> None:
    module, other = net(), net()
    other[2].bias.__class__ = _Fails
    before = {k: v.clone() for k, v in other.state_dict().items()}

    with pytest.raises(RuntimeError, match="read-only"):
        load_record(other, into_record(module))

    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_a_module_that_refuses_its_extra_state_leaves_all_as_it_was() -> None:
    class Counts(nn.Module):
        def __init__(self, count: int, fails: bool = False) -> None:
            super().__init__()
            self.count, self.fails = count, fails
            self.l = nn.Linear(2, 2)

        def get_extra_state(self) -> Any:
            return {"count": self.count}

        def set_extra_state(self, state: Any) -> None:
            self.count = state["count"]
            if self.fails and state["count"] == 7:
                raise ValueError("not seven")

    data = stored(nn.ModuleList([Counts(5), Counts(7)]))
    module: Any = nn.ModuleList([Counts(1), Counts(2, fails=True)])
    before = state(module[0].l)

    with pytest.raises(RecordMismatchError, match=r"1\._extra_state.*not seven"):
        load_record(module, data)

    assert [m.get_extra_state()["count"] for m in module] == [1, 2]
    assert same(state(module[0].l), before)


def test_two_values_for_one_tied_tensor_are_refused_unless_they_are_equal() -> None:
    class Ties(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

    values = {"a.weight": torch.ones(2, 2), "b.weight": torch.ones(2, 2)}
    different = {**values, "b.weight": torch.zeros(2, 2)}

    loaded = from_record(Ties, Record.from_state_dict(values))
    once = from_record(Ties, Record.from_state_dict({"b.weight": torch.ones(2, 2)}))

    assert loaded.a.weight is loaded.b.weight
    assert once.a.weight.sum() == 4
    with pytest.raises(
        RecordMismatchError, match=r"a\.weight and b\.weight: found two"
    ):
        from_record(Ties, Record.from_state_dict(different))


def test_what_is_tied_in_the_file_alone_gets_memory_of_its_own() -> None:
    tied: Any = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    tied["b"].weight = tied["a"].weight

    loaded: Any = from_record(
        lambda: nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}),
        stored(tied),
    )
    with torch.no_grad():
        loaded["a"].weight.zero_()

    assert torch.equal(loaded["b"].weight, tied["a"].weight)


def test_two_modules_from_one_opened_file_share_no_memory(tmp_path: Path) -> None:
    module = nn.Linear(64, 64)
    burnish.save_record(module, tmp_path / "net.mpk")

    with burnish.open_record(tmp_path / "net.mpk") as record:
        first = from_record(lambda: nn.Linear(64, 64), record)
        with torch.no_grad():
            first.weight.zero_()
        second = from_record(lambda: nn.Linear(64, 64), record)
        read = record["weight"]

    assert torch.equal(second.weight, module.weight)
    assert torch.equal(read, module.weight)
    assert not first.weight.any()


def test_checkpoints_of_wrapped_modules_are_loaded_into_bare_ones() -> None:
    module, other = net(), net()
    checkpoint = {f"module._orig_mod.{k}": v for k, v in module.state_dict().items()}

    report = load_record(other, Record.from_state_dict(checkpoint))

    assert same(state(other), state(module))
    assert report.renamed["module._orig_mod.0.weight"] == "0.weight"


def test_a_typed_record_is_no_record_of_a_module() -> None:
    class State(Record):
        step: int
        m: Tensor

    with pytest.raises(RecordMismatchError, match=r"a record of type .*State"):
        load_record(nn.Linear(2, 2), State(1, torch.ones(2)))


def test_old_buffers_that_are_not_persistent_are_never_an_error() -> None:
    class WithMask(nn.Module):
        mask: Tensor

        def __init__(self, size: int | None) -> None:
            super().__init__()
            self.l = nn.Linear(2, 2)
            if size:
                self.register_buffer("mask", torch.ones(size), persistent=False)

    with_one_more = load_record(WithMask(None), stored(WithMask(3)))
    with_one_less = load_record(WithMask(3), stored(WithMask(None)))

    assert with_one_more.loaded == ["l.weight", "l.bias"]
    assert with_one_less.loaded == ["l.weight", "l.bias"]


def test_missing_extra_state_is_an_error_like_any_other() -> None:
    class Counts(nn.Module):
        def get_extra_state(self) -> Any:
            return 1

        def set_extra_state(self, state: Any) -> None:
            pass

    record = into_record(nn.ModuleDict({"a": nn.Identity()}))

    with pytest.raises(
        RecordMismatchError, match=r"a\._extra_state: expected extra state"
    ):
        load_record(nn.ModuleDict({"a": Counts()}), record)


def test_saving_to_none_is_an_error_and_to_nothing_gives_bytes() -> None:
    with pytest.raises(TypeError, match="file is None"):
        burnish.save_record(net(), None)  # type: ignore[call-overload]  # the error under test

    assert isinstance(burnish.save_record(net()), bytes)


def test_a_module_that_was_not_built_from_a_record_has_no_report() -> None:
    assert report_of(net()) is None


def test_every_error_of_a_load_is_a_record_error() -> None:
    assert issubclass(RecordMismatchError, RecordError)


def test_optimizers_and_views_follow_a_load_into_a_living_module() -> None:
    module = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    view = module.weight.data

    load_record(module, into_record(nn.Linear(2, 2)).clone())
    module(torch.ones(1, 2)).sum().backward()
    before = module.weight.detach().clone()
    optimizer.step()

    assert torch.equal(view, before - 1)


class Keeping(nn.Module):
    """A module with tensors in its extra state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.kept: Any = {"a": torch.arange(3), "b": [torch.arange(2), 4]}

    def get_extra_state(self) -> Any:
        return self.kept

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


def test_extra_state_with_tensors_is_renamed_with_its_module() -> None:
    net = nn.ModuleDict({"old": Keeping()})
    other: Any = nn.ModuleDict({"new": Keeping()})
    other["new"].kept = None

    burnish.load_record(
        other, open_record(burnish.save_record(net), rename={"old": "new"})
    )

    kept: Any = other["new"].kept
    assert kept["a"].tolist() == [0, 1, 2]
    assert kept["b"][0].tolist() == [0, 1]
    both = burnish.save_record(nn.ModuleDict({"a": Keeping(), "b": Keeping()}))
    with pytest.raises(RecordMismatchError, match="both renamed"):
        open_record(both, rename={"a": "b"})
