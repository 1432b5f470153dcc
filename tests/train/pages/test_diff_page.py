"""The page of a comparison: the layer that moved most is seen, and all that differs."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.train.inspection.diff import diff
from burnish.train.pages import diff_page as module
from burnish.train.pages.diff_page import diff_page

from ...chromium import Browser, needs_chromium
from .test_page import HOSTILE, data_of


def weights(n_layers: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        f"net.layers.{i}.{name}": torch.randn(8, 8)
        for i in range(n_layers)
        for name in ("up.weight", "down.weight")
    } | {"head.weight": torch.randn(4, 8)}


def moved(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    changed = {name: tensor + 1e-4 for name, tensor in tensors.items()}
    changed["net.layers.4.up.weight"] += 0.5
    changed["head.weight"] = tensors["head.weight"]
    return changed


def test_the_page_tells_all_that_differs() -> None:
    a = weights()
    b = moved(a) | {HOSTILE: torch.ones(1), "\x1b[2J": torch.full((2,), math.nan)}
    b["net.layers.0.up.weight"] = torch.ones(3)
    b["net.layers.1.up.weight"] = torch.full((8, 8), math.nan)

    page = diff_page(diff(a, b))

    content: Any = data_of(page)
    assert content["nEqual"] == 1
    assert content["layers"][0]["name"] == "net.layers.1"
    assert content["changed"][0]["moved"] == "inf"
    titles = [title for title, *_ in content["sections"]]
    assert titles == ["Only in B", "Another shape"]
    assert "<img" not in page
    assert "\x1b" not in page


def test_of_very_many_tensors_those_that_moved_most_are_on_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    a = weights()

    content: Any = data_of(diff_page(diff(a, moved(a))))

    assert content["changed"][0]["name"] == "net.layers.4.up.weight"
    assert len(content["changed"]) == 3
    assert content["nChanged"] == 12
    assert "3 of 12 changed tensors" in content["note"]


def test_what_is_the_same_is_said_to_be_so() -> None:
    content: Any = data_of(diff_page(diff(weights(), weights())))

    assert content["same"]
    assert content["summary"] == "the same"


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Browser:
    a = weights()
    file = tmp_path / "page.html"
    file.write_text(diff_page(diff(a, moved(a) | {HOSTILE: torch.ones(1)})))
    browser.log.clear()
    browser.open(file)
    return browser


@needs_chromium
def test_a_browser_shows_which_layer_moved_most(opened: Browser) -> None:
    assert opened.log == []
    assert opened.value("document.querySelector('.tile b').textContent") == (
        "net.layers.4"
    )
    most = opened.value("document.querySelector('.heat .most').title")
    assert most.startswith("net.layers.4: moved by ")
    assert opened.value("document.querySelectorAll('.heat td button').length") == 19
    assert opened.value("document.querySelectorAll('img').length") == 0


@needs_chromium
def test_a_layer_of_the_map_leads_to_its_tensors(opened: Browser) -> None:
    opened.value("document.querySelector('.heat .most').click()")

    cells = "[...document.querySelectorAll('td.name')].map(e => e.textContent)"
    assert opened.value(cells) == [
        "net.layers.4.up.weight",
        "net.layers.4.down.weight",
    ]


@needs_chromium
def test_the_table_is_searched_and_sorted(opened: Browser) -> None:
    cells = "[...document.querySelectorAll('td.name')].map(e => e.textContent)"
    opened.press("/")
    opened.type("down")
    opened.value("document.querySelector('th button').click()")

    assert opened.value(cells) == [f"net.layers.{i}.down.weight" for i in range(6)]


@needs_chromium
def test_a_narrow_window_cuts_nothing_off(opened: Browser, tmp_path: Path) -> None:
    opened.open(tmp_path / "page.html", 420, is_dark=True)

    assert opened.value("document.documentElement.scrollWidth") <= 420


@needs_chromium
def test_names_of_layers_are_broken_between_their_parts_alone(
    browser: Browser, tmp_path: Path
) -> None:
    def renamed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {f"transformer_{name}": tensor for name, tensor in tensors.items()}

    file = tmp_path / "page.html"
    a = weights()
    file.write_text(diff_page(diff(renamed(a), renamed(moved(a)))))

    browser.open(file, 420)

    texts = """(() => {
        const node = document.querySelector('.tile b'), range = new Range();
        return [...node.childNodes].filter(n => n.nodeType === 3).map(n => {
            range.selectNodeContents(n);
            return [n.textContent, range.getClientRects().length];
        });
    })()"""
    assert browser.value(texts) == [["transformer_net", 1], [".layers", 1], [".4", 1]]
    assert browser.value("document.documentElement.scrollWidth") <= 420


@needs_chromium
def test_two_of_the_same_have_a_page_too(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "same.html"
    file.write_text(diff_page(diff(weights(), weights())))
    browser.log.clear()

    browser.open(file)

    assert browser.log == []
    assert "the same" in browser.value("document.querySelector('.good').textContent")
