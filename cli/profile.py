"""``burnish profile``: where the time of a training and a validation batch is spent."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from .hydra_app import run_on_hydra
from .hydra_words import hydra_parser
from .main import main as command

ABOUT = "run one training and one validation batch, and show where their time goes"

_EXAMPLES = """
burnish profile --config-name digits
burnish profile --config-name digits data.batch_size=256 hydra.run.dir=profile
"""


def main(argv: Sequence[str]) -> int:
    """Profile the run described by ``argv``, and return the exit status."""
    return run_on_hydra(_parser(), argv, _profile)


def _parser() -> ArgumentParser:
    return hydra_parser("profile", ABOUT, _EXAMPLES)


def _profile(tree: dict[str, object], folder: Path) -> None:
    from ..train.fit.fit_config import FitConfig
    from ..train.fit.run_fit import profile

    print(f"profile: {profile(FitConfig(tree, 'configuration'), folder)}")


if __name__ == "__main__":
    raise SystemExit(command(["profile", *sys.argv[1:]]))
