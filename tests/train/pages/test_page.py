"""A page in one file: nothing in its texts is markup, and it asks nobody for more."""

import base64
import hashlib
import json
import re

import pytest

from burnish.train.pages.page import page_text

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\u2028"


def data_of(page: str) -> object:
    content = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert content is not None
    return json.loads(content[1])


def test_texts_come_back_as_they_were_and_are_never_markup() -> None:
    page = page_text("record", HOSTILE, {"names": [HOSTILE]})

    assert data_of(page) == {"names": [HOSTILE]}
    assert "<img" not in page
    assert page.count("<script") == 3
    assert page.count("</script>") == 3


@pytest.mark.parametrize("kind", ["record", "diff", "run", "sweep"])
def test_a_page_names_nothing_outside_itself(kind: str) -> None:
    page = page_text(kind, "x", {})  # type: ignore[arg-type]  # one of three texts

    text = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|@import|url\(|<link|src=", text)


def test_the_browser_is_told_to_run_the_scripts_of_the_page_alone() -> None:
    page = page_text("record", "x", {})

    rules = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert rules is not None
    for text in re.findall(r"<script>(.*?)</script>", page, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in rules[1]
    assert "default-src 'none'" in rules[1]
    assert "unsafe" not in rules[1]


def test_scripts_put_no_text_into_the_page_as_markup() -> None:
    page = page_text("record", "x", {}) + page_text("diff", "x", {})
    page += page_text("sweep", "x", {})

    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
        assert word not in page


def test_numbers_that_json_has_not_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        page_text("record", "x", {"mean": float("nan")})
