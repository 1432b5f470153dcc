"""A schedule goes on where it stood, and says when its rate is set by hand."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from burnish.optim import SGD, Group, schedulers
from burnish.optim.schedulers import (
    Constant,
    Cosine,
    Linear,
    Scheduler,
    Sequential,
)

from ..nets import drive, layers, same, set_grads, values


def test_a_state_dict_of_another_schedule_is_refused() -> None:
    made = Cosine(0.1, 10)
    made.step()

    again = Cosine(0.2, 5)
    again.load_state_dict(made.state_dict())

    assert again.lr() == made.lr()
    with pytest.raises(ValueError, match=r"Cosine.*Constant"):
        Constant(0.1).load_state_dict(made.state_dict())
    with pytest.raises(ValueError, match=r"'Cosin'.*Cosine"):
        made.load_state_dict({**made.state_dict(), "kind": "Cosin"})


def test_names_of_schedules_are_sorted() -> None:
    assert schedulers.__all__ == sorted(schedulers.__all__)


def test_a_rate_set_by_hand_under_a_schedule_is_warned_of() -> None:
    net = layers()
    optim = SGD().bind(net, lr=Cosine(0.1, 10))
    optim.param_groups[0]["lr"] = 1e-5  # as a learning-rate finder does

    with pytest.warns(RuntimeWarning, match=r"set to 1e-05.*\(Cosine\).*finder"):
        drive(optim, net, 1)

    assert optim.param_groups[0]["lr"] == 0.1


def test_a_finder_sets_the_rates_where_the_schedule_is_taken_away() -> None:
    net = layers()
    optim = SGD().bind(net, lr=Cosine(0.1, 10))
    optim.param_groups[0]["schedule"] = None

    for rate in (1e-5, 1e-3):
        optim.param_groups[0]["lr"] = rate
        drive(optim, net, 1)

        assert optim.param_groups[0]["lr"] == rate


@pytest.mark.parametrize("through", ["record", "state_dict"])
def test_what_a_load_does_to_the_rate_is_not_by_hand(through: str) -> None:
    net = layers()
    optim, other = (SGD().bind(net, lr=Cosine(0.1, 10)) for _ in "ab")
    drive(optim, net, 1, 2)
    drive(other, net, 1)

    if through == "record":
        other.load_record(optim.save_record(), hyperparameters="restore")
    else:
        other.load_state_dict(optim.state_dict())
    drive(other, net, 3)  # a warning is an error in these tests

    assert other.param_groups[0]["lr"] == Cosine(0.1, 10).at(2)


@pytest.mark.parametrize("through", ["record", "state_dict"])
def test_a_rate_set_by_hand_after_a_load_is_warned_of(through: str) -> None:
    net = layers()
    optim = SGD().bind(net, lr=Cosine(0.1, 10))
    drive(optim, net, 1, 2)
    if through == "record":
        optim.load_record(optim.save_record(), hyperparameters="restore")
    else:
        optim.load_state_dict(optim.state_dict())
    optim.param_groups[0]["lr"] = 1e-5

    with pytest.warns(RuntimeWarning, match="set to 1e-05"):
        drive(optim, net, 3)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no whole": (lambda: Cosine(0.1, 2.5), "n_iters=...) must be a whole number"),  # type: ignore[arg-type]
    "a tensor": (lambda: Linear(torch.tensor(0.1), 0.2, 3), "a Tensor; pass a plain"),  # type: ignore[arg-type]
    "a text": (lambda: Constant("0.1"), "value=...) must be a number, got '0.1'"),  # type: ignore[arg-type]
    "no whole milestone": (
        lambda: Sequential([Constant(0.1), Constant(0.2)], [2.5]),  # type: ignore[list-item]
        "milestones=...)[0] must be a whole number",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_of_another_type_is_refused_in_words(name: str) -> None:
    call, words = WRONG[name]

    with pytest.raises(TypeError, match=re.escape(words)):
        call()


def test_a_schedule_begins_at_its_first_step_at_the_earliest() -> None:
    with pytest.raises(ValueError, match="n_steps must be at least 0, got -5"):
        Cosine(0.1, 10, n_steps=-5)


class Falling(Scheduler):
    """One of a user's, which ends below 0."""

    n_steps: int = 0

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return 0.1 - 0.1 * index


def test_a_schedule_that_gives_no_learning_rate_stops_the_step_before_any_change() -> (
    None
):
    net = layers()
    optim = SGD().bind(net, lr=0.1, groups=[Group("2.**", lr=Falling())])
    drive(optim, net, 1, 2)
    set_grads(net, 3)
    before = values(net)

    with pytest.raises(ValueError, match=r"^group 1: .*\(Falling\).*-0\.1 at step 2"):
        optim.step()

    assert same(before, net)
    optim.param_groups[1]["schedule"] = Constant(0.1)
    optim.step()


class Ending(Scheduler):
    """One of a user's, which misses 0 by a rounding."""

    n_steps: int = 0

    def at(self, index: int) -> float:
        """Return the learning rate of step ``index``, counted from 0."""
        return 0.3 - 0.1 * index


def test_a_rate_that_misses_0_by_a_rounding_is_0() -> None:
    net = layers()
    optim = SGD().bind(net, lr=Ending())

    drive(optim, net, 1, 2, 3, 4)

    assert Ending().at(3) < 0.0
    assert optim.param_groups[0]["lr"] == 0.0


def test_a_float_may_be_a_number_of_steps() -> None:
    assert Cosine(0.1, 1e1).at(5) == Cosine(0.1, 10).at(5)  # type: ignore[arg-type]


def test_a_step_that_is_refused_leaves_the_rate_that_is_shown() -> None:
    net = layers()
    optim = SGD().bind(net, lr=Cosine(0.1, 10), groups=[Group("2.**", lr=0.1)])
    drive(optim, net, 1)
    optim.param_groups[1]["momentum"] = -1.0

    with pytest.raises(ValueError, match="momentum"):
        optim.step()

    assert optim.param_groups[0]["lr"] == 0.1
    optim.param_groups[1]["momentum"] = 0.0
    optim.step()
    assert optim.param_groups[0]["lr"] == Cosine(0.1, 10).at(1)


def test_a_step_without_gradients_moves_schedules_alone_and_a_skipped_one_nothing() -> (
    None
):
    net = layers()
    schedule = Cosine(0.1, 10)
    optim = SGD().bind(net, lr=schedule, nonfinite="skip")
    before = values(net)

    optim.step()
    n_steps = schedule.n_steps
    set_grads(net, 1)
    net[0].weight.grad.fill_(float("nan"))
    optim.step()

    assert (n_steps, schedule.n_steps) == (1, 1)
    assert same(before, net)
