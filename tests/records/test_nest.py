"""Plain data and tensors, however they nest, in one record."""

import random
from collections import ChainMap, OrderedDict, defaultdict, deque
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

import burnish
from burnish.records import (
    Precision,
    Record,
    Recorder,
    RecordFormatError,
    open_record,
)
from burnish.records.record_view import plain_leaves

from ..plain_nests import keys, nests_of


class Point(NamedTuple):
    x: int
    y: int


FORMATS = ["mpk", "json"]


def stored(value: Any, form: str = "mpk") -> Any:
    return open_record(burnish.save_record(value, recorder=Recorder(form))).to_data()


def same(a: Any, b: Any) -> bool:
    """Return whether two nests are equal, types and bits included."""
    if type(a) is not type(b) and not isinstance(a, PurePath | nn.Parameter):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return [*a] == [*b] and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple | deque):
        return len(a) == len(b) and all(map(same, a, b))
    return repr(a) == repr(b) or a == b


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def trained() -> tuple[nn.Sequential, torch.optim.Optimizer]:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model(torch.randn(8, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("form", FORMATS)
def test_a_checkpoint_as_torch_save_takes_it_comes_back_the_same(form: str) -> None:
    model, optimizer = trained()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "rng": {
            "torch": torch.get_rng_state(),
            "python": random.getstate(),
            "numpy": np.random.get_state(),  # what users keep
        },
        "epoch": 3,
        "losses": [0.5, float("nan"), 2**70],
        "args": {"lr": 1e-3, "path": PurePath("data"), "dtype": torch.bfloat16},
    }

    value = stored(checkpoint, form)

    assert same(checkpoint, value)
    again, other_optimizer = trained()
    again.load_state_dict(value["model"])
    other_optimizer.load_state_dict(value["optimizer"])
    scheduler.load_state_dict(value["scheduler"])
    torch.set_rng_state(value["rng"]["torch"])
    random.setstate(value["rng"]["python"])
    assert value["model"]._metadata["1"]["version"] == 2


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.builds(lambda n: torch.arange(n), st.integers(0, 3))
    | st.builds(lambda n: np.arange(n), st.integers(0, 3))
    | st.sampled_from([torch.int8, torch.device("cpu"), torch.Size([2])])
)
nests = nests_of(leaves)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, nests, max_size=3) | st.lists(nests, max_size=3))
@example({None: {".": torch.ones(1)}})
def test_any_nest_of_plain_data_comes_back_as_what_it_was(value: Any) -> None:
    assert same(value, stored(value))


@pytest.mark.parametrize(
    "value", [torch.ones(3), [1, (2, b"x")], {}, (), 3, 2.5, True, {1}, {1: 2}]
)
def test_what_is_no_dict_is_stored_too(value: Any) -> None:
    assert same(value, stored(value))


def test_names_are_the_keys_whatever_the_dicts_are() -> None:
    model, optimizer = trained()
    value = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}

    record = open_record(burnish.save_record(value))

    assert "model.0.weight" in record
    assert "optimizer.state.0.exp_avg" in record
    assert torch.equal(record["model.0.weight"], value["model"]["0.weight"])
    assert record.optimizer["param_groups.0.lr"] == 1e-2


def test_a_nest_is_read_by_attributes_and_items_as_it_was_saved() -> None:
    model, optimizer = trained()
    value: dict[str, Any] = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "raw": {1: b"ab", "array": np.arange(3)},
        "sizes": [torch.Size([2, 3]), (4, {5})],
        "named": OrderedDict(a=OrderedDict(b=2.5)),
    }

    record = open_record(burnish.save_record(value))

    assert [*record.fields()] == [*value]
    assert torch.equal(record.model["0.weight"], value["model"]["0.weight"])
    assert record.optimizer.param_groups[0].lr == 1e-2
    assert record.optimizer.state["0"].step == 1
    assert record.raw["1"] == b"ab"
    assert record.raw.array.tolist() == [0, 1, 2]
    assert record.sizes[0] == torch.Size([2, 3])
    assert record.sizes[1][1] == {5}
    assert record["named.a.b"] == 2.5
    assert [*open_record(burnish.save_record([3, 4])).fields()] == ["0", "1"]


