"""``burnish fit``: train a model that a file describes."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .hydra_app import run
from .main import main as command

ABOUT = "Train the model that a file describes; the run's folder holds all results."


def main(argv: Sequence[str]) -> int:
    """Train as the words of ``argv`` say, and return the exit status."""
    return run("burnish fit", ABOUT, argv, _fit)


def _fit(tree: dict[str, Any], folder: Path) -> None:
    from ..train.fit_config import FitConfig
    from ..train.fitting import fit

    fit(FitConfig(tree, "configuration"), folder)
    print(f"results: {folder / 'report.html'}")


if __name__ == "__main__":
    raise SystemExit(command(["fit", *sys.argv[1:]]))
