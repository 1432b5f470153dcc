"""The site has every page, and its picture shows what was measured."""

from pathlib import Path

import pytest
from tools.plot_results import ROWS, Row, ratio_of
from tools.site_pages import PACKAGES, PAGES

ROOT = Path(__file__).parent.parent.parent


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    pages = {str(f.relative_to(ROOT / "docs")) for f in (ROOT / "docs").rglob("*.md")}
    pages |= set(PAGES) | {f"api/{package}.md" for package in PACKAGES}

    assert {page for page in pages if f": {page}\n" not in navigation} == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label.replace("\n", " "))
def test_every_bar_of_the_picture_is_a_row_of_the_results(row: Row) -> None:
    assert 0.0 < ratio_of(row) < 10.0


def test_a_row_that_was_not_measured_is_an_error() -> None:
    with pytest.raises(KeyError, match="no row"):
        ratio_of(ROWS[0]._replace(question="never asked"))