def test_what_stands_at_a_key_fills_a_module() -> None:
    actor, critic = net().state_dict(), net().state_dict()
    critic["0.weight"] = torch.full((4, 3), 7.0)
    record = open_record(
        burnish.save_record({"actor": actor, "nets": {"critic": critic}})
    )
    other = net()

    for part, state_dict in ((record.nets.critic, critic), (record.actor, actor)):
        burnish.load_record(other, part)
        assert same(dict(other.state_dict()), dict(state_dict))
    without = open_record(burnish.save_record({"a": {"b": 1}}))
    with pytest.raises(RecordFormatError, match="without a state dict"):
        burnish.load_record(other, without.a)


def test_a_tensor_at_two_places_is_stored_once_and_is_one_again() -> None:
    weight = torch.ones(1000)

    data = burnish.save_record({"a": weight, "b": [weight, {"c": weight[:10]}]})
    value = open_record(data).to_data()

    assert len(data) < 7000
    assert value["a"] is value["b"][0]


def test_keys_of_one_text_keep_their_tensors_apart() -> None:
    value = {"a": {1: torch.ones(1), "1": torch.zeros(1)}}

    assert same(value, stored(value))


def test_keys_of_one_text_keep_their_plain_values_apart() -> None:
    record = open_record(burnish.save_record({"a": {1: 2, "1": 3}, "b": {1: 4}}))

    assert dict(plain_leaves(record)) == {"a.0": 2, "a.1": 3, "b.1": 4}


@pytest.mark.parametrize("name", ["n.mpk", "n.mpk.zst", "n.json", "n.safetensors"])
def test_a_state_dict_is_the_record_of_a_module(tmp_path: Path, name: str) -> None:
    state_dict = net().state_dict()

    burnish.save_record(state_dict, tmp_path / name)

    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    burnish.load_record(other, tmp_path / name)
    value = open_record(tmp_path / name).to_data()
    assert same(dict(state_dict), dict(other.state_dict()))
    assert [*value] == [*state_dict]
    assert all(torch.equal(value[path], state_dict[path]) for path in value)


@pytest.mark.parametrize("name", ["n.mpk", "n.mpk.zst", "n.json"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": state, "optimizer": {"state": {0: torch.ones(2)}}},
        lambda state: {"epoch": 1, "nets": {"net": state}},
        lambda state: {"model": dict(state), "losses": [1.0]},
    ],
)
def test_a_module_finds_the_state_dict_under_the_usual_keys(
    tmp_path: Path, name: str, wrap: Any
) -> None:
    model = net()
    burnish.save_record(wrap(model.state_dict()), tmp_path / name)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    burnish.load_record(other, tmp_path / name)
    built = burnish.from_record(net, tmp_path / name)

    for module in (other, built):
        assert same(dict(model.state_dict()), dict(module.state_dict()))
    with open_record(tmp_path / name) as record:
        assert same(dict(record.to_state_dict()), dict(model.state_dict()))


def test_ties_and_tensors_in_extra_state_are_found_with_the_state_dict() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight
            self.seen: Any = None

        def get_extra_state(self) -> Any:
            return {"seen": torch.full((2,), 4.0), "raw": b"ab"}

        def set_extra_state(self, state: Any) -> None:
            self.seen = state

    model, other = Tied(), Tied()
    data = burnish.save_record({"model": model.state_dict(), "x": torch.ones(())})

    burnish.load_record(other, data)

    assert other.b.weight is other.a.weight
    assert torch.equal(other.a.weight, model.a.weight)
    assert torch.equal(other.seen["seen"], torch.full((2,), 4.0))
    assert other.seen["raw"] == b"ab"


