"""The page of a record as a browser draws it, and as its text tells it."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records import Record
from burnish.train.inspection.part_view import part_views
from burnish.train.inspection.stored_parts import stored_parts
from burnish.train.pages import record_page as module
from burnish.train.pages.record_page import record_page

from ...chromium import Browser, needs_chromium
from .test_page import HOSTILE, data_of


def page_of(tensors: dict[str, torch.Tensor], file: Path) -> str:
    Record.from_state_dict(tensors).save(file)
    with stored_parts(str(file)) as source:
        return record_page(file.name, [*part_views(source)], ["a line"])


def tensors_of(page: str) -> dict[str, Any]:
    content: Any = data_of(page)
    return {tensor["name"]: tensor for tensor in content["tensors"]}


def ordinary(n_layers: int = 12) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        f"layers.{i}.{name}.weight": torch.randn(24, 16) / (i + 1)
        for i in range(n_layers)
        for name in ("up", "down")
    }


def test_each_tensor_has_a_histogram_and_what_is_odd_is_said(tmp_path: Path) -> None:
    tensors = ordinary(2)
    tensors["dead.weight"] = torch.zeros(5, 5)
    tensors["far.weight"] = torch.randn(50, 50).index_fill_(0, torch.tensor([3]), 1e-9)
    tensors["far.weight"][0, 0] = 4e5
    tensors["nan"] = torch.tensor([math.nan, 1.0])

    rows = tensors_of(page_of(tensors, tmp_path / "x.mpk"))

    assert [rows[name].get("odd", [{}])[0].get("kind") for name in tensors] == [
        *[None] * 4,
        "dead",
        "outliers",
        "NaN",
    ]
    assert max(rows["layers.0.up.weight"]["bins"]) == 100
    assert rows["far.weight"]["beyond"] == [0, 1]
    assert rows["far.weight"]["ends"][1] < 100
    assert "4e+05" in rows["far.weight"]["odd"][0]["text"]


@pytest.mark.parametrize("size", [1.7e308, 1e200, 1e-200])
def test_values_at_the_ends_of_float64_are_drawn(size: float, tmp_path: Path) -> None:
    values = torch.linspace(-1, 1, 600, dtype=torch.float64) * size
    values[0] = -torch.finfo(torch.float64).max
    beside = torch.cat([torch.full((3,), math.inf), torch.ones(400)])
    tensors = {"x": values, "same": values[1:].fill_(size), "beside": beside}

    rows = tensors_of(page_of(tensors, tmp_path / "x.mpk"))

    assert rows["x"]["min"] == -torch.finfo(torch.float64).max
    assert "odd" not in rows["x"]
    assert rows["beside"]["odd"][0]["kind"] == "infinite"


def test_an_outlier_beyond_float32_is_marked(tmp_path: Path) -> None:
    values = torch.linspace(-1, 1, 3000, dtype=torch.float64)
    values[7] = 1e300
    tensors = {"x": values, "z": torch.complex(values, values)}

    rows = tensors_of(page_of(tensors, tmp_path / "x.mpk"))

    assert [odd["kind"] for odd in rows["x"]["odd"]] == ["outliers"]
    assert all(row["ends"][1] < 10 for row in rows.values())


def test_a_thousand_tensors_make_less_than_two_megabytes(tmp_path: Path) -> None:
    tensors = {f"model.layers.{i}.mlp.weight": torch.randn(64) for i in range(1000)}

    assert len(page_of(tensors, tmp_path / "x.mpk")) < 2_000_000


def test_of_very_many_tensors_the_largest_and_the_odd_ones_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST", 5)
    monkeypatch.setattr(module, "_MOST_ODD", 2)
    tensors = {f"t.{i}": torch.randn(10 + i) for i in range(20)}
    tensors |= {f"dead.{i}": torch.zeros(2, 2) for i in range(3)}

    page = page_of(tensors, tmp_path / "x.mpk")

    names = [f"t.{i}" for i in range(15, 20)]
    assert [*tensors_of(page)] == [*names, "dead.0", "dead.1"]
    content: Any = data_of(page)
    assert content["nMarkedHidden"] == 1
    assert "7 of 23 tensors" in content["note"]


def test_names_from_files_neither_steer_a_terminal_nor_are_markup(
    tmp_path: Path,
) -> None:
    name = f"\x1b[2J{HOSTILE}"

    page = page_of({name: torch.randn(4)}, tmp_path / "x.mpk")

    assert "\x1b" not in page
    assert "<img" not in page
    (shown,) = tensors_of(page)
    assert shown.startswith("\\x1b[2J</script>")


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Browser:
    tensors = {
        **ordinary(),
        "layers.7.up.weight": torch.zeros(24, 16),
        HOSTILE: torch.randn(3, 3),
    }
    file = tmp_path / "page.html"
    file.write_text(page_of(tensors, tmp_path / "x.mpk"))
    browser.log.clear()
    browser.open(file)
    return browser


def names(browser: Browser) -> list[str]:
    script = "[...document.querySelectorAll('.card h3')].map(e => e.textContent)"
    shown: list[str] = browser.value(script)
    return shown


@needs_chromium
def test_a_browser_draws_every_tensor_and_asks_for_nothing(opened: Browser) -> None:
    assert opened.log == []
    assert len(names(opened)) == 25
    assert HOSTILE.replace("\u2028", "\\u2028") in names(opened)
    assert opened.value("document.querySelectorAll('img').length") == 0
    assert opened.value("document.querySelectorAll('.map button').length") == 24
    assert len(opened.picture()) > 10_000


@needs_chromium
def test_the_dead_tensor_stands_at_the_top_and_leads_to_its_picture(
    opened: Browser,
) -> None:
    text = opened.value("document.querySelector('main li').innerText")

    assert "dead" in text
    assert "layers.7.up.weight" in text
    opened.value("document.querySelector('main li button').click()")
    assert names(opened) == ["layers.7.up.weight"]
    focused = opened.value("document.activeElement.getAttribute('aria-label')")
    assert focused == "layers.7.up.weight"


@needs_chromium
def test_searching_leaves_what_matches_all_words(opened: Browser) -> None:
    opened.press("/")
    opened.type("l*.1 down")

    assert names(opened) == [f"layers.{i}.down.weight" for i in (1, 10, 11)]


@needs_chromium
def test_pictures_and_the_table_are_sorted(opened: Browser) -> None:
    opened.value(
        "{const s = document.querySelector('select'); s.value = 'standard deviation';"
        "s.dispatchEvent(new Event('change'))}"
    )
    assert names(opened)[-1] == "layers.7.up.weight"

    button = "[...document.querySelectorAll('.tools button')].pop().click()"
    opened.value(button)
    heads = "[...document.querySelectorAll('th button')]"
    opened.value(f"{heads}.find(b => b.textContent.startsWith('std')).click()")
    cells = "[...document.querySelectorAll('tbody td:first-child')]"
    first = opened.value(f"{cells}[0].textContent")
    assert first.startswith("layers.0.") or first.startswith("</script>")
    sorted_by = "document.querySelector('th[aria-sort]').getAttribute('aria-sort')"
    assert opened.value(sorted_by) == "descending"


@needs_chromium
@pytest.mark.parametrize("is_dark", [False, True])
def test_a_narrow_window_cuts_nothing_off(
    browser: Browser, tmp_path: Path, is_dark: bool
) -> None:
    file = tmp_path / "page.html"
    tensors = ordinary(3) | {f"{'deep.' * 30}weight": torch.randn(4, 4)}
    file.write_text(page_of(tensors, tmp_path / "x.mpk"))

    browser.open(file, 420, is_dark=is_dark)

    assert browser.value("document.documentElement.scrollWidth") <= 420
    color = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (color < "rgb(100") == is_dark or color == "rgb(20, 22, 26)"


@needs_chromium
def test_the_numbers_below_a_picture_stay_inside_its_card(
    browser: Browser, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    # Means that are nearly 0 have many digits, and none of them says anything.
    tensors = {f"a{i}.weight": torch.randn(64, 64) * 0.0041 for i in range(6)}
    file = tmp_path / "page.html"
    file.write_text(page_of(tensors, tmp_path / "net.mpk"))

    browser.open(file, 420)

    rows = "[...document.querySelectorAll('.ends')]"
    assert browser.value(f"{rows}.filter(e => e.scrollWidth > e.clientWidth)") == []
    assert all(
        re.fullmatch(r"-?0(\.000\d)? \u00b1 0\.004\d?", text)
        for text in browser.value(f"{rows}.map(e => e.children[1].textContent)")
    )


@needs_chromium
def test_arrow_keys_go_through_the_map(opened: Browser) -> None:
    opened.value("document.querySelector('.map button').focus()")
    before = opened.value("document.activeElement.title")

    opened.press("ArrowRight")

    after = opened.value("document.activeElement.title")
    assert after != before
    opened.press("Enter")
    assert names(opened) == [after.partition(",")[0]]


@needs_chromium
@pytest.mark.parametrize("width", [420, 1280])
def test_numbers_of_any_size_stay_inside_their_cards(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    normal = torch.randn(500, dtype=torch.float64)
    tensors = {f"n{i}": torch.tensor([-(2**63), 2**63 - 1, i]) for i in range(3)}
    tensors |= {f"x{i}": normal * -(10.0 ** (200 * i)) for i in (-1, 0, 1)}
    file = tmp_path / "x.html"
    file.write_text(page_of(tensors, tmp_path / "x.mpk"))

    browser.open(file, width)

    assert browser.value("document.documentElement.scrollWidth") <= width
    rows = "[...document.querySelectorAll('.ends')]"
    assert browser.value(f"{rows}.filter(e => e.scrollWidth > e.clientWidth)") == []
