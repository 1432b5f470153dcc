"""Parts of every kind come back the same, or are refused by name."""

import dataclasses
import functools
import os
from argparse import Namespace
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from torch import nn

import burnish
from burnish.optim import LBFGS, Adam, AdamW, Lion
from burnish.optim.schedulers import Cosine
from burnish.records import (
    Record,
    RecordFormatError,
    RecordMismatchError,
)
from burnish.train import Checkpoints

from .runs import net

torch.set_num_threads(1)


def test_our_optimizer_comes_back_with_its_hyperparameters(tmp_path: Path) -> None:
    model = net()
    optim = AdamW(weight_decay=0.3).bind(model, lr=0.25)
    model(torch.randn(3, 4)).sum().backward()
    optim.step()
    Checkpoints(tmp_path).save(1, model=model, optim=optim)
    other = net()
    resumed = AdamW().bind(other, lr=1.0)

    Checkpoints(tmp_path).restore(model=other, optim=resumed)

    assert resumed.param_groups[0]["lr"] == 0.25
    assert resumed.param_groups[0]["weight_decay"] == 0.3
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        for key, value in optim.state[mine].items():
            stored = resumed.state[theirs][key]
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(stored))


def test_a_schedule_comes_back_where_bind_was_given_a_number(tmp_path: Path) -> None:
    model = net()
    Checkpoints(tmp_path).save(1, optim=AdamW().bind(model, lr=Cosine(0.1, 10)))
    optim = AdamW().bind(model, lr=0.5)

    with pytest.warns(RuntimeWarning, match=r"optim: group 0: lr was Cosine\(.*0\.5"):
        Checkpoints(tmp_path).restore(optim=optim)

    assert isinstance(optim.param_groups[0]["schedule"], Cosine)


def test_our_optimizers_state_is_named_where_one_of_torch_stands(
    tmp_path: Path,
) -> None:
    model = net()
    Checkpoints(tmp_path).save(1, optim=AdamW().bind(model, lr=0.1))

    with pytest.raises(
        RecordMismatchError,
        match=r"(?s)of Burnish, AdamW\(\)\.bind\(\.\.\.\), which does not fit a "
        r"torch\.optim\.adamw\.AdamW\n.*start this one from scratch",
    ):
        Checkpoints(tmp_path).restore(optim=torch.optim.AdamW(model.parameters()))


def test_a_state_of_torch_that_does_not_fit_our_optimizer_is_told_with_its_file(
    tmp_path: Path,
) -> None:
    model = net()
    adam = torch.optim.AdamW(model.parameters())
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    adam.step()
    checkpoint = Checkpoints(tmp_path).save(1, optim=adam)

    with pytest.raises(RecordMismatchError, match=r"but that of Lion has") as caught:
        Checkpoints(tmp_path).restore(optim=Lion().bind(model, lr=0.1))

    assert caught.value.file == str(checkpoint.file("optim"))
    assert "do not load this file, to start from scratch" in caught.value.cure


SCHEDULERS: list[Any] = [
    lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.1),
    lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 5], 0.1),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
    lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=50),
    lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, total_iters=3),
            torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        ],
        [3],
    ),
    lambda o: torch.optim.lr_scheduler.ChainedScheduler(
        [torch.optim.lr_scheduler.ExponentialLR(o, 0.9)], optimizer=o
    ),
    lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, 4),
]


# Older torch advances its own schedules in the way that it warns of.
@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")
@pytest.mark.parametrize("make", SCHEDULERS)
def test_every_scheduler_of_torch_goes_on_where_it_stood(
    make: Any, tmp_path: Path
) -> None:
    def run(schedule: Any, n_steps: int) -> list[float]:
        rates: list[float] = []
        for _ in range(n_steps):
            schedule.optimizer.step()
            schedule.step()
            rates.append(schedule.optimizer.param_groups[0]["lr"])
        return rates

    optim = torch.optim.SGD(net().parameters(), lr=0.1, momentum=0.9)
    schedule = make(optim)
    schedule.optimizer = optim
    run(schedule, 4)
    Checkpoints(tmp_path).save(4, optim=optim, schedule=schedule)
    expected = run(schedule, 6)
    other = torch.optim.SGD(net().parameters(), lr=0.1, momentum=0.9)
    resumed = make(other)
    resumed.optimizer = other

    Checkpoints(tmp_path).restore(optim=other, schedule=resumed)

    assert run(resumed, 6) == expected


