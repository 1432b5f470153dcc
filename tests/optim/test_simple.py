"""What the author of an optimizer forgets is told in words."""

import copy
import re
from dataclasses import dataclass
from typing import Any

import pytest
from torch import Tensor

from burnish import Record
from burnish.optim import AdamW, SimpleOptimizer

from .nets import layers, set_grads


def test_hyperparameters_without_the_decorator_are_no_silent_loss() -> None:
    class Plain(SimpleOptimizer[None]):
        beta: float = 0.9

    with pytest.raises(TypeError, match=r"@dataclass\(frozen=True, kw_only=True\)"):
        Plain()


def test_hyperparameters_of_a_constructor_are_no_silent_loss() -> None:
    class Plain(SimpleOptimizer[None]):
        def __init__(self, beta: float = 0.9) -> None:  # pyright: ignore[reportInconsistentConstructor]  # the mistake
            self.beta = beta

    class Constant(SimpleOptimizer[None]):
        def __init__(self) -> None:  # pyright: ignore[reportInconsistentConstructor]  # of another signature than __new__
            self.table = [1, 2]

    @dataclass(frozen=True, kw_only=True)
    class Declared(SimpleOptimizer[None]):
        beta: float = 0.9

    class Derived(Declared):
        def __init__(self, half: float = 0.4) -> None:
            super().__init__(beta=2 * half)

    with pytest.raises(TypeError, match=r"__init__ takes beta, .*and beta: float ="):
        Plain(0.5)
    assert Constant().table == [1, 2]
    assert Derived().beta == 0.8


@pytest.mark.parametrize(
    "name", ["zero_grad", "param_groups", "state_dict", "save_record", "load_record"]
)
def test_what_a_bound_optimizer_has_is_told_where_nothing_is_bound(name: str) -> None:
    optimizer = AdamW()

    with pytest.raises(
        AttributeError,
        match=rf"no attribute '{name}'.*: optimizer = AdamW\(\.\.\.\)\.bind\(net, lr=",
    ):
        getattr(optimizer, name)

    assert not hasattr(optimizer, "betta")
    assert copy.deepcopy(optimizer) == optimizer


def test_a_step_that_is_not_written_says_so() -> None:
    net = layers()
    set_grads(net, 1)

    with pytest.raises(NotImplementedError, match=r"does not define step\(\)"):
        SimpleOptimizer[None]().bind(net, lr=1.0).step()


def test_a_step_with_its_arguments_in_another_order_is_refused_as_a_class() -> None:
    def step(self: Any, tensor: Any, grad: Any, state: Any, lr: Any) -> Any:
        return tensor - lr * grad, state

    with pytest.raises(TypeError, match=r"order: def step\(self, lr, tensor, grad, s"):
        type("Swapped", (SimpleOptimizer,), {"step": step})


def _without(self: Any, tensor: Any, grad: Any) -> Any:
    return tensor - grad


def _alone(self: Any) -> None:
    return None


@pytest.mark.parametrize(
    ("method", "function", "right"),
    [
        ("step", _without, "def step(self, lr, tensor, grad, state)"),
        ("init", _alone, "def init(self, tensor)"),
        ("to_eval", _alone, "def to_eval(self, tensor, state)"),
    ],
)
def test_a_method_that_takes_other_arguments_is_refused_as_a_class(
    method: str, function: Any, right: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(right)):
        type("Wrong", (SimpleOptimizer,), {method: function})


def test_methods_may_take_more_under_names_of_their_own() -> None:
    def step(self: Any, lr: Any, p: Any, g: Any, s: Any, *, scale: float = 1.0) -> Any:
        return p - lr * scale * g, s

    cls = type("Renamed", (SimpleOptimizer,), {"step": step, "init": staticmethod(abs)})

    assert issubclass(cls, SimpleOptimizer)


def test_a_declared_state_without_init_is_refused_before_the_first_step() -> None:
    """The step got None, and failed with an AttributeError of its own."""

    class Moment(Record):
        average: Tensor

    @dataclass(frozen=True, kw_only=True)
    class Averaging(SimpleOptimizer[Moment]):
        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: Moment
        ) -> tuple[Tensor, Moment]:
            return tensor - lr * state.average, state

    with pytest.raises(TypeError, match=r"no init\(\).*def init\(self, tensor\)"):
        Averaging()
