"""Continues a text with a trained model: python continue_text.py RUN_FOLDER TEXT."""

import sys
from pathlib import Path

from characters_model import Characters  # type: ignore[import-not-found]  # beside it


def main(run: str, text: str) -> str:
    """Load the last checkpoint without initializing it, and return the longer text."""
    model = Characters.load_from_checkpoint(Path(run) / "checkpoints/last").eval()
    longer: str = model.continued(text)
    print(longer)
    return longer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "The following ")
