"""The folders at the top of the repository are burnish, and depend one way."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["config", "records", "core", "optim", "train", "cli"]


@pytest.mark.parametrize("folder", LAYERS)
def test_link_and_mapping_name_every_folder(folder: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert wheel["sources"][folder] == f"burnish/{folder}"
    assert folder in wheel["only-include"]
    assert (ROOT / "src/burnish" / folder).resolve() == ROOT / folder


@pytest.mark.parametrize("folder", LAYERS)
def test_folder_imports_only_what_lies_below_it(folder: str) -> None:
    allowed = LAYERS[: LAYERS.index(folder) + 1]
    for file in sorted((ROOT / folder).rglob("*.py")):
        for line, part in imported_parts(file):
            assert part in allowed, f"{file}:{line} imports {part}"


def test_records_never_name_a_module_of_torch() -> None:
    for file in sorted((ROOT / "records").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr != "Module", f"{file}:{node.lineno}"


def imported_parts(file: Path) -> list[tuple[int, str]]:
    """Return (line, part of burnish) of every import; an absolute one is an error."""
    package = ("burnish", *file.relative_to(ROOT).parent.parts)
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = (*base, *(node.module or "").split("."))
            found += [(node.lineno, t) for t in target[1:2] if t]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [getattr(node, "module", None), *(a.name for a in node.names)]
            assert not any(str(n).split(".")[0] == "burnish" for n in names), (
                f"{file}:{node.lineno}: import siblings relatively"
            )
    return found
