"""The page of a run: while it goes on, when it is over, and how it ended early."""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from burnish.train.pages.run_page import (
    KeptCheckpoint,
    RunContent,
    RunState,
    Setting,
    run_page,
)

from ...chromium import Browser, needs_chromium
from .test_page import HOSTILE, data_of

STEPS = [*range(0, 200, 2)]


def page_of(state: Any = "finished", **options: Any) -> str:
    content: dict[str, Any] = {
        "title": "Net: first",
        "state": state
        if isinstance(state, RunState)
        else RunState(state=state, epoch=2, n_epochs=5, written=int(time.time())),
        "curves": {
            "training/loss": (STEPS, [1 / (1 + step) for step in STEPS]),
            "validation/loss": ([100, 198], [0.4, math.nan]),
        },
        "course": {"learning rate": (STEPS, [1e-3] * len(STEPS))},
        "facts": {"model": "Net"},
        "origin": {"command": "burnish fit", "git commit": "abc"},
        "monitor": "validation/loss",
        "checkpoints": [
            KeptCheckpoint(name="epoch=0", score=0.5),
            KeptCheckpoint(name="epoch=1", score=0.4, is_best=True, is_last=True),
        ],
        "settings": [Setting(path="lr", value="0.1", default="0.001")],
        "config": "lr: 0.1\nwidth: 4",
    }
    return run_page(RunContent(**{**content, **options}))


def test_curves_keep_their_ends_and_what_is_not_finite_is_counted() -> None:
    content: Any = data_of(page_of())

    training, validation = content["curves"]
    assert training["lowest"] == pytest.approx(1 / 199, rel=1e-5)
    assert (validation["last"], validation["nBad"]) == ("nan", 1)


def test_a_long_curve_is_thinned_and_keeps_its_last_point() -> None:
    steps = [*range(100_001)]

    page = page_of(curves={"training/loss": (steps, [float(s) for s in steps])})

    content: Any = data_of(page)
    (curve,) = content["curves"]
    assert len(curve["steps"]) <= 801
    assert (curve["steps"][-1], curve["values"][-1]) == (100_000, 100_000)
    assert len(page) < 100_000


def test_nothing_that_a_person_wrote_is_markup() -> None:
    page = page_of(
        title=HOSTILE,
        facts={HOSTILE: HOSTILE},
        origin={"command": HOSTILE},
        settings=[Setting(path=HOSTILE, value=HOSTILE, default=HOSTILE)],
        config=f"a: {HOSTILE}\x1b[2J",
        edits=[[HOSTILE] * 7],
    )

    assert "<img" not in page
    assert "\x1b" not in page


def opened(browser: Browser, folder: Path, page: str, width: int = 1400) -> str:
    file = folder / "report.html"
    file.write_text(page)
    browser.log.clear()
    browser.open(file, width)
    assert browser.log == []
    text: str = browser.value("document.body.innerText")
    return text


@needs_chromium
def test_a_run_that_is_over_is_told_with_plots_and_tables(
    browser: Browser, tmp_path: Path
) -> None:
    text = opened(browser, tmp_path, page_of())

    assert "finished" in text
    assert text.count("Net: first") == 1
    assert browser.value("document.querySelectorAll('figure svg').length") == 2
    assert "★ best" in text
    assert "0.001" in text
    assert "1 value not finite" in text
    assert "burnish fit" not in text
    browser.value("[...document.querySelectorAll('summary')].pop().click()")
    assert "burnish fit" in browser.value("document.body.innerText")


@needs_chromium
def test_a_run_that_goes_on_says_that_its_page_is_written_anew(
    browser: Browser, tmp_path: Path
) -> None:
    text = opened(browser, tmp_path, page_of("running"))

    assert "epoch 2 of 5 done" in text
    assert "written anew after each epoch" in text
    assert "killed" not in text


@needs_chromium
def test_a_page_that_was_not_written_for_long_says_so(
    browser: Browser, tmp_path: Path
) -> None:
    state = RunState(
        state="running", epoch=1, seconds_per_epoch=1.0, written=1_000_000_000
    )

    assert "may have been killed" in opened(browser, tmp_path, page_of(state=state))


@needs_chromium
def test_a_run_that_ended_early_says_why(browser: Browser, tmp_path: Path) -> None:
    state = RunState(state="failed", problem="ValueError: no", written=int(time.time()))

    text = opened(browser, tmp_path, page_of(state=state))

    assert "Ended early: ValueError: no" in text


@needs_chromium
def test_a_narrow_window_cuts_nothing_off(browser: Browser, tmp_path: Path) -> None:
    settings = [Setting(path="a." * 40 + "b", value="x" * 300, default="y" * 90)]

    opened(browser, tmp_path, page_of(settings=settings, edits=[["7"] * 7]), 420)

    assert browser.value("document.documentElement.scrollWidth") <= 420


@needs_chromium
def test_a_run_without_curves_has_a_page(browser: Browser, tmp_path: Path) -> None:
    text = opened(browser, tmp_path, page_of(curves={}, course={}, checkpoints=[]))

    assert "Checkpoints" not in text
