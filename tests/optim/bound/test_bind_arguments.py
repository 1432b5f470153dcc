"""torch's habits at binding are answered with the right line."""

from typing import Any

import pytest

from burnish.optim import (
    AdamW,
    Group,
    OptimizerAdaptor,
)

from ..nets import layers


def test_torchs_habit_is_answered_with_the_right_line() -> None:
    net = layers()
    habit: Any = AdamW

    for arguments, named in (
        ((net.parameters(),), {"lr": 1e-3}),
        ((list(net.parameters()),), {}),
        ((net,), {"lr": 1e-3}),
        ((), {"lr": 1e-3}),
    ):
        with pytest.raises(TypeError, match=r"AdamW\(.*\)\.bind\(net, lr="):
            habit(*arguments, **named)
    with pytest.raises(TypeError, match="pass the module itself"):
        AdamW().bind(net.parameters(), lr=1e-3)  # type: ignore[arg-type]  # the point
    with pytest.raises(TypeError, match=r"OptimizerAdaptor\(AdamW\(\), net"):
        OptimizerAdaptor(net, AdamW(), lr=1e-3)  # type: ignore[arg-type]  # the point


def test_groups_that_are_no_list_are_refused() -> None:
    iterator = (Group(pattern) for pattern in ("**.bias",))
    no_lists: list[Any] = [None, iterator]
    for groups in no_lists:
        with pytest.raises(
            TypeError, match=r"groups must be a list of Group\(...\), got"
        ):
            AdamW().bind(layers(), lr=0.1, groups=groups)


def test_groups_may_be_the_values_of_a_dict() -> None:
    groups: Any = {"biases": Group("**.bias", weight_decay=0.0)}.values()

    optim = AdamW().bind(layers(), lr=0.1, groups=groups)

    assert len(optim.param_groups) == 2


def test_an_optimizer_may_have_a_constructor_of_its_own() -> None:
    class Decaying(AdamW):
        def __init__(self, decay: float) -> None:
            super().__init__(weight_decay=decay)

    assert Decaying(0.5).weight_decay == 0.5