def test_plain_data_of_every_kind_comes_back_the_same(tmp_path: Path) -> None:
    from collections import Counter, OrderedDict, defaultdict, deque

    data: dict[Any, Any] = {
        "numbers": [1, -0.0, float("inf"), 2**70, True, None],
        3: {"nested": (1, (2, [3])), "$odd": "kept", "": b"\x00\xff"},
        (1, "two"): torch.tensor([1.5], dtype=torch.bfloat16),
        "sets": [{1, 2}, frozenset({3})],
        "counters": [Counter("aab"), OrderedDict(z=1, a=2), deque([1])],
        "torch": [torch.float16, torch.device("cpu"), torch.Size([2, 3])],
        "defaults": defaultdict(list, {"a": [1]}),
        "scalar": torch.tensor(4),
        "array": np.arange(6).reshape(2, 3),
        "$dict": {"$set": [1]},
    }

    Checkpoints(tmp_path).save(1, data=data)
    back = Checkpoints(tmp_path)["latest"]["data"]

    assert [*back] == [*data]
    assert torch.equal(back.pop((1, "two")), data.pop((1, "two")))
    assert torch.equal(back.pop("scalar"), data.pop("scalar"))
    assert np.array_equal(back.pop("array"), data.pop("array"))
    assert repr(back) == repr(data)


def test_a_part_that_is_no_data_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "run")
    checkpoints.save(1, model=net())

    with pytest.raises(TypeError, match=r"extra\.hooks\.0: a builtins\.function is no"):
        checkpoints.save(2, model=net(), extra={"hooks": [lambda: 1]})

    assert checkpoints.steps == [1]
    assert os.listdir(tmp_path / "run") == ["step000000000001"]


@pytest.mark.parametrize("kind", [lambda part: {"actor": part}, lambda part: [part]])
def test_an_object_with_a_state_inside_of_data_is_told_to_be_a_part(
    kind: Any, tmp_path: Path
) -> None:
    for part in (net(), AdamW().bind(net(), lr=0.1)):
        with pytest.raises(TypeError, match=r"store its state_dict\(\), or save it as"):
            Checkpoints(tmp_path).save(1, agent=kind(part))


@pytest.mark.parametrize("optimizer", [AdamW(weight_decay=0.5), Lion()])
def test_an_optimizer_that_is_not_bound_is_saved_with_a_warning_that_it_has_no_state(
    optimizer: Any, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)

    with pytest.warns(
        RuntimeWarning, match=r"optim: found an? .* not bound .*\.bind\("
    ):
        checkpoints.save(1, optim=optimizer)

    assert checkpoints[1]["optim"] == optimizer
    bound = optimizer.bind(net(), lr=0.1)
    with pytest.raises(RecordMismatchError, match=r"(?s)no state.*was not bound"):
        checkpoints.restore(optim=bound)


def test_lbfgs_that_is_not_bound_is_refused_with_the_call_that_binds(
    tmp_path: Path,
) -> None:
    with pytest.raises(TypeError, match=r"optim: .*LBFGS\(\)\.bind\("):
        Checkpoints(tmp_path).save(1, optim=LBFGS())


@dataclasses.dataclass
class Setting:
    width: int = 4


class Form(pydantic.BaseModel):
    width: int = 4


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (nn.GELU, "store its name"),
        (torch.relu, "store its name"),
        (functools.partial(nn.Linear, bias=False), "store the name of its function"),
        (Setting(), r"store dataclasses.asdict\(value\)"),
        (Form(), r"store value.model_dump\(\)"),
    ],
)
def test_code_and_objects_of_fields_are_told_the_plain_data_of_them(
    value: object, advice: str, tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match=rf"run\.what: .*; {advice}"):
        Checkpoints(tmp_path).save(1, run={"what": value})


DATA = torch.utils.data.TensorDataset(torch.ones(4))


@pytest.mark.parametrize(
    ("part", "advice"),
    [
        (torch.utils.data.DataLoader(DATA), "burnish.train.ResumableLoader"),
        (torch.utils.data.SequentialSampler(DATA), "burnish.train.ResumableSampler"),
    ],
)
def test_data_that_tells_no_place_is_told_of_that_which_does(
    part: object, advice: str, tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match=rf"loader: .*; use a {advice}"):
        Checkpoints(tmp_path).save(1, loader=part)


