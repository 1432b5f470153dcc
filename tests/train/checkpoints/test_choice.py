"""What of a module is saved, and what a restore leaves as it is."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import AdamW
from burnish.records import RecordMismatchError
from burnish.records.entries.entries import path_index
from burnish.train import Checkpoints

from .runs import filled, net, same


class Adapted(nn.Module):
    def __init__(self, *, is_grown: bool = False) -> None:
        super().__init__()
        self.base = nn.Linear(4, 4)
        self.adapter = nn.Linear(4, 4)
        if is_grown:
            self.head = nn.Linear(4, 4)


def test_a_restore_fills_what_was_chosen_and_says_that_it_leaves_the_rest(
    tmp_path: Path,
) -> None:
    run, again = filled(Adapted(), 1.0), filled(Adapted(), 2.0)
    Checkpoints(tmp_path, only="adapter.**").save(3, model=run)

    with pytest.warns(
        RuntimeWarning, match=r"model: .* 2 tensors of it \(base\.weight"
    ):
        step = Checkpoints(tmp_path).restore(model=again)

    assert step == 3
    assert again.adapter.weight.unique().tolist() == [1.0]  # type: ignore[operator, union-attr]
    assert again.base.weight.unique().tolist() == [2.0]  # type: ignore[operator, union-attr]


def test_what_is_excluded_is_not_saved(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path, exclude="base.**").save(1, model=Adapted())

    with saved["model"] as record:
        assert [*path_index(record)] == ["adapter.weight", "adapter.bias"]


@pytest.mark.parametrize("option", ["only", "exclude"])
def test_a_pattern_that_matches_nothing_saves_nothing(
    option: str, tmp_path: Path
) -> None:
    wrong: dict[str, Any] = {option: "adaptor.**"}
    checkpoints = Checkpoints(tmp_path, **wrong)

    with pytest.raises(ValueError, match=f"{option}='adaptor.*matches nothing"):
        checkpoints.save(1, model=Adapted())
    assert checkpoints.steps == []


def test_a_malformed_pattern_is_refused_before_the_run(tmp_path: Path) -> None:
    only: Any = True
    with pytest.raises(TypeError, match="a pattern must be a str or a predicate"):
        Checkpoints(tmp_path, only=only)


def test_modules_may_have_patterns_of_their_own(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, only={"model": ["adapter.weight"]})

    saved = checkpoints.save(1, model=Adapted(), critic=net())

    with saved["model"] as model, saved["critic"] as critic:
        assert [*path_index(model)] == ["adapter.weight"]
        assert path_index(critic).keys() >= net().state_dict().keys()


def test_patterns_for_what_is_no_module_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'modle'.*Did you mean 'model'"):
        Checkpoints(tmp_path, only={"modle": "**"}).save(1, model=Adapted())
    with pytest.raises(ValueError, match=r"none of the parts is a module"):
        Checkpoints(tmp_path, only="**").save(1, notes={"a": 1})


def test_what_the_module_has_grown_is_still_missed(tmp_path: Path) -> None:
    Checkpoints(tmp_path, only="adapter.**").save(1, model=Adapted())
    grown = filled(Adapted(is_grown=True), 5.0)

    with pytest.raises(RecordMismatchError, match=r"head\.weight"):
        Checkpoints(tmp_path).restore(model=grown)
    assert grown.adapter.weight.unique().tolist() == [5.0]  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst", ".json"])
def test_adapters_and_their_optimizer_go_on(
    suffix: str, wait: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    run = Adapted()
    burnish.freeze(run, "base.**")
    optim = AdamW().bind(run, lr=0.1)
    checkpoints = Checkpoints(
        tmp_path, suffix=suffix, only=burnish.trainable, wait=wait
    )
    for step in (1, 2):
        optim.zero_grad()
        run.adapter(run.base(torch.ones(1, 4))).sum().backward()
        optim.step()
        checkpoints.save(step, model=run, optim=optim)
    again = Adapted()
    again.base.load_state_dict(run.base.state_dict())
    burnish.freeze(again, "base.**")
    new_optim = AdamW().bind(again, lr=0.1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert checkpoints.restore(model=again, optim=new_optim) == 2

    assert same(again, run)
    assert len(new_optim.state) == len(optim.state)