def test_finding_the_state_dict_reads_no_other_tensor(tmp_path: Path) -> None:
    model = net()
    file = tmp_path / "n.mpk"
    value = {"model": model.state_dict(), "state": {0: {"v": torch.ones(999)}}}
    burnish.save_record(value, file)
    damaged = bytearray(file.read_bytes())
    start = damaged.find(torch.ones(999).numpy().tobytes())
    damaged[start + 100] ^= 1
    file.write_bytes(damaged)

    burnish.load_record(net(), file)

    with pytest.raises(burnish.records.RecordChecksumError, match=r"state\.0\.v"):
        open_record(file).to_data()


def test_files_without_a_state_dict_or_with_two_say_how_to_choose() -> None:
    none = burnish.save_record({"losses": [1.0]})
    two = burnish.save_record(
        {"critic": net().state_dict(), "actor": net().state_dict()}
    )
    optimizer = burnish.save_record(trained()[1].state_dict())

    with pytest.raises(RecordFormatError, match="without a state dict"):
        burnish.load_record(net(), none)
    with pytest.raises(RecordFormatError, match=r"to_data\(\)\['critic'\]"):
        burnish.load_record(net(), two)
    with pytest.raises(RecordFormatError, match=r"load_state_dict\(burnish.open_rec"):
        burnish.load_record(net(), optimizer)
    value = open_record(two).to_data()["critic"]
    burnish.load_record(net(), Record.from_state_dict(value))


class Opaque:
    pass


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            {"model": net()},
            r"model: a .*Sequential is not plain data.*its state_dict\(\)",
        ),
        ({"a": [Opaque()]}, r"a\.0: a .*Opaque is not plain data.*its parts"),
        ([lambda: 1], r"value\.0: a builtins\.function is not plain data"),
        ({"p": Point(1, 2)}, r"p: a .*Point is not plain data.*plain tuple or dict"),
        ({"r": Record.from_state_dict({})}, r"r: a .*FlatRecord is not plain data"),
        ({"c": 1j}, r"c: a builtins\.complex is not plain data"),
        ({1: Opaque()}, r"value\.1: a .*Opaque is not plain data"),
    ],
)
def test_objects_are_refused_by_path_and_nothing_is_written(
    value: Any, problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "old.mpk"
    file.write_bytes(b"before")

    with pytest.raises(TypeError, match=problem):
        burnish.save_record(value, file)

    assert file.read_bytes() == b"before"


def test_what_holds_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["a"] = value

    with pytest.raises(TypeError, match="nested deeper than 30 levels"):
        burnish.save_record(value)


def test_a_precision_of_parameters_asks_which_tensors_these_are() -> None:
    value = {"model": net().state_dict(), "m": torch.ones(2)}

    for precision in ("half", torch.bfloat16, Precision(param="half")):
        with pytest.raises(ValueError, match=r"Precision\(paths="):
            burnish.save_record(value, precision=precision)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=r"Precision\(tensor="):
        burnish.save_record(value, recorder="compact")

    some = Precision(paths={"model.**": "half"})
    dtypes = open_record(burnish.save_record(value, precision=some))
    assert dtypes["model.0.weight"].dtype == torch.float16
    assert dtypes["m"].dtype == torch.float32


def test_patterns_are_for_modules() -> None:
    with pytest.raises(ValueError, match="remove what should not be stored"):
        burnish.save_record({"a": {"b": torch.ones(1)}}, only="a.**")
    state_dict = net().state_dict()
    record = open_record(burnish.save_record(state_dict, only="0.**"))
    assert [*record] == ["0.weight", "0.bias"]


