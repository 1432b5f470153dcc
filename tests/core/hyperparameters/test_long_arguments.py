"""Arguments of very many items."""

from typing import Any

import pytest
from torch import nn

import burnish
from burnish.core.hyperparameters import kinds


@burnish.module
class Vocabulary(nn.Module):
    def __init__(
        self,
        words: list[str],
        counts: dict[str, int],
        weights: tuple[float, ...],
        loose: Any,
    ) -> None:
        super().__init__()
        self.words, self.counts = words, counts
        self.weights, self.loose = weights, loose


def vocabulary(size: int) -> Vocabulary:
    words = [f"w{i}" for i in range(size)]
    counts = {word: i for i, word in enumerate(words)}
    return Vocabulary(words, counts, tuple(map(float, range(size))), [*words, 1, None])


@pytest.mark.parametrize("function", ["needs_class", "allows_kinds", "item_hint"])
def test_hints_are_asked_once_for_a_container_and_not_for_each_item(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {10: 0, 1000: 0}
    ask = getattr(kinds, function)

    for size in calls:

        def counted(*args: Any, size: int = size) -> Any:
            calls[size] += 1
            return ask(*args)

        monkeypatch.setattr(kinds, function, counted)
        burnish.from_hyperparameters(burnish.get_hparams(vocabulary(size)))

    assert calls[10] == calls[1000]


def test_long_arguments_come_back_as_they_were() -> None:
    net = vocabulary(100)

    again = burnish.from_hyperparameters(burnish.get_hparams(net), Vocabulary)

    assert again.words == net.words
    assert again.counts == net.counts
    assert again.weights == net.weights
    assert again.loose == net.loose
