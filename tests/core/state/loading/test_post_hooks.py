"""Hooks for the end of `load_state_dict` are called at the end of every load."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.records import RecordMismatchError


class Cached(nn.Module):
    """Keeps a sum of its weights, computed anew after each load."""

    def __init__(self, value: float = 1.0, *, refuses: float | None = None) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 2)
        nn.init.constant_(self.lin.weight, value)
        self.refuses = refuses
        self.keys: Any = None
        self.register_load_state_dict_post_hook(refresh)  # type: ignore[no-untyped-call]  # of torch
        self.sum = self.lin.weight.sum().item()


def refresh(module: Any, keys: Any) -> None:
    module.sum, module.keys = module.lin.weight.sum().item(), keys
    if module.refuses == module.sum:
        raise ValueError("not this sum")


def test_a_load_calls_them_with_the_new_values_and_what_is_missing() -> None:
    target = nn.ModuleList([Cached(), Cached()])
    data = burnish.save_record(nn.ModuleList([Cached(2.0), Cached(3.0)]))
    part = burnish.open_record(data, exclude="1.lin.bias")

    burnish.load_record(target, part)

    modules: list[Any] = list(target)
    assert [module.sum for module in modules] == [8.0, 12.0]
    assert modules[0].keys.missing_keys == ["1.lin.bias"]


def test_a_new_module_has_what_they_compute() -> None:
    new = burnish.from_record(Cached, burnish.save_record(Cached(2.0)))

    assert new.sum == 8.0


def test_one_that_raises_takes_the_load_back() -> None:
    target: Any = nn.ModuleList([Cached(), Cached(refuses=12.0)])
    data = burnish.save_record(nn.ModuleList([Cached(2.0), Cached(3.0)]))

    with pytest.raises(RecordMismatchError, match="1: a post-hook of its load failed"):
        burnish.load_record(target, data)

    assert [module.sum for module in target] == [4.0, 4.0]
    assert all(torch.equal(m.lin.weight, torch.ones(2, 2)) for m in target)


def test_a_restore_that_fails_later_takes_back_what_they_computed(
    tmp_path: Path,
) -> None:
    checkpoints = burnish.Checkpoints(tmp_path)
    checkpoints.save(1, model=Cached(2.0), other=Cached(3.0))
    model = Cached()

    with pytest.raises(RecordMismatchError, match="post-hook"):
        checkpoints.restore(model=model, other=Cached(refuses=12.0))

    assert model.sum == 4.0
