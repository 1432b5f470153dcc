"""States that no step can use are named, and nothing is changed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.optim import (
    AdamW,
    Lion,
    Muon,
    SimpleOptimizer,
)
from burnish.records import RecordMismatchError

from ..every_optimizer import ENGINES, OPTIMIZERS, alike, copies, stepped
from ..nets import values

WRONG: dict[str, Callable[[Any], Any]] = {
    "shape": lambda value: torch.zeros(7),
    "dtype": lambda value: torch.zeros(value.shape, dtype=torch.int64),
    "meta": lambda value: torch.zeros(value.shape, device="meta"),
    "number": lambda value: 3,
    "text": lambda value: "x",
}


NO_WRONG_NUMBERS = ("number", "dtype", "meta")


@ENGINES
@pytest.mark.parametrize("simple", OPTIMIZERS, ids=repr)
def test_a_field_deleted_from_a_state_by_hand_is_named_and_nothing_is_changed(
    simple: SimpleOptimizer[Any], fused: bool | None
) -> None:
    names = list(next(iter(stepped(simple, fused)[1].state.values())))

    for name in names:
        model, optimizer = stepped(simple, fused)
        weights = values(model)
        del optimizer.state[model[1].weight][name]
        states = copies(optimizer)

        with pytest.raises(ValueError, match=rf"1\.weight: .*lacks {name}\. .* del "):
            optimizer.step()

        assert alike(values(model), weights)
        assert alike(copies(optimizer), states)


@ENGINES
@pytest.mark.parametrize("simple", [*OPTIMIZERS, Lion(), Muon()], ids=repr)
def test_what_no_step_can_use_in_a_state_is_named_and_nothing_is_changed(
    simple: SimpleOptimizer[Any], fused: bool | None
) -> None:
    fields = next(iter(stepped(simple, fused)[1].state.values()))
    for name, field in fields.items():
        for kind, replaced in WRONG.items():
            if not isinstance(field, Tensor) and kind in NO_WRONG_NUMBERS:
                continue
            model, optimizer = stepped(simple, fused)
            weights = values(model)
            state = optimizer.state[model[1].weight]
            state[name] = replaced(field)

            with pytest.raises(ValueError, match=rf"1\.weight: its state .* {name} "):
                optimizer.step()

            assert alike(values(model), weights)


@ENGINES
def test_a_state_that_is_no_dict_is_named(fused: bool | None) -> None:
    model, optimizer = stepped(AdamW(), fused)
    optimizer.state[model[0].weight] = torch.zeros(4, 6)

    with pytest.raises(ValueError, match=r"0\.weight: .* is a Tensor, expected a dict"):
        optimizer.step()


@ENGINES
def test_an_option_that_needs_a_field_which_no_state_has_is_named(
    fused: bool | None,
) -> None:
    _, optimizer = stepped(AdamW(), fused)
    optimizer.param_groups[0]["amsgrad"] = True

    with pytest.raises(ValueError, match=r"0\.weight: .* lacks max_exp_avg_sq"):
        optimizer.step()


def test_a_state_dict_without_a_number_is_refused() -> None:
    _, optimizer = stepped(AdamW(), None)
    stored = optimizer.state_dict()
    del stored["state"][1]["step"]
    weights = copies(optimizer)

    with pytest.raises(RecordMismatchError, match=r"1\.weight: the .* lacks step"):
        optimizer.load_state_dict(stored)

    assert alike(copies(optimizer), weights)


def test_a_field_that_no_state_has_is_refused_if_no_tool_kept_it_there() -> None:
    _, optimizer = stepped(AdamW(), None)
    record = optimizer.into_record()
    for stored in record.states.values():
        stored.values["momentum"] = torch.zeros(1)

    with pytest.raises(RecordMismatchError, match="the stored state has momentum"):
        optimizer.load_record(record)