def test_records_and_parts_of_them_are_saved_as_they_are() -> None:
    class State(Record):
        step: int
        moment: torch.Tensor

    state = State(3, torch.ones(2))
    record = open_record(burnish.save_record(net()))

    assert burnish.save_record(state) == state.save()
    assert burnish.save_record(record) == record.save()
    assert [*open_record(burnish.save_record(record["0"]))] == ["weight", "bias"]
    data = state.to_data()
    assert (data["step"], data["moment"].tolist()) == (3, [1, 1])


def test_safetensors_holds_no_plain_data_and_says_what_does() -> None:
    with pytest.raises(ValueError, match=r"write it as \.mpk or \.json"):
        burnish.save_record({"a": 1}, recorder=Recorder("safetensors"))


def test_a_file_is_no_value_and_comes_second() -> None:
    wrong: Any = "net.mpk"
    with pytest.raises(TypeError, match="The module comes first"):
        burnish.save_record(wrong, net())  # type: ignore[call-overload]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1),
        np.float16("nan"),
        np.float64(0.1),
        np.bool_(True),
        np.int8(-3),
        np.uint64(2**64 - 1),
        {np.int64(1): [np.float32(2)]},
        deque([1, 2], maxlen=3),
        deque([[]]),
        defaultdict(set, {1: {2}}),
    ],
    ids=repr,
)
def test_a_value_comes_back_as_what_computes_alike(value: Any, form: str) -> None:
    for data in ([value], {"a": value}):
        restored = stored(data, form)

        (back,) = restored.values() if type(data) is dict else restored
        assert type(back) is type(value)
        assert repr(restored) == repr(data)


@pytest.mark.parametrize("value", [np.complex64(1), np.timedelta64(3, "s")])
def test_a_scalar_that_no_number_stands_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"a\.0: a numpy\.\w+ is not plain data"):
        burnish.save_record({"a": [value]})


def test_a_default_factory_that_no_file_tells_is_warned_of() -> None:
    data = {"a": {"counts": defaultdict(lambda: 1, x=2)}}

    with pytest.warns(
        UserWarning, match=r"a\.counts: a defaultdict will be read back as a"
    ):
        assert stored(data, "mpk") == {"a": {"counts": {"x": 2}}}


@pytest.mark.parametrize(
    ("value", "words", "expected"),
    [
        (bytearray(b"ab"), "bytearray will be read back as bytes", b"ab"),
        (memoryview(b"ab"), "memoryview will be read back as bytes", b"ab"),
        (ChainMap({"x": 1}), "ChainMap will be read back as a dict", {"x": 1}),
        (PureWindowsPath("x"), "WindowsPath will be read back as a path of", Path("x")),
    ],
)
def test_what_comes_back_as_another_class_is_warned_of(
    value: Any, words: str, expected: Any
) -> None:
    """A bytearray came back as bytes, which no program extends, without a word."""
    with pytest.warns(UserWarning, match=rf"a\.0: a .*{words}"):
        assert stored({"a": [value]}) == {"a": [expected]}


@pytest.mark.parametrize("form", FORMATS)
def test_a_tensor_that_is_trained_comes_back_trained(form: str) -> None:
    """One that is not is taken by an optimizer all the same, and stays as it is."""
    log_alpha = nn.Parameter(torch.zeros(2))
    data = {"log_alpha": log_alpha, "loss": log_alpha.sum(), "target": torch.ones(2)}

    back = stored({"sac": [data], "step": 3}, form)["sac"][0]

    assert [back[name].requires_grad for name in data] == [True, False, False]
    assert back["log_alpha"].is_leaf


@pytest.mark.parametrize("content", ['"int8",300', '"int8","3"', '"object",3', "3"])
def test_a_number_that_its_type_does_not_hold_is_no_plain_data(content: str) -> None:
    data = burnish.save_record({"a": np.int8(3)}, recorder=Recorder("json"))
    edited = data.replace(b'"int8",3', content.encode())
    assert edited != data

    with pytest.raises(RecordFormatError, match="cannot be read"):
        open_record(edited).to_data()
