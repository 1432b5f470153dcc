"""The page of a sweep as a browser draws it, and as its text tells it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from burnish.train.pages.sweep_page import SweepRun, sweep_page

from ...chromium import Browser, needs_chromium
from .test_page import HOSTILE, data_of


def run_named(name: str, loss: object = 0.5, **settings: object) -> SweepRun:
    ends = {"last": loss, "lowest": loss, "highest": loss}
    summary: dict[str, Any] = {"metrics": {"validation/loss": ends}, "epochs": 2}
    summary["settings"] = {key: str(value) for key, value in settings.items()}
    return SweepRun(name=name, has_report=True, summary=summary)


def content_of(*runs: SweepRun) -> Any:
    return data_of(sweep_page("a sweep", runs))


GRID = [
    run_named(f"{i}", loss=10.0 / (i + 1), width=width, lr=lr, opt=opt, depth=3)
    for i, (width, lr, opt) in enumerate(
        (width, lr, opt)
        for width in (8, 16, 32)
        for lr in (1e-4, 1e-2, 1)
        for opt in ("adam", "sgd")
    )
]


def test_settings_that_differ_are_axes_and_others_are_said_once() -> None:
    content = content_of(*GRID)

    assert content["params"] == ["width", "lr", "opt"]
    assert content["same"] == [["depth", "3"]]
    assert content["runs"][0]["params"] == [8.0, 0.0001, "adam"]
    assert content["runs"][0]["report"] == "0/report.html"


def test_a_setting_that_a_run_lacks_is_no_value() -> None:
    content = content_of(run_named("0", lr=1), run_named("1"))

    assert [run["params"] for run in content["runs"]] == [[1.0], [None]]


@pytest.mark.parametrize("loss", ["nan", "inf", None, HOSTILE, [1], True])
def test_what_a_summary_has_in_place_of_numbers_does_no_harm(loss: object) -> None:
    content = content_of(run_named(HOSTILE, loss, **{HOSTILE: HOSTILE}))

    expected = {"last": loss} if loss in ("nan", "inf") else {}
    last = content["runs"][0]["metrics"]["validation/loss"]
    assert {k: v for k, v in last.items() if k == "last"} == expected


def test_no_name_is_markup_and_a_link_leaves_no_folder() -> None:
    page = sweep_page(HOSTILE, [run_named(HOSTILE, a=HOSTILE), run_named("b")])

    assert "<img" not in page
    assert "%3Cscript" in page


def opened(browser: Browser, folder: Path, width: int = 1300) -> None:
    file = folder / "sweep.html"
    file.write_text(sweep_page("grid", [*GRID, run_named(HOSTILE, "nan", lr=HOSTILE)]))
    browser.open(file, width)


ROWS = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent)"


@needs_chromium
def test_the_best_run_comes_first_and_a_head_sorts(
    browser: Browser, tmp_path: Path
) -> None:
    opened(browser, tmp_path)
    by_best = browser.value(ROWS)
    head = "[...document.querySelectorAll('th button')].find(b => b.textContent"
    browser.value(f"{head} === 'run').click()")

    assert by_best[:3] == ["17", "16", "15"]
    assert browser.value(ROWS)[1:4] == ["0", "1", "2"]
    assert browser.value("document.querySelectorAll('.plot .run').length") == 19
    assert browser.log == []


@needs_chromium
def test_runs_are_searched_and_marked(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path)

    browser.value("document.querySelector('input').focus()")
    browser.type("width=16 sgd")

    assert browser.value(ROWS) == ["11", "9", "7"]
    assert "3 of 19 runs" in browser.value("document.body.innerText")
    browser.value("document.querySelector('tbody button').click()")
    marked = "document.querySelectorAll('tbody [aria-pressed=true]').length"
    assert browser.value(marked) == 1


@needs_chromium
def test_drawing_along_an_axis_keeps_the_runs_there(
    browser: Browser, tmp_path: Path
) -> None:
    opened(browser, tmp_path)
    box = browser.value(
        "(r => [r.left + 8, r.top, r.bottom])"
        "(document.querySelector('.plot rect').getBoundingClientRect())"
    )

    for kind, y in (("mousePressed", box[1] + 2), ("mouseReleased", box[1] + 50)):
        browser.send(
            "Input.dispatchMouseEvent",
            type=kind,
            x=box[0],
            y=y,
            button="left",
            clickCount=1,
        )

    assert sorted(map(int, browser.value(ROWS))) == [12, 13, 14, 15, 16, 17]
    assert browser.log == []


@needs_chromium
@pytest.mark.parametrize("width", [420, 800, 1300])
def test_no_part_is_cut_off(width: int, browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, width)

    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("typeof window.alert") == "function"


@needs_chromium
def test_an_error_has_the_width_of_a_narrow_window(
    browser: Browser, tmp_path: Path
) -> None:
    failed = run_named("1", lr="nan")
    problem = "ValueError: lr must be at least 0, got nan"
    summary = {**failed.summary, "metrics": {}, "problem": problem}
    runs = [run_named("0", lr=0.01), dataclasses.replace(failed, summary=summary)]
    file = tmp_path / "sweep.html"
    file.write_text(sweep_page("a sweep", runs))

    browser.open(file, 420)

    assert browser.value("document.querySelector('td .grave').offsetWidth") > 250
    cell = "document.querySelector('td[data-label=lr]')"
    assert browser.value(f"{cell}.className") == "number"
