"""Reads digits with a trained model: python recognize.py RUN_FOLDER."""

import sys
from pathlib import Path

import torch
from digits_model import (  # type: ignore[import-not-found]  # beside it
    Digits,
    DigitsData,
)


def main(run: str) -> float:
    """Load the last checkpoint without initializing it, and return its accuracy."""
    model = Digits.load_from_checkpoint(Path(run) / "checkpoints/last").eval()
    pictures, digits = DigitsData({"seed": 1}).test[:]
    with torch.no_grad():
        read = model(pictures).argmax(1)
    accuracy = float((read == digits).float().mean())
    print(f"read {read[:12].tolist()}, right are {digits[:12].tolist()}")
    print(f"accuracy on {len(digits)} digits never trained on: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1])
