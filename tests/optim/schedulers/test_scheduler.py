"""A schedule goes on where it stood, and says when its rate is set by hand."""

import pytest

from burnish.optim import SGD, schedulers
from burnish.optim.schedulers import (
    Constant,
    Cosine,
)

from ..nets import drive, layers


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
