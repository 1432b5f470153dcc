import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any

import pytest
from torch import nn

from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.construction.init_hooks import (
    call_observed,
    call_with_hooks,
)
from burnish.core.blueprint.edits.edits import Unbuilt

from ..models import Coder, Net


def test_other_threads_construct_as_ever_while_a_blueprint_builds() -> None:
    wrong: list[object] = []

    def build(depth: int) -> None:
        for _ in range(4):
            blueprint = Blueprint(Coder, depth).configure("**.activation", nn.Tanh)
            module: Any = blueprint.create()
            kinds = {type(layer.activation) for layer in module.encoder}
            wrong.extend(kinds - {nn.Tanh})

    def by_hand() -> None:
        for _ in range(60):
            module: Any = Coder(2)
            wrong.extend(
                {type(layer.activation) for layer in module.encoder} - {nn.ReLU}
            )

    threads = [threading.Thread(target=build, args=(n,)) for n in (1, 2, 3)]
    threads.append(threading.Thread(target=by_hand))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_no_class_is_left_changed() -> None:
    before = {cls: cls.__dict__.get("__init__") for cls in (nn.Module, nn.ReLU, Net)}

    Blueprint(Net).configure("blocks.*.1", nn.Tanh).create()

    assert {cls: cls.__dict__.get("__init__") for cls in before} == before
    assert "__init__" not in nn.Tanh.__dict__


MOMENTS = ("before", "inside", "after")


class Leaf(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width


class Heir(Leaf):
    """Has no constructor of its own."""


class Watching:
    """Counts what it is told of."""

    def __init__(self) -> None:
        self.n_told = 0
        self.running: nn.Module | None = None

    def is_constructing(self, module: nn.Module) -> bool:
        return module is self.running

    def note_unhooked(self, module: nn.Module) -> None: ...

    def construct(
        self, init: Callable[..., None], module: nn.Module, args: Any, kwargs: Any
    ) -> None:
        self.n_told += 1
        self.running = module
        init(module, *args, **kwargs)

    def build_child(self, blueprint: Unbuilt) -> nn.Module:
        raise AssertionError


def patch(cls: type[nn.Module], label: str, seen: list[str]) -> Callable[[], None]:
    """Wrap a constructor as other libraries do; return what takes the patch down."""
    own, inner = cls.__dict__.get("__init__"), cls.__init__

    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        seen.append(label)
        inner(self, *args, **kwargs)

    cls.__init__ = __init__  # type: ignore[method-assign]  # the patch under test

    def take_down() -> None:
        if own is None:
            del cls.__init__
        else:
            cls.__init__ = own  # type: ignore[method-assign]  # as above

    return take_down


@pytest.fixture(params=[nn.Module, Leaf, Heir], ids=lambda cls: cls.__name__)
def cls(request: pytest.FixtureRequest) -> Iterator[type[nn.Module]]:
    own = request.param.__dict__.get("__init__")
    yield request.param
    if own is not None:
        request.param.__init__ = own
    elif "__init__" in request.param.__dict__:
        del request.param.__init__


@pytest.mark.parametrize("order", [*permutations(MOMENTS)], ids="-".join)
def test_constructors_patched_by_others_stay_patched_while_they_are_watched(
    cls: type[nn.Module], order: tuple[str, ...]
) -> None:
    seen: list[str] = []
    take_down = {"before": patch(cls, "before", seen)}
    watching = Watching()

    def patch_and_construct() -> None:
        take_down["inside"] = patch(cls, "inside", seen)
        call_observed(watching, cls)

    call_with_hooks([cls], patch_and_construct)
    assert (set(seen), watching.n_told) == ({"before", "inside"}, 1)
    take_down["after"] = patch(cls, "after", seen)

    seen.clear()
    cls()
    assert set(seen) == set(MOMENTS)

    for label in order:
        take_down[label]()
        watching = Watching()
        call_with_hooks([cls], partial(call_observed, watching, cls))
        assert watching.n_told == 1


def test_a_class_that_nobody_else_patched_is_as_it_was() -> None:
    inits = [c.__dict__.get("__init__") for c in (nn.Module, Leaf, Heir)]

    call_with_hooks([Leaf, Heir], lambda: call_with_hooks([Leaf], Heir))

    assert [c.__dict__.get("__init__") for c in (nn.Module, Leaf, Heir)] == inits


def test_a_task_that_outlives_a_run_tells_nobody() -> None:
    async def construct() -> None:
        await asyncio.sleep(0)
        Leaf()

    async def main(watching: Watching) -> None:
        before = asyncio.create_task(construct())
        inside = call_with_hooks(
            [Leaf],
            lambda: call_observed(watching, lambda: asyncio.create_task(construct())),
        )
        await asyncio.gather(before, inside)

    watching = Watching()
    asyncio.run(main(watching))

    assert watching.n_told == 0
