"""Numbers of a configuration that follow schedules."""

from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from burnish.config import ConfigError, Hparam, Hparams, Schedule, dumps, load, loads
from burnish.config.schedule import at, schedule_of

from .configs import LIN, Leaf


@dataclass(frozen=True)
class Middle:
    leaf: Leaf = field(default_factory=Leaf)


@dataclass(frozen=True, slots=True)
class Deep:
    middle: Middle = Middle()
    xs: list[float] = field(default_factory=list)
    leaves: tuple[Leaf, ...] = ()
    by_name: dict[str, float] = field(default_factory=dict)
    maybe: int | None = None
    name: str = ""
    either: str | float = 0.0


class Frozen(Hparams, frozen=True):
    lr: float = Hparam(default=0.1, gt=0)


@dataclass
class State:
    step: int = 0
    progress: dict[str, Any] = field(default_factory=dict)


def test_a_state_without_the_key_is_told_which() -> None:
    config = loads(Leaf, '(lr: "stepp: 1@0 0@9")')

    with pytest.raises(ValueError, match=r"stepp: 1@0 0@9.*Did you mean 'step'"):
        at(config, State())


def test_an_int_is_cut_off_and_stays_an_int() -> None:
    config = at(loads(Leaf, '(n: "step: 10@0 lin 0@100")'), State(55))

    assert config.n == 4
    assert isinstance(config.n, int)


def test_schedules_work_at_any_depth_and_in_containers() -> None:
    text = f"""(middle: (leaf: (lr: "{LIN}")), xs: [1, "{LIN}"], maybe: "{LIN}",
        leaves: [(lr: "{LIN}"), ()], by_name: {{"a": "{LIN}"}})"""
    config = loads(Deep, text)

    later = at(config, State(500))

    assert config.middle.leaf.lr == 1.0
    assert later.middle.leaf.lr == pytest.approx(0.55)
    assert later.xs == pytest.approx([1, 0.55])
    assert [leaf.lr for leaf in later.leaves] == pytest.approx([0.55, 0.1])
    assert later.by_name["a"] == pytest.approx(0.55)
    assert later.maybe == 0


@dataclass
class Containers:
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=2))
    by_name: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    ordered: OrderedDict[str, float] = field(default_factory=OrderedDict)


def test_a_container_of_schedules_stays_what_it_is() -> None:
    numbers = loads(Leaf, f'(lr: "{LIN}")').lr
    config = Containers(
        deque([1.0, numbers], maxlen=2),
        defaultdict(float, a=numbers),
        OrderedDict(b=numbers),
    )

    later = at(config, State(5))

    rate = at(loads(Leaf, f'(lr: "{LIN}")'), State(5)).lr
    assert rate != numbers
    assert later == Containers(
        deque([1.0, rate]), defaultdict(float, a=rate), OrderedDict(b=rate)
    )
    assert later.rates.maxlen == 2
    assert later.by_name["another"] == 0.0
    assert type(later.ordered) is OrderedDict
    assert config.rates[1] == numbers, "the config itself stays as it was"


def test_a_schedule_in_a_deque_is_written_and_read() -> None:
    @dataclass
    class Rates:
        rates: deque[float] = field(default_factory=deque)

    config = loads(Rates, f'(rates: ["{LIN}", 2])')

    assert loads(Rates, dumps(config)) == config
    assert at(config, State(5)).rates[0] != config.rates[0]


def test_an_override_gives_a_schedule_and_takes_it_away() -> None:
    scheduled = load(Leaf, None, [f"lr={LIN}"])
    constant = loads(Leaf, dumps(scheduled), overrides=["lr=0.5"])

    assert at(scheduled, State(1000)).lr == pytest.approx(0.1)
    assert at(constant, State(1000)).lr == 0.5
    assert schedule_of(constant.lr) is None


@pytest.mark.parametrize("format", ["json", "yaml", "ron"])
def test_a_dump_keeps_the_text_and_a_resumed_run_goes_on(format: str) -> None:
    text = "step: 0.1@0 0.0@100"
    running = at(load(Leaf, None, [f"lr={text}"]), State(50))

    again = loads(Leaf, dumps(running, format), format)

    assert text in dumps(running, format)
    assert at(again, State(50)).lr == pytest.approx(0.05)


def test_frozen_configs_are_evaluated_into_new_ones() -> None:
    config = Frozen(lr=LIN)  # type: ignore[arg-type]  # a schedule's text

    later = at(config, {"step": 1000})

    assert config.lr == 1.0
    assert later.lr == pytest.approx(0.1)
    assert later.dumps() == config.dumps()


