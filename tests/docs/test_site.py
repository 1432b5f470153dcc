"""The site has every page and public name; its links and its picture are true."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml
from tools.plot_results import PICTURE, ROWS, Row, ratio_of
from tools.public_surface import PACKAGES as PUBLIC
from tools.site_pages import PACKAGES, PAGES, recipes, reference

ROOT = Path(__file__).parent.parent.parent
TEXTS = [
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]


def test_every_page_of_the_docs_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    pages = {str(f.relative_to(ROOT / "docs")) for f in (ROOT / "docs").rglob("*.md")}
    pages |= {*PAGES, "recipes.md"} | {f"api/{package}.md" for package in PACKAGES}

    assert {page for page in pages if f": {page}\n" not in navigation} == set()


def test_every_public_package_has_a_reference() -> None:
    assert {*PACKAGES.values()} == {*PUBLIC}


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_is_in_the_reference(package: str) -> None:
    page = reference(package)
    names = {line.rpartition(".")[2] for line in page.splitlines() if "::: " in line}

    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        is_there = (
            f"`{package}.{name}`" in page if inspect.ismodule(value) else name in names
        )
        assert is_there, name


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_a_link_into_a_page_names_a_heading_there(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        file = page.parent / target if target else page
        assert anchor in anchors(file), f"{target}#{anchor}"


def anchors(page: Path) -> list[str]:
    """Return the names by which the headings of a page are reached."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return [
        re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", t).strip().lower())
        for t in titles
    ]


def test_every_picture_is_small_and_on_a_page() -> None:
    pictures = [*(ROOT / "docs/assets").iterdir()]
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))

    assert {p.name for p in pictures if f"(assets/{p.name})" not in pages} == set()
    assert all(p.stat().st_size < 100_000 for p in pictures)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label.replace("\n", " "))
def test_every_bar_of_the_picture_is_a_row_of_the_results(row: Row) -> None:
    assert 0.0 < ratio_of(row) < 10.0


def test_the_picture_was_drawn_of_the_results_of_now() -> None:
    # Matplotlib notes each text that it draws as a comment.
    texts = re.findall(r"<!-- (.*?) -->", PICTURE.read_text())
    labels = [line for row in ROWS for line in row.label.split("\n")]
    ratios = [f"{ratio_of(row):.2f}" for row in ROWS]

    renewal = "python tools/plot_results.py renews it"
    assert texts[-len(labels + ratios) :] == labels + ratios, renewal


def test_the_page_of_recipes_links_to_each_and_has_it_whole() -> None:
    page = recipes()

    for file in (ROOT / "examples/recipes").glob("*.py"):
        assert f"[`{file.name}`](#{file.stem}py)" in page
        assert f"\n## {file.name}\n" in page
        assert file.read_text() in page


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('net.save_record("net.mpk")', ["net", "save_record", "net", "mpk"]),
        (
            'open_record(file, dtype="stored")',
            ["open_record", "file", "dtype", "stored"],
        ),
        (
            "its process (SIGBUS). torch 2.6",
            ["its", "process", "SIGBUS", "torch", "2.6"],
        ),
    ],
)
def test_the_search_takes_names_out_of_code(text: str, words: list[str]) -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    (search,) = (p["search"] for p in settings["plugins"] if "search" in p)

    assert [w for w in re.split(search["separator"], text) if w] == words


def test_a_row_that_was_not_measured_is_an_error() -> None:
    with pytest.raises(KeyError, match="no row"):
        ratio_of(ROWS[0]._replace(question="never asked"))
