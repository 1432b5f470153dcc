"""The examples of README.md and docs/ run, each page from top to bottom."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from burnish.config import loads
from burnish.train.fit.fit_config import FitConfig

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_block_of_the_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {"__name__": "page"}

    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_file_of_the_training_page_is_a_configuration_of_its_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = ROOT / "docs/training.md"
    module = ModuleType("regression")
    monkeypatch.setitem(sys.modules, "regression", module)
    start = "import torch\nfrom torch import nn\n"
    classes = next(block for block in blocks(page) if "class MyModel" in block)
    exec(start + classes.partition("\nmodel = ")[0], module.__dict__)
    [yaml] = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)

    config = FitConfig(loads(dict, yaml, format="yaml"), "regression.yaml")

    assert config.model.width == 4
    assert config.model.optimizer.kwargs == {"lr": 1e-3}
    assert config.data.loader.batch_size == 16
    assert config.run.trainer.max_epochs == 3


def blocks(page: Path) -> list[str]:
    """Return the page's python blocks, each at the line where it stands."""
    text = page.read_text()
    found: list[str] = []
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        line = text.count("\n", 0, match.start(1))
        found.append("\n" * line + match.group(1))
    return found
