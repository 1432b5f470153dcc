"""The text of a state is read back before it counts as a checkpoint."""

import os
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from burnish import module
from burnish.config import ConfigError
from burnish.records import Record
from burnish.train import Blob, HyperState, Lazy

from .states import Config, Mode, Net, Old, advance, weights

torch.set_num_threads(1)


class Means(Record):
    w: torch.Tensor


class Pair(NamedTuple):
    value: torch.Tensor
    n: int


@module
class Other(nn.Module):
    def __init__(self, height: int) -> None:
        super().__init__()
        self.layer = nn.Linear(height, height)


@dataclass
class Loose:
    step: int
    net: Net
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    table: Blob[list[int]] = field(default_factory=list[int])
    by_mode: dict[Mode, torch.Tensor] = field(default_factory=dict[Mode, torch.Tensor])
    text: Blob[str] = ""
    other: list[Net] = field(default_factory=list[Net])
    recent: deque[float] = field(default_factory=deque[float])


@dataclass
class LooseLazy(Lazy):
    step: int
    net: Net
    extra: dict[str, Any] = field(default_factory=dict[str, Any])


def open_run(folder: Path, cls: Any = Loose, **options: Any) -> HyperState[Any, Any]:
    return HyperState.load(
        Config, cls, lambda _: cls(0, Net(2)), checkpoint_dir=folder, **options
    )


UNREADABLE = [
    ("extra", {"old": Old(3)}, r"extra\.old: .*Old.*declares? "),
    ("extra", {"old": [Old(3)]}, r"extra\.old\[0\]: .*Old"),
    ("extra", {"z": 3 + 4j}, r"extra\.z: .*would be read as the str '3\+4j'"),
    ("extra", {"s": {1, 2}}, r"extra\.s: the set .*would be read as the list"),
    ("extra", {"m": Mode.FAST}, r"extra\.m: .*would be read as the str 'fast'"),
    ("extra", {"c": Counter("aab")}, r"extra\.c: the Counter .*as the dict.*Blob\["),
    (
        "extra",
        {"c": [Pair(torch.ones(1), 2)]},
        r"extra\.c\[0\]: the Pair .*as the tuple",
    ),
    ("extra", {"s": torch.Size([1])}, r"extra\.s: the Size .*as the tuple"),
    ("recent", deque([1.0], maxlen=3), r"recent: the deque .*maxlen=3.*Blob\["),
    ("extra", {"t": "<blob:x.mpk>"}, r"extra\.t: .*would be read as an object"),
    ("extra", {"r": Means(w=torch.ones(2))}, r"extra\.r: the Means"),
    ("other", [Other(2)], r"other\[0\]: the Other .*Net, is used"),
    ("table", None, r"table: cannot be read back: .*\| None"),
    ("by_mode", {Mode.FAST: torch.zeros(2)}, r"by_mode: .*would be read as"),
]


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize(("name", "value", "message"), UNREADABLE)
def test_what_would_not_come_back_is_refused_in_the_call_and_nothing_is_pruned(
    tmp_path: Path, name: str, value: Any, message: str, wait: bool
) -> None:
    run = open_run(tmp_path, keep_last=1, wait=wait)
    advance(run, 1)
    run.wait()
    setattr(run.state, name, value)

    with pytest.raises(ConfigError, match=message):
        advance(run, 2)

    run.wait()
    assert os.listdir(tmp_path) == ["latest-step000000000001"]
    assert open_run(tmp_path).state.step == 1
    setattr(run.state, name, getattr(Loose(0, run.state.net), name))
    advance(run, 3)
    run.wait()
    assert open_run(tmp_path).state.step == 3


def test_plain_data_tensors_and_blobs_of_text_come_back_from_untyped_places(
    tmp_path: Path,
) -> None:
    run = open_run(tmp_path)
    extra: dict[str, Any] = {
        "a": [1, 2.5, None],
        "b": {"c": "x"},
        "t": (1, 2),
        "w": torch.ones(2),
    }
    run.state.extra, run.state.text = extra, "long"

    advance(run, 1)
    again = open_run(tmp_path).state

    assert torch.equal(again.extra.pop("w"), extra.pop("w"))
    assert again.extra == extra
    assert again.text == "long"


def test_containers_of_objects_come_back_as_the_classes_that_fields_declare(
    tmp_path: Path,
) -> None:
    @dataclass
    class Containers:
        step: int
        pair: Pair
        averages: OrderedDict[str, torch.Tensor]
        recent: Blob[deque[float]]
        state_dict: dict[str, Any]

    def begin(_: Config) -> Containers:
        averages = OrderedDict(a=torch.ones(1))
        recent = deque([0.5], maxlen=3)
        return Containers(
            0, Pair(torch.ones(2), 3), averages, recent, OrderedDict(averages)
        )

    advance(HyperState.load(Config, Containers, begin, checkpoint_dir=tmp_path), 1)
    state = HyperState.load(Config, Containers, begin, checkpoint_dir=tmp_path).state

    assert isinstance(state.pair, Pair)
    assert isinstance(state.averages, OrderedDict)
    assert state.recent.maxlen == 3
    assert type(state.state_dict) is dict


def test_fields_of_lazy_states_are_read_back_and_waiting_ones_stay_unread(
    tmp_path: Path,
) -> None:
    run = open_run(tmp_path, LooseLazy)
    run.state.extra = {"w": torch.ones(2)}
    advance(run, 1)
    again = open_run(tmp_path, LooseLazy)
    advance(again, 2)
    assert set(vars(again.state)["_burnish_pending"]) == {"net", "extra"}

    again.state.extra["old"] = Old(3)
    with pytest.raises(ConfigError, match=r"extra\.old"):
        advance(again, 3)

    last = open_run(tmp_path, LooseLazy).state
    assert last.step == 2
    assert weights(last.net) == weights(run.state.net)


def test_reading_back_constructs_no_state_around_the_live_objects(
    tmp_path: Path,
) -> None:
    constructed: list[int] = []

    @dataclass
    class Counting:
        step: int
        net: Net

        def __post_init__(self) -> None:
            constructed.append(self.step)

    run = open_run(tmp_path, Counting)
    advance(run, 1)

    assert constructed == [0]


@dataclass
class Texts:
    step: int = 0
    note: str = "<blob:state.net.mpk>"
    others: list[str] = field(default_factory=lambda: ["<BLOB>", "<blob:pickle>"])


def test_texts_that_look_like_markers_come_back_in_fields_of_texts(
    tmp_path: Path,
) -> None:
    run = HyperState.load(Config, Texts, lambda _: Texts(), checkpoint_dir=tmp_path)
    run.state.note = "<blob:x>"
    run.save()

    again = HyperState.load(Config, Texts, lambda _: Texts(), checkpoint_dir=tmp_path)

    assert again.state == Texts(note="<blob:x>")
