"""What notebooks show: small, folded, in the colors of the page, never as markup."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.config import Hparams
from burnish.config.html import folded_html
from burnish.core.blueprint import Blueprint
from burnish.optim import AdamW
from burnish.optim.adaptor import engine_report
from burnish.records import Record


class Config(Hparams):
    width: int = 3
    name: str = "<script>alert(1)</script>"


class State(Record):
    step: int


SHOWN: dict[str, tuple[Callable[[], Any], str]] = {
    "the record of a module": (
        lambda: Record.from_state_dict({"<b>": torch.ones(2)}),
        "&lt;b&gt;",
    ),
    "declared fields": (lambda: State(3), "step=3"),
    "a load report": (
        lambda: burnish.load_record(
            nn.Linear(1, 1), burnish.save_record(nn.Linear(1, 1))
        ),
        "loaded 2 entries",
    ),
    "a diff": (
        lambda: burnish.diff({"w": torch.ones(1)}, {"w": torch.zeros(1)}),
        "w: moved",
    ),
    "hyperparameters": (Config, "&lt;script&gt;"),
    "a blueprint": (lambda: Blueprint(nn.Linear, 3, 4), "Linear"),
    "an engine report": (
        lambda: engine_report(AdamW().bind(nn.Linear(1, 1), lr=0.1)),
        "group 0",
    ),
}


@pytest.mark.parametrize("kind", SHOWN)
def test_what_has_a_repr_is_shown_in_notebooks(kind: str) -> None:
    make, words = SHOWN[kind]

    shown = make()._repr_html_()

    assert words in shown
    assert "<script" not in shown
    assert "<b>" not in shown


def test_a_long_text_is_folded_and_a_short_one_open() -> None:
    assert "<details>" in folded_html("head\n" + "line\n" * 99)
    assert "<details open>" in folded_html("head\nline")
    assert "<details" not in folded_html("head")


def test_there_are_no_colors_but_those_of_the_page() -> None:
    shown = folded_html("head\nline")

    assert "color:inherit" in shown
    assert "background:none" in shown
