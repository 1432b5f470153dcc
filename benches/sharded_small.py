"""How long do two processes take to save, and to load, 2,400 small sharded tensors?"""

from pathlib import Path

from harness import Row, scratch
from sharded_folders import Case, compared

CASE = Case("5 MB, 2,400 tensors", 24, 1200, 3, {"save": 0.45, "load": 0.25})


def run() -> list[Row]:
    with scratch() as folder:
        return compared(CASE, Path(folder))
