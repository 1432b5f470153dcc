"""What `mkdocs` asks while it builds the site: pages that do not lie in docs/.

Files at the top of the repository become pages, links to them lead there, the
references list the public names of each package as `__all__` has them, and the recipes
stand on one page, whole.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {
    "ARCHITECTURE.md": "ARCHITECTURE.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "RESULTS.md": "benches/RESULTS.md",
}
"""From a page of the site to its file in the repository."""

PACKAGES = {
    "burnish": "burnish",
    "records": "burnish.records",
    "optim": "burnish.optim",
    "schedulers": "burnish.optim.schedulers",
    "config": "burnish.config",
    "schema": "burnish.config.schema",
    "core": "burnish.core",
    "blueprint": "burnish.core.blueprint",
    "train": "burnish.train",
}
"""From a page under api/ to its package."""

RECIPES = "examples/recipes"

SEARCH_BOOSTS = {
    "ARCHITECTURE.md": 0.1,
    "CHANGELOG.md": 0.01,
    "CONTRIBUTING.md": 0.1,
    "RESULTS.md": 0.1,
}
"""Of pages that have every word somewhere, and would stand above the guides."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made of other files."""
    for page, file in PAGES.items():
        text = (ROOT / file).read_text()
        files.append(File.generated(config, page, content=_moved_links(text)))
    for page, package in PACKAGES.items():
        text = reference(package)
        files.append(File.generated(config, f"api/{page}.md", content=text))
    files.append(File.generated(config, "recipes.md", content=recipes()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links to files of the repository lead to their pages; show bars as such."""
    if page.file.src_path in SEARCH_BOOSTS:
        page.meta["search"] = {"boost": SEARCH_BOOSTS[page.file.src_path]}
    # In tables GitHub wants a bar escaped within code too, where mkdocs shows the sign.
    bars = re.sub(r"`[^`\n]+`", lambda code: code[0].replace("\\|", "|"), markdown)
    return _moved_links(bars)


def reference(package: str) -> str:
    """Return the page of a package: what it is, and each of its public names."""
    module = importlib.import_module(package)
    parts = [_part(package, name) for name in module.__all__]
    return "\n\n".join([f"# {package}", (module.__doc__ or "").strip(), *parts, ""])


def recipes() -> str:
    """Return the page of the recipes: their index, then each program."""
    index = (ROOT / RECIPES / "README.md").read_text()
    files = sorted((ROOT / RECIPES).glob("*.py"))
    for file in files:
        # A heading is reached by its name without the dot.
        index = index.replace(f"`{file.name}`", f"[`{file.name}`](#{file.stem}py)")
    parts = [f"## {file.name}\n\n```python\n{file.read_text()}```" for file in files]
    return "\n\n".join([index, *parts])


def _part(package: str, name: str) -> str:
    """Return the directive that its docstring follows; of a package, a link."""
    value = getattr(importlib.import_module(package), name)
    if not inspect.ismodule(value):
        return f"::: {_defined_at(value) or f'{package}.{name}'}"
    page = next((p for p, other in PACKAGES.items() if other == value.__name__), None)
    about = (value.__doc__ or "").partition("\n")[0]
    title = f"`{value.__name__}`"
    return f"- {f'[{title}]({page}.md)' if page else title}: {about}"


def _defined_at(value: object) -> str | None:
    """Return where a class or function of ours stands; None for all else."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return None
    is_ours = value.__module__.startswith("burnish")
    return f"{value.__module__}.{value.__qualname__}" if is_ours else None


def _moved_links(text: str) -> str:
    for page, file in PAGES.items():
        text = re.sub(
            rf"\]\((\.\./)?{re.escape(file)}(#[^)]*)?\)", rf"]({page}\2)", text
        )
    text = re.sub(r"\]\(docs/", "](", text)
    recipe = rf"\]\((?:\.\./)?{RECIPES}/"
    text = re.sub(rf"{recipe}README\.md\)", "](recipes.md)", text)
    text = re.sub(rf"{recipe}(\w+)\.py\)", r"](recipes.md#\1py)", text)
    # What else lies in the repository is named, not linked: the site stands alone.
    return re.sub(r"\[([^\]]+)\]\((\.\./|examples/|benches/)[^)]*\)", r"\1", text)
