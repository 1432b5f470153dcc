"""What is remembered of classes: nothing grows for ever, and nothing else holds one."""

import functools
import gc
import inspect
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish import config
from burnish.config import Hparams
from burnish.config.classes.remembered import remembered

_CACHE = type(functools.cache(len))


def caches() -> Iterator[Any]:
    """Yield every function of the package that remembers what it returned."""
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "burnish":
            for value in [*vars(module).values()]:
                if type(value) is _CACHE:
                    yield value


def use_module() -> type:
    @burnish.module
    class Net(nn.Module):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.layer = nn.Linear(width, width)

    net: Any = Net
    data = net().save_record()
    net.from_record(data).load_record(data)
    net.blueprint(width=4).build()
    net.from_hyperparameters(net().hparams)
    return Net


def use_config() -> type:
    class Config(Hparams):
        rate: float = 0.1
        name: str = "a"

    text = config.dumps(Config(rate=0.2), format="ron")
    config.loads(Config, text, format="ron")
    return Config


def use_record() -> type:
    class State(burnish.Record):
        mean: torch.Tensor

    State(mean=torch.ones(2)).save()
    return State


@pytest.mark.parametrize("use", [use_module, use_config, use_record])
def test_a_class_that_was_defined_anew_is_collected_once_it_is_forgotten(
    use: Callable[[], type],
) -> None:
    cls = weakref.ref(use())
    # A file may name the last class of a name, as in a notebook that defines it again.
    latest = use()

    for cache in caches():
        cache.cache_clear()
    gc.collect()

    assert cls() is None
    assert latest


def test_whatever_is_asked_only_so_many_answers_are_remembered() -> None:
    unlimited = [
        cache.__qualname__
        for cache in caches()
        if cache.cache_info().maxsize is None and inspect.signature(cache).parameters
    ]

    assert unlimited == []


def test_what_was_longest_not_asked_for_is_forgotten() -> None:
    n_asked: list[int] = []

    @remembered
    def find(number: int) -> int:
        n_asked.append(number)
        return number

    for number in (*range(5000), 4999, 0):
        find(number)

    assert len(n_asked) == 5001
