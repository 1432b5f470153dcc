"""Configurations with numbers that may follow schedules."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Leaf:
    lr: float = 0.1
    n: int = 1


LIN = "step: 1.0@0 lin 0.1@1000"