def test_a_module_of_another_shape_is_refused_with_the_path_and_told_of_a_new_folder(
    tmp_path: Path,
) -> None:
    Checkpoints(tmp_path).save(1, model=net(4))

    with pytest.raises(RecordMismatchError, match=r"0\.weight") as error:
        Checkpoints(tmp_path).restore(model=net(8))

    assert "belong to another run, use another folder for yours" in str(error.value)


def test_a_pickle_in_the_place_of_a_part_is_never_run(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    saved = Checkpoints(tmp_path).save(1, model=net())
    Path(saved.file("model")).write_bytes(pickle.dumps(Bomb()))

    with pytest.raises(RecordFormatError, match=r"model\.mpk"):
        Checkpoints(tmp_path).restore(model=net())
    assert not (tmp_path / "exploded").exists()


def test_names_that_are_no_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="under another name"):
        Checkpoints(tmp_path).save(1, rng=torch.Generator())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # wrong on purpose
    for name in ("a/b", "", ".."):
        parts: dict[str, Any] = {name: [1]}
        with pytest.raises(ValueError, match="part"):
            Checkpoints(tmp_path).save(1, **parts)
    for step in (-1, 1.5, True, "x"):
        with pytest.raises(ValueError, match="integer of at least 0"):
            Checkpoints(tmp_path).save(step, model=net())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # wrong on purpose
    assert Checkpoints(tmp_path).steps == []


def test_records_and_containers_are_filled_in_place(tmp_path: Path) -> None:
    class Progress(Record):
        epoch: int
        seen: list[int]

    progress, history = Progress(3, [1, 2]), {"loss": [0.5]}
    Checkpoints(tmp_path).save(1, progress=progress, history=history)
    other, emptied = Progress(0, []), dict[str, list[float]]()

    Checkpoints(tmp_path).restore(progress=other, history=emptied)

    assert (other.epoch, other.seen) == (3, [1, 2])
    assert emptied == history


def test_a_deque_and_a_set_are_filled_in_place(tmp_path: Path) -> None:
    replay, seen = deque([(1, 0.5), (2, 0.25), (3, 0.0)], maxlen=3), {"a", "b"}
    Checkpoints(tmp_path).save(1, replay=replay, seen=seen)
    other, shorter, emptied = deque[Any](maxlen=3), deque[Any](maxlen=2), set[str]()

    Checkpoints(tmp_path).restore(replay=other, seen=emptied)
    Checkpoints(tmp_path).restore(replay=shorter)

    assert other == replay
    assert emptied == seen
    assert shorter == deque([(2, 0.25), (3, 0.0)])  # it holds as many as it can


def test_the_state_of_another_optimizer_of_torch_is_refused(tmp_path: Path) -> None:
    model = net()
    adam = torch.optim.AdamW(model.parameters())
    Checkpoints(tmp_path).save(1, optim=adam)
    sgd = torch.optim.SGD(model.parameters(), lr=0.25)

    with pytest.raises(RecordMismatchError, match="of AdamW, expected that of SGD"):
        Checkpoints(tmp_path).restore(optim=sgd)

    assert sgd.param_groups[0]["lr"] == 0.25
    assert Checkpoints(tmp_path).restore(optim=torch.optim.AdamW(model.parameters()))


@pytest.mark.parametrize("names", [Namespace(lr=1), SimpleNamespace(lr=1)])
def test_an_object_of_names_is_told_that_vars_is_a_dict(
    names: object, tmp_path: Path
) -> None:
    advice = r"store vars\(value\), the dict of what a \w*Namespace holds"

    with pytest.raises(TypeError, match=advice):
        Checkpoints(tmp_path).save(1, args=names)
    with pytest.raises(TypeError, match=advice):
        burnish.save_record({"args": names}, tmp_path / "a.mpk")


class Renamed(torch.optim.SGD):
    """An optimizer of the user's."""


