"""Whether the code of a step names random generators, which a later step may use.

A recording is made once for many parameters, so a step that draws runs as written. The
generators are compared when a step is planned, but at each step that costs more than
the step: a draw that was not made then is looked for in the code.
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch

_NAMES = frozenset(
    [
        "random",
        "rand",
        "randn",
        "randint",
        "randperm",
        "rand_like",
        "randn_like",
        "randint_like",
        "normal",
        "normal_",
        "uniform_",
        "random_",
        "bernoulli",
        "bernoulli_",
        "multinomial",
        "poisson",
        "dropout",
        "exponential_",
        "geometric_",
        "cauchy_",
        "log_normal_",
        "getrandbits",
        "default_rng",
    ]
)
_SOURCES = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)


def drawing_in(function: Any, owner: object) -> str | None:
    """Return the generators that ``function``, a method of ``owner``, may use, by name.

    Functions that it names, of the same class or module, are searched as well.
    """
    waiting, searched = [function], set[int]()
    while waiting:
        candidate = waiting.pop()
        candidate = (
            candidate.__func__ if isinstance(candidate, MethodType) else candidate
        )
        if not isinstance(candidate, FunctionType) or id(candidate) in searched:
            continue
        searched.add(id(candidate))
        if candidate.__module__.partition(".")[0] in ("torch", "numpy"):
            continue
        for name in _names(candidate.__code__):
            values = list(_meanings(candidate, name, owner))
            if name in _NAMES or any(map(_is_source, values)):
                return name
            waiting += values
    return None


def _names(code: CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_freevars)
    for nested in code.co_consts:
        if isinstance(nested, CodeType):
            yield from _names(nested)


def _meanings(function: FunctionType, name: str, owner: object) -> Iterator[Any]:
    """Yield what ``name`` may mean in a function: a global, a free name, a member."""
    if name in function.__globals__:
        yield function.__globals__[name]
    if name in function.__code__.co_freevars and function.__closure__:
        place = function.__code__.co_freevars.index(name)
        with suppress(ValueError):  # of a closure cell that is not set yet
            yield function.__closure__[place].cell_contents
    if name in vars(owner):
        yield vars(owner)[name]
    yield from (vars(cls)[name] for cls in type(owner).__mro__ if name in vars(cls))


def _is_source(value: Any) -> bool:
    """Return whether a value is a generator, or a method of one."""
    return isinstance(value, _SOURCES) or isinstance(
        getattr(value, "__self__", None), _SOURCES
    )
