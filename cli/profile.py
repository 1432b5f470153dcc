"""``burnish profile``: where the time of one training and one validation batch goes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from .hydra_app import run_on_hydra
from .main import main as command

ABOUT = "Run one training and one validation batch, and tell where their time goes."


def main(argv: Sequence[str]) -> int:
    """Profile what the words of ``argv`` say, and return the exit status."""
    return run_on_hydra("burnish profile", ABOUT, argv, _profile)


def _profile(tree: dict[str, object], folder: Path) -> None:
    from ..train.fit.fit_config import FitConfig
    from ..train.fit.run_fit import profile

    print(f"profile: {profile(FitConfig(tree, 'configuration'), folder)}")


if __name__ == "__main__":
    raise SystemExit(command(["profile", *sys.argv[1:]]))
