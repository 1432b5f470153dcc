"""What groups of now take over of the groups that were stored."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from burnish.optim import (
    SGD,
    Adam,
    AdamW,
    Group,
    Muon,
    OptimizerAdaptor,
    RMSprop,
)
from burnish.optim.schedulers import (
    Composed,
    Cosine,
    Exponential,
    Linear,
    Plateau,
    Sequential,
    Warmup,
)
from burnish.records import (
    RecordMismatchError,
)

from ..nets import drive, equal, layers


def test_hyperparameters_are_kept_and_reported_or_restored() -> None:
    net = layers()
    saved = AdamW(weight_decay=0.3).bind(net, lr=1e-2).into_record()

    keeping, restoring = (AdamW().bind(net, lr=1e-4) for _ in "ab")
    report = keeping.load_record(saved)
    restoring.load_record(saved, hyperparameters="restore")

    assert keeping.param_groups[0]["lr"] == 1e-4
    assert "group 0: weight_decay is 0.01, and was 0.3 when saved" in report.changed
    assert restoring.param_groups[0]["lr"] == 1e-2
    assert restoring.param_groups[0]["weight_decay"] == 0.3
    with pytest.raises(ValueError, match="'keep' or 'restore'"):
        keeping.load_record(saved, hyperparameters="both")  # type: ignore[arg-type]  # the point


def test_groups_with_optimizers_of_their_own_resume_to_the_bit() -> None:
    groups = [
        Group("2.weight", optimizer=Muon(), lr=0.02),
        Group("**.bias", optimizer=SGD(momentum=0.5)),
    ]
    nets = [layers(), layers()]
    first, second = (AdamW().bind(net, lr=1e-2, groups=groups) for net in nets)
    drive(first, nets[0], *range(5))
    drive(second, nets[1], *range(2))

    third = AdamW().bind(nets[1], lr=1e-2, groups=groups)
    third.load_record(second.save_record())
    drive(third, nets[1], *range(2, 5))

    assert equal(*nets)


@pytest.mark.parametrize("through", ["record", "state_dict"])
def test_schedules_given_as_lr_are_saved_and_resumed(through: str) -> None:
    def bound(net: nn.Module) -> Any:
        groups = [Group("**.bias", lr=Linear(0.1, 0.01, 4))]
        return AdamW().bind(net, lr=Cosine(0.1, 10), groups=groups)

    nets = [layers(), layers()]
    first, second = (bound(net) for net in nets)
    drive(first, nets[0], *range(5))
    drive(second, nets[1], *range(2))

    third = bound(nets[1])
    if through == "record":
        third.load_record(second.save_record())
    else:
        third.load_state_dict(second.state_dict())
    drive(third, nets[1], *range(2, 5))

    assert equal(*nets)
    assert [g["lr"] for g in third.param_groups] == [
        g["lr"] for g in first.param_groups
    ]


@pytest.mark.parametrize("hyperparameters", ["keep", "restore"])
def test_the_rate_that_is_seen_is_that_of_the_last_step_after_a_load_too(
    hyperparameters: Any,
) -> None:
    net = layers()
    saved = AdamW().bind(net, lr=Warmup([Cosine(0.1, 10)], n_warmup=4))
    drive(saved, net, *range(2))
    rate = saved.param_groups[0]["lr"]
    again = AdamW().bind(net, lr=Warmup([Cosine(0.1, 10)], n_warmup=4))

    again.load_record(saved.save_record(), hyperparameters=hyperparameters)

    assert again.param_groups[0]["lr"] == rate > 0
    drive(saved, net, 2)
    drive(again, net, 2)
    assert again.param_groups[0]["lr"] == saved.param_groups[0]["lr"] > rate


RATES: list[Any] = [
    lambda: 0.05,
    lambda: Cosine(0.1, 10),
    lambda: Cosine(0.1, 20),
    lambda: Linear(0.1, 0.0, 9),
]


@pytest.mark.parametrize("saved_rate", RATES)
@pytest.mark.parametrize("rate", RATES)
def test_a_restore_brings_back_what_sets_the_rate_whatever_bind_was_given(
    saved_rate: Any, rate: Any
) -> None:
    nets = [layers(), layers()]
    first, second = (AdamW().bind(net, lr=saved_rate()) for net in nets)
    drive(first, nets[0], *range(5))
    drive(second, nets[1], *range(2))

    third = AdamW().bind(nets[1], lr=rate())
    report = third.load_record(second.save_record(), hyperparameters="restore")
    drive(third, nets[1], *range(2, 5))

    assert equal(*nets)
    is_same = saved_rate is rate
    assert is_same is not any(
        "is restored and replaces" in text for text in report.changed
    )
    assert sum(text.count("lr") > 0 for text in report.changed) == (not is_same)


@pytest.mark.parametrize("saved_rate", RATES)
@pytest.mark.parametrize("rate", RATES)
def test_a_state_dict_brings_its_schedule_whatever_bind_was_given(
    saved_rate: Any, rate: Any
) -> None:
    nets = [layers(), layers()]
    first, second = (AdamW().bind(net, lr=saved_rate()) for net in nets)
    drive(first, nets[0], *range(5))
    drive(second, nets[1], *range(2))

    third = AdamW().bind(nets[1], lr=rate())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        third.load_state_dict(second.state_dict())
    drive(third, nets[1], *range(2, 5))

    assert equal(*nets)
    is_schedule_lost = rate is not saved_rate and rate is not RATES[0]
    assert is_schedule_lost is any(
        f"replaces {rate()}" in f"{warning.message}" for warning in told
    )


@pytest.mark.parametrize(
    ("saved_rate", "rate", "text"),
    [
        (Cosine(0.1, 10), 0.05, "lr is 0.05, and was Cosine(initial_lr=0.1, "),
        (
            0.05,
            Cosine(0.1, 10),
            "lr is Cosine(initial_lr=0.1, n_iters=10, min_lr=0.0, ",
        ),
        (Linear(0.1, 0.0, 9), Cosine(0.1, 10), "n_steps=0), and was Linear(initial_lr"),
        (Cosine(0.1, 10), Cosine(0.5, 20), "n_iters=20, min_lr=0.0, n_steps=0), and "),
        (
            Warmup([Cosine(0.1, 10)], n_warmup=2),
            Warmup([Cosine(0.1, 20)], n_warmup=2),
            "lr is Warmup(",
        ),
        (Plateau(0.1), Plateau(0.1, patience=3), "lr is Plateau(initial_lr=0.1, "),
    ],
)
def test_another_schedule_than_the_stored_one_is_kept_and_told(
    saved_rate: Any, rate: Any, text: str
) -> None:
    net = layers()
    saved = AdamW().bind(net, lr=saved_rate)
    drive(saved, net, 0, 1)
    again = AdamW().bind(net, lr=rate)

    report = again.load_record(saved.save_record())

    schedule = again.param_groups[0].get("schedule")
    assert schedule is (None if rate == 0.05 else rate)
    assert schedule is None or schedule.n_steps == 0
    assert [text in change for change in report.changed] == [True]


@pytest.mark.parametrize(
    "schedule",
    [
        lambda: Plateau(0.1, patience=1),
        lambda: Sequential([Linear(0.1, 0.0, 9), Cosine(0.1, 10)], milestones=(2,)),  # type: ignore[arg-type]  # a file has a list
        lambda: Composed([Warmup([Cosine(0.1, 10)], n_warmup=2), Cosine(1.0, 10)]),
    ],
)
def test_the_same_schedule_goes_on_where_the_stored_one_stood(schedule: Any) -> None:
    net = layers()
    before, after = schedule(), schedule()
    saved = SGD().bind(net, lr=before)
    for seed in range(4):
        drive(saved, net, seed)
        if isinstance(before, Plateau):
            before.observe(1.0)
    again = SGD().bind(net, lr=after)

    report = again.load_record(saved.save_record())

    assert not report.changed
    assert again.param_groups[0]["schedule"] is after
    assert after.n_steps == 4
    assert after.lr() == before.lr()


SPLIT = [Group("**.bias", lr=0.005, weight_decay=0.0)]


@pytest.mark.parametrize("groups", [[], [Group("2.**", lr=0.007)]])
def test_groups_that_no_group_of_now_can_stand_for_are_named_and_nothing_is_restored(
    groups: list[Group],
) -> None:
    net = layers()
    saved = AdamW().bind(net, lr=0.01, groups=SPLIT)
    drive(saved, net, 0, 1)
    again = AdamW().bind(net, lr=0.02, groups=groups)

    with pytest.raises(RecordMismatchError) as caught:
        again.load_record(saved.save_record(), hyperparameters="restore")

    assert "in the groups 0 and 1 when saved, with lr 0.01 and 0.005" in str(
        caught.value
    )
    assert "weight_decay 0.01 and 0.0" in str(caught.value)
    assert "groups=[Group(...), ...]" in str(caught.value)
    assert again.param_groups[0]["lr"] == 0.02
    assert not again.state


def test_the_state_of_other_groups_is_taken_over_alone_and_each_value_is_told() -> None:
    net = layers()
    saved = AdamW().bind(net, lr=0.01, groups=SPLIT)
    drive(saved, net, 0, 1)
    again = AdamW().bind(net, lr=0.02)

    report = again.load_record(saved.save_record())

    assert again.param_groups[0]["lr"] == 0.02
    assert "group 0: lr is 0.02, and was 0.01 and 0.005 when saved" in report.changed
    assert len(report.loaded) == len(again.param_groups[0]["params"])


def test_groups_with_the_same_hyperparameters_are_restored_into_one() -> None:
    net = layers()
    saved = AdamW().bind(net, lr=0.01, groups=[Group("**.bias", weight_decay=0.01)])
    drive(saved, net, 0, 1)
    again = AdamW().bind(net, lr=0.02)

    again.load_record(saved.save_record(), hyperparameters="restore")

    assert again.param_groups[0]["lr"] == 0.01


def test_one_group_of_schedules_that_differ_is_refused_or_told() -> None:
    net = layers()
    groups = [Group("**.bias", lr=Linear(0.1, 0.0, 9))]
    saved = AdamW().bind(net, lr=Cosine(0.1, 9), groups=groups)
    drive(saved, net, 0, 1)
    again = AdamW().bind(net, lr=Cosine(0.1, 9))

    with pytest.raises(RecordMismatchError, match="whose schedules differ"):
        again.load_record(saved.save_record(), hyperparameters="restore")
    report = again.load_record(saved.save_record())

    assert any("whose schedules differ" in change for change in report.changed)


def test_a_stored_group_that_was_never_stepped_and_has_no_place_now_is_told() -> None:
    net = layers()
    saved = AdamW().bind(net, lr=0.01, groups=[Group("**.bias", lr=0.005)])
    drive(saved, net, 0)
    for param in saved.param_groups[1]["params"]:
        del saved.state[param]
    again = AdamW().bind(net, lr=0.02)

    report = again.load_record(saved.save_record(), hyperparameters="restore")

    assert again.param_groups[0]["lr"] == 0.01
    assert any("the stored group 1 (AdamW, lr 0.005)" in c for c in report.changed)


def by_record(optim: OptimizerAdaptor, again: OptimizerAdaptor) -> list[str]:
    report = again.load_record(optim.save_record(), hyperparameters="restore")
    return report.changed


def by_state_dict(optim: OptimizerAdaptor, again: OptimizerAdaptor) -> list[str]:
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        again.load_state_dict(optim.state_dict())
    return [str(warning.message) for warning in messages]


Carry = Callable[[OptimizerAdaptor, OptimizerAdaptor], list[str]]


@pytest.mark.parametrize("carry", [by_record, by_state_dict])
@pytest.mark.parametrize("index", [0, 1])
def test_one_shared_schedule_is_not_filled_from_two(carry: Carry, index: int) -> None:
    net, other = layers(), layers()
    optim, again = (
        AdamW().bind(n, lr=Cosine(1e-2, 10), groups=[Group("2.**")])
        for n in (net, other)
    )
    optim.param_groups[index]["schedule"] = Cosine(1e-1, 20)
    drive(optim, net, 1, 2)
    other.load_state_dict(net.state_dict())

    carry(optim, again)
    drive(optim, net, 3)
    drive(again, other, 3)

    rates = [[g["lr"] for g in o.param_groups] for o in (optim, again)]
    assert rates[0] == rates[1]
    assert equal(net, other)


@pytest.mark.parametrize("carry", [by_record, by_state_dict])
def test_one_shared_schedule_stays_one_where_both_stood_alike(carry: Carry) -> None:
    net, shared = layers(), Plateau(1e-2, patience=0)
    optim = AdamW().bind(net, lr=Plateau(1e-2, patience=0), groups=[Group("2.**")])
    again = AdamW().bind(net, lr=shared, groups=[Group("2.**")])

    carry(optim, again)
    shared.observe(1.0)
    shared.observe(2.0)
    drive(again, net, 1)

    assert [g["lr"] for g in again.param_groups] == [shared.lr(), shared.lr()]


@pytest.mark.parametrize("carry", [by_record, by_state_dict])
@pytest.mark.parametrize("schedule", [None, Exponential(0.1, 0.5)])
def test_a_schedule_of_bind_that_was_exchanged_is_so_again_and_told(
    carry: Carry, schedule: Exponential | None
) -> None:
    net, other = layers(), layers()
    optim, again = (AdamW().bind(n, lr=Cosine(1e-2, 10)) for n in (net, other))
    optim.param_groups[0]["schedule"] = schedule
    drive(optim, net, 1)
    other.load_state_dict(net.state_dict())

    messages = carry(optim, again)
    drive(optim, net, 2)
    drive(again, other, 2)

    assert any("replaces Cosine(" in message for message in messages)
    assert again.param_groups[0]["lr"] == optim.param_groups[0]["lr"]
    assert equal(net, other)


PAIRS_OF_STATES: list[Any] = [
    (SGD(momentum=0.9), SGD()),
    (SGD(), SGD(momentum=0.9)),
    (Adam(amsgrad=True), Adam()),
    (Adam(), Adam(amsgrad=True)),
    (RMSprop(momentum=0.9, centered=True), RMSprop()),
]


@pytest.mark.parametrize("carry", [by_record, by_state_dict])
@pytest.mark.parametrize(("saved", "bound"), PAIRS_OF_STATES)
def test_a_state_is_judged_by_the_hyperparameters_that_are_restored_with_it(
    carry: Carry, saved: Any, bound: Any
) -> None:
    net, other = layers(), layers()
    optim, again = saved.bind(net, lr=1e-2), bound.bind(other, lr=1e-2)
    drive(optim, net, 1, 2)
    other.load_state_dict(net.state_dict())

    carry(optim, again)
    drive(optim, net, 3)
    drive(again, other, 3)

    assert equal(net, other)


@pytest.mark.parametrize("carry", [by_record, by_state_dict])
def test_a_refused_restore_leaves_the_hyperparameters(carry: Carry) -> None:
    saved = SGD(momentum=0.9, weight_decay=0.1).bind(nn.Linear(2, 2), lr=0.1)
    drive(saved, nn.Linear(2, 2), 1)
    for param in saved.param_groups[0]["params"]:
        param.grad = param.detach().clone()
    saved.step()
    net = nn.Linear(2, 3)
    optim = SGD().bind(net, lr=1e-2)

    with pytest.raises(RecordMismatchError):
        carry(saved, optim)

    group = optim.param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (0.0, 0.0)
    drive(optim, net, 1)
    assert not optim.state[net.weight]
