"""sweep.html: the runs of a sweep side by side, rewritten after each."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...config.storage.replacement import write_text
from ..pages.sweep_page import SweepRun, sweep_page
from .fit_config import SECTIONS
from .summary import note_in_sweep, summaries_below

NAME = "sweep.html"


def note_run(
    sweep: Path, folder: Path, overrides: Sequence[str], problem: str, sweep_id: str
) -> Path:
    """Add the run in ``folder`` to the page of its sweep, and return the page.

    The page has the runs recorded with ``sweep_id``, and counts older ones.
    """
    note_in_sweep(folder, _settings(overrides), problem, sweep_id)
    summaries = [*summaries_below(sweep)]
    runs = [
        SweepRun(
            name=place.relative_to(sweep).as_posix(),
            has_report=(place / "report.html").exists(),
            summary=summary,
        )
        for place, summary in summaries
        if summary.get("sweep") == sweep_id
    ]
    page = sweep_page(sweep.name, runs, n_older=len(summaries) - len(runs))
    write_text(sweep / NAME, page)
    return sweep / NAME


def _settings(overrides: Sequence[str]) -> dict[str, str]:
    """Return the values of overrides by key, without its section if it has one."""
    values = dict(map(_setting, overrides))
    n_named = Counter(map(_without_section, values))
    return {
        short if n_named[short := _without_section(key)] == 1 else key: value
        for key, value in values.items()
    }


def _setting(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if key.startswith("~"):
        return key, "deleted"
    return key.lstrip("+"), value if equals else ""


def _without_section(key: str) -> str:
    for section in (f"{SECTIONS[-1]}.trainer", *SECTIONS):
        key = key.removeprefix(f"{section}.")
    return key
