"""Generators stand where they stood."""

import importlib
import importlib.abc
import sys
import threading
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import burnish
from burnish.core import from_record
from burnish.core.state.uninitialized.streams import numpy_random

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def test_a_record_of_everything_draws_no_random_numbers() -> None:
    data = burnish.save_record(nn.Linear(3, 3))
    assert data is not None
    before = torch.get_rng_state()

    from_record(lambda: nn.Linear(3, 3), data)

    assert torch.equal(torch.get_rng_state(), before)


class SlowRandom(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module for numpy's generator whose import waits for a word."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        is_it = fullname == "numpy.random"
        return ModuleSpec(fullname, self) if is_it else None

    def create_module(self, spec: ModuleSpec) -> None:
        del spec

    def exec_module(self, module: Any) -> None:
        self.has_begun.set()
        assert self.may_end.wait(60)
        module.get_state = lambda: ("whole",)


def test_numpy_that_another_thread_is_importing_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finder = SlowRandom()
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    monkeypatch.setattr(np, "random", np.random)
    monkeypatch.delitem(sys.modules, "numpy.random")
    importing = threading.Thread(target=importlib.import_module, args=["numpy.random"])
    importing.start()
    assert finder.has_begun.wait(60)
    threading.Timer(0.05, finder.may_end.set).start()

    assert numpy_random().get_state() == ("whole",)
    importing.join()
