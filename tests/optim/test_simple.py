"""What the author of an optimizer forgets is told in words."""

from typing import Any

import pytest

from burnish.optim import (
    SimpleOptimizer,
)

from .nets import layers, set_grads


def test_hyperparameters_without_the_decorator_are_no_silent_loss() -> None:
    class Plain(SimpleOptimizer[None]):
        beta: float = 0.9

    with pytest.raises(TypeError, match=r"@dataclass\(frozen=True, kw_only=True\)"):
        Plain()


def test_a_step_that_is_not_written_says_so() -> None:
    net = layers()
    set_grads(net, 1)

    with pytest.raises(NotImplementedError, match=r"does not define step\(\)"):
        SimpleOptimizer[None]().bind(net, lr=1.0).step()


def test_a_step_with_its_arguments_in_another_order_is_refused_as_a_class() -> None:
    def step(self: Any, tensor: Any, grad: Any, state: Any, lr: Any) -> Any:
        return tensor - lr * grad, state

    with pytest.raises(TypeError, match=r"order: step\(self, lr, tensor, grad, state"):
        type("Swapped", (SimpleOptimizer,), {"step": step})