def test_a_state_without_what_the_groups_have_is_refused(tmp_path: Path) -> None:
    model = net()
    Checkpoints(tmp_path).save(1, optim=torch.optim.AdamW(model.parameters()))
    optim = Renamed(model.parameters(), lr=0.25)

    with (
        pytest.warns(RuntimeWarning, match="of AdamW, expected that of Renamed"),
        pytest.raises(RecordMismatchError, match=r"without .*momentum.* of Renamed"),
    ):
        Checkpoints(tmp_path).restore(optim=optim)

    assert optim.param_groups[0]["lr"] == 0.25


TWINS: list[Any] = [
    (lambda p: torch.optim.Adam(p), lambda p: torch.optim.AdamW(p), "Adam"),
    (lambda p: torch.optim.AdamW(p), lambda p: torch.optim.Adamax(p), "AdamW"),
    *[
        (
            lambda p, first=first: first(torch.optim.SGD(p, lr=1.0)),
            lambda p, second=second: second(torch.optim.SGD(p, lr=1.0)),
            name,
        )
        for first, second, name in [
            (
                lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
                lambda o: torch.optim.lr_scheduler.StepLR(o, 2),
                "CosineAnnealingLR",
            ),
            (
                lambda o: torch.optim.lr_scheduler.StepLR(o, 2),
                lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
                "StepLR",
            ),
        ]
    ],
]


@pytest.mark.parametrize(("first", "second", "name"), TWINS)
def test_a_state_that_a_class_of_torch_would_take_from_another_is_refused(
    first: Any, second: Any, name: str, tmp_path: Path
) -> None:
    model = net()
    part = second(model.parameters())
    before = str(part.state_dict())
    Checkpoints(tmp_path).save(1, part=first(model.parameters()))

    with pytest.raises(RecordMismatchError, match=f"part: found the state of {name}, "):
        Checkpoints(tmp_path).restore(part=part)

    assert str(part.state_dict()) == before


def test_the_state_of_adam_of_torch_is_none_of_our_adamw(tmp_path: Path) -> None:
    model = net()
    Checkpoints(tmp_path).save(1, optim=torch.optim.Adam(model.parameters()))

    with pytest.raises(RecordMismatchError, match="of Adam, expected that of AdamW"):
        Checkpoints(tmp_path).restore(optim=AdamW().bind(model, lr=0.1))
    assert Checkpoints(tmp_path).restore(optim=Adam().bind(model, lr=0.1)) == 1


def test_torchs_lbfgs_goes_on_with_ours(tmp_path: Path) -> None:
    model = net()
    Checkpoints(tmp_path).save(1, optim=torch.optim.LBFGS(model.parameters()))

    assert Checkpoints(tmp_path).restore(optim=LBFGS().bind(model, lr=0.1)) == 1


class Average:
    def __init__(self) -> None:
        self.value = 0

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.value = state_dict["value"]


class MovingAverage(Average):
    """A class that was renamed, or another one: nobody knows."""


def test_the_state_of_a_class_of_another_name_is_taken_over_and_warned_of(
    tmp_path: Path,
) -> None:
    average, other = Average(), MovingAverage()
    average.value = 3
    Checkpoints(tmp_path).save(1, mean=average)

    with pytest.warns(RuntimeWarning, match="of Average, expected that of MovingAver"):
        Checkpoints(tmp_path).restore(mean=other)

    assert other.value == 3


class Counted(torch.optim.SGD):
    """Keeps a counter beside the states of its parameters, as MADGRAD does."""

    def step(self, closure: Any = None) -> Any:
        state: Any = self.state
        state["k"] = state["k"] + 1 if "k" in state else torch.ones(1)
        return super().step(closure)


def test_what_an_optimizer_keeps_beside_states_of_parameters_comes_back(
    tmp_path: Path,
) -> None:
    """It was an AttributeError from inside, and nothing was saved."""
    module = nn.Linear(2, 2)
    optimizer = Counted(module.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        module(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    Checkpoints(tmp_path).save(1, model=module, optimizer=optimizer)
    other = nn.Linear(2, 2)
    restored = Counted(other.parameters(), lr=0.1, momentum=0.9)

    Checkpoints(tmp_path).restore(model=other, optimizer=restored)

    state: Any = restored.state
    assert state["k"].tolist() == [2.0]
    before, after = optimizer.state[module.weight], restored.state[other.weight]
    assert torch.equal(before["momentum_buffer"], after["momentum_buffer"])
