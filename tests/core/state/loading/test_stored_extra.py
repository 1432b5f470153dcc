from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import into_record, load_record, save_record
from burnish.records import (
    Record,
    Recorder,
    RecordError,
    RecordFormatError,
    RecordMismatchError,
)


class Quantized(nn.Module):
    """Keeps what it computes from its weights when it is given its extra state."""

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.scale, self.refuses = 1.0, refuses
        self.cache: Tensor = self.computed()

    def computed(self) -> Tensor:
        return self.lin.weight.detach() * self.scale

    def get_extra_state(self) -> Any:
        return {"scale": self.scale}

    def set_extra_state(self, state: Any) -> None:
        self.scale = state["scale"]
        self.cache = self.computed()
        if self.refuses and self.scale == 7.0:
            raise ValueError("not seven")


class Keeping(nn.Module):
    """Keeps any value as its extra state."""

    value: Any = None

    def get_extra_state(self) -> Any:
        return self.value

    def set_extra_state(self, state: Any) -> None:
        self.value = state


def torch_state_dict_of(module: nn.Module) -> dict[str, Any]:
    return Record.from_state_dict(module.state_dict()).to_state_dict()


def trained() -> Quantized:
    module = Quantized()
    module.scale = 7.0
    module.cache = module.computed()
    return module


def test_extra_state_is_handed_over_when_the_module_has_its_values() -> None:
    source, target = trained(), Quantized()

    burnish.load_record(target, burnish.save_record(source))

    assert torch.equal(target.cache, source.cache)


def test_extra_state_of_a_new_module_is_handed_over_when_it_has_its_values() -> None:
    source = trained()

    new = burnish.from_record(Quantized, burnish.save_record(source))

    assert torch.equal(new.cache, source.cache)


def test_a_module_that_refuses_computes_anew_from_the_values_that_it_had() -> None:
    data = burnish.save_record(nn.ModuleList([trained(), trained()]))
    modules: Any = nn.ModuleList([Quantized(), Quantized(refuses=True)])
    before = [(m.scale, m.cache, m.lin.weight.detach().clone()) for m in modules]

    with pytest.raises(RecordMismatchError, match=r"1\._extra_state.*not seven"):
        burnish.load_record(modules, data)

    for module, (scale, cache, weight) in zip(modules, before, strict=True):
        assert module.scale == scale
        assert torch.equal(module.cache, cache)
        assert torch.equal(module.lin.weight, weight)


@pytest.mark.parametrize("form", ["mpk", "json"])
@pytest.mark.parametrize(
    "value",
    [
        Counter("aab"),
        OrderedDict(b=1, a=2),
        defaultdict(list, {"a": [1]}),
        deque([1, 2], maxlen=3),
        {1, 2},
        (1, torch.Size([2])),
        np.float32(0.1),
        torch.float16,
        Path("a"),
        {1: "a", "$Counter": 2},
        {"$Counter": {"a": 1}},
        {"Counter": {"a": 1}},
        [OrderedDict(a={"$set": [1]}), {2: {3}}],
    ],
    ids=str,
)
def test_extra_state_comes_back_as_what_it_was(value: Any, form: str) -> None:
    source, target = Keeping(), Keeping()
    source.value = value

    burnish.load_record(target, burnish.save_record(source, recorder=Recorder(form)))
    again = torch_state_dict_of(source)["_extra_state"]

    for kept in (target.value, again):
        assert type(kept) is type(value)
        assert repr(kept) == repr(value)


@pytest.mark.parametrize(
    ("kind", "content"), [("numpy", "[1]"), ("dtype", '"x"'), ("none", "[1]")]
)
def test_extra_state_of_no_kind_is_told_with_its_path(kind: str, content: str) -> None:
    module = Keeping()
    module.value = {"a": {1}}
    text = burnish.save_record(module, recorder=Recorder("json")).decode()
    broken = text.replace('["set",[1]]', f'["{kind}",{content}]')
    assert broken != text

    with pytest.raises(RecordFormatError, match=rf"_extra_state.*{kind}|a: a {kind}"):
        burnish.load_record(Keeping(), broken.encode())


def test_extra_state_of_a_class_of_one_s_own_is_told() -> None:
    class Words(list[str]):
        pass

    module = Keeping()
    module.value = Words(["a"])

    with pytest.warns(
        UserWarning, match=r"_extra_state: a .*Words will be read back as a l"
    ):
        burnish.save_record(module)


def test_live_extra_state_on_memory_that_is_filled_is_read_before() -> None:
    class Last(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((2,), value))
            self.last: Tensor = self.weight.detach()

        def get_extra_state(self) -> Any:
            return {"last": self.last}

        def set_extra_state(self, state: Any) -> None:
            self.last = state["last"]

    first, second = Last(1.0), Last(2.0)
    first.last = second.weight.detach()

    load_record(second, into_record(first))

    assert second.last.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("name", ["net.pt", "net.mpk", "net.safetensors", "net.json"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_extra_state_that_is_a_tensor_is_found_in_a_state_dict(
    name: str, prefix: str, tmp_path: Path
) -> None:
    net: Any = nn.Sequential(Keeping(), nn.Linear(2, 2))
    value = net[0].value = torch.arange(5, dtype=torch.uint8)
    state_dict = {prefix + path: item for path, item in net.state_dict().items()}
    if name.endswith(".pt"):
        torch.save(state_dict, tmp_path / name)
    else:
        burnish.save_record(state_dict, tmp_path / name)

    other: Any = nn.Sequential(Keeping(), nn.Linear(2, 2))
    report = load_record(other, tmp_path / name)
    built: Any = burnish.from_record(
        lambda: nn.Sequential(Keeping(), nn.Linear(2, 2)), tmp_path / name
    )

    assert report.loaded == ["1.weight", "1.bias", "0._extra_state"]
    for loaded in (other, built):
        assert torch.equal(loaded[0].value, value)
    other[0].value.zero_()
    assert value.any()


def test_extra_state_of_a_tensor_that_nobody_has_is_a_problem_as_ever() -> None:
    state_dict = {"_extra_state": torch.ones(2), "weight": torch.ones(2, 2)}

    with pytest.raises(RecordMismatchError, match="_extra_state: found tensor"):
        load_record(nn.Linear(2, 2, bias=False), Record.from_state_dict(state_dict))


class Packed(nn.Linear):
    """Packs its weights as torch's quantized layers do."""

    def _save_to_state_dict(
        self, destination: Any, prefix: str, keep_vars: bool
    ) -> None:
        packed = torch.quantize_per_tensor(self.weight.detach(), 0.1, 0, torch.qint8)
        destination[f"{prefix}scale"] = torch.tensor(0.1)
        destination[f"{prefix}packed"] = (packed, None)


class Scaled(nn.Linear):
    """Has a tensor that only its state dict tells of."""

    def _save_to_state_dict(
        self, destination: Any, prefix: str, keep_vars: bool
    ) -> None:
        destination[f"{prefix}scale"] = torch.tensor(0.1)


@pytest.mark.filterwarnings("ignore:.*quantiz")  # torch is about to drop them
def test_a_state_dict_is_the_cure_only_where_a_record_can_hold_it() -> None:
    packed, scaled = Packed(2, 2), Scaled(2, 2)

    with pytest.raises(RecordError, match=r"^scale: Packed .* quantized .* torch.save"):
        save_record(packed)
    with pytest.raises(RecordError, match="from_state_dict"):
        save_record(scaled)

    assert Record.from_state_dict(scaled.state_dict()).save()
    with pytest.raises(RecordError, match="qint8"):
        Record.from_state_dict(packed.state_dict()).save()
