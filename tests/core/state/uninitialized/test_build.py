"""Modules are built from their records wherever and however that is done."""

import asyncio
import threading

import pytest
import torch
from torch import nn

from burnish.core import from_record, into_record, skip_init
from burnish.core.state.uninitialized.unfilled import UnfilledParameter

from .built import Views, sevens

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def test_a_module_is_built_from_its_record_while_meta_is_the_default_device() -> None:
    record = into_record(sevens())

    with torch.device("meta"):
        loaded = from_record(Views, record)

    assert torch.equal(loaded.l.weight, torch.full((3, 3), 7.0))
    assert loaded.array.tolist() == [7.0, 7.0, 7.0]


def test_tasks_and_threads_that_began_outside_build_as_ever() -> None:
    async def other(turn: asyncio.Event, done: asyncio.Event) -> nn.Linear:
        await turn.wait()
        layer = nn.Linear(3, 3)
        done.set()
        return layer

    async def main() -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        turn, done, late = asyncio.Event(), asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(other(turn, done))
        with skip_init():
            turn.set()
            await done.wait()
            outliving = asyncio.create_task(other(late, asyncio.Event()))
            unfilled = nn.Linear(3, 3)
            assert isinstance(unfilled.weight, UnfilledParameter)
        late.set()
        return await task, await outliving, unfilled

    outside, outliving, _ = asyncio.run(main())
    built: list[nn.Linear] = []
    with skip_init():
        thread = threading.Thread(target=lambda: built.append(nn.Linear(3, 3)))
        thread.start()
        thread.join()

    for layer in (outside, outliving, built[0]):
        assert layer.weight.isfinite().all()