def test_the_key_may_be_a_path_into_the_state() -> None:
    config = load(Leaf, None, ["lr=progress.epoch: 1@0 0@10"])

    assert at(config, State(progress={"epoch": 5})).lr == 0.5


def test_text_with_an_at_sign_in_a_text_field_is_text() -> None:
    config = loads(Deep, '(name: "me: a@b", either: "x: 1@0")')

    assert (config.name, config.either) == ("me: a@b", "x: 1@0")


def test_a_config_without_schedules_is_returned_as_it_is() -> None:
    config = Deep()

    assert at(config, State(5)) is config


def test_hparams_take_schedules_wherever_they_take_numbers() -> None:
    class Net(Hparams):
        lr: float = Hparam(default=0.1, gt=0)
        inner: Frozen = Frozen()
        xs: list[float] = Hparam(default_factory=list)

    made = Net(lr=LIN, inner={"lr": LIN}, xs=[LIN])  # type: ignore[arg-type, list-item]  # text
    copied = Net(**made)
    assigned = Net()
    assigned.lr = LIN  # type: ignore[assignment]  # a schedule's text

    assert schedule_of(made.lr) == schedule_of(copied.lr) == schedule_of(assigned.lr)
    assert schedule_of(copied.xs[0]) == schedule_of(copied.inner.lr) is not None
    assert (assigned.lr, made.lr * 2) == (1.0, 2.0)
    assert Net.from_dict(made.to_dict()) == made
    with pytest.raises(ValueError, match="lr"):
        Net(lr="step: 0@0 1@9")  # type: ignore[arg-type]  # not above 0 at the start


def test_schedules_work_in_the_chosen_class_of_a_union() -> None:
    class Sgd(Hparams):
        lr: float = 0.1

    class Adam(Hparams):
        lr: float = 0.1
        beta: float = 0.9

    class Train(Hparams):
        optim: Sgd | Adam = Adam()
        optims: list[Sgd | Adam] = Hparam(default_factory=list)

    train = load(Train, None, [f"optim.lr={LIN}", f'optims=[Adam(beta: "{LIN}")]'])

    assert at(train, State(1000)).optim == Adam(lr=0.1)
    assert schedule_of(train.optims[0]["beta"]) is not None
    assert loads(Train, dumps(train)) == train


def test_two_schedules_of_one_value_are_not_equal() -> None:
    a = load(Leaf, None, ["lr=step: 1@0 0@9"])
    b = load(Leaf, None, ["lr=step: 1@0 0@10"])

    assert a != b
    assert a == load(Leaf, None, ["lr=step: 1@0 0@9"])
    assert a.lr == 1.0


@pytest.mark.parametrize("number", [np.int64(5), np.float32(5), torch.tensor(5)])
def test_a_state_may_hold_numbers_of_numpy_and_tensors(number: Any) -> None:
    assert Schedule.parse("step: 0@0 1@10").at({"step": number}) == 0.5


@pytest.mark.parametrize(
    "value", [np.arange(2), torch.ones(2), "5", None, float("nan")]
)
def test_a_state_that_holds_no_number_is_told_what_is_expected(value: Any) -> None:
    with pytest.raises(ValueError, match=r"'step' is .*; expected one number"):
        Schedule.parse("step: 0@0 1@10").at({"step": value})


@pytest.mark.parametrize("name", ["²", "9", "٣", "x"])
def test_an_item_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(ValueError, match="the state has no"):
        Schedule.parse(f"xs.{name}: 0@0 1@10").at({"xs": [1, 2]})


def test_a_schedule_in_a_set_is_refused_by_path() -> None:
    @dataclass
    class WithSet:
        rates: set[float]

    with pytest.raises(ConfigError, match="rates: a schedule cannot be in a set"):
        loads(WithSet, '{"rates": [1.0, "step: 1@0 2@10"]}', "json")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step: 0@0 lin 100@100", list(range(101))),
        ("step: 100@0 lin 0@100", list(range(100, -1, -1))),
        ("step: 1@0 exp 1024@10", [2**n for n in range(11)]),
        ("step: 0@0 lin 3@10", [3 * n // 10 for n in range(11)]),
        ("step: 0@-50 cos 100@50", [50]),
    ],
)
def test_a_whole_number_on_the_way_is_that_number(
    text: str, expected: list[int]
) -> None:
    class Run(Hparams):
        n: int = 0

    run = load(Run, None, [f"n={text}"])

    assert run.n == expected[0]
    found = [at(run, {"step": step}).n for step in range(len(expected))]
    assert found == expected
