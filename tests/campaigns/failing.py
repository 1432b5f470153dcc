"""The trials of faults.py in a process where calls can fail; prints JSON.

Run by `run_preloaded`: python -m tests.campaigns.failing EVERY KINDS SCENARIOS
"""

import json
import sys
import tempfile
from pathlib import Path

import torch

from .faults import KINDS, failed_everywhere
from .scenarios import SCENARIOS


def main(every: int, kinds: list[str], scenarios: list[str]) -> None:
    torch.set_num_threads(1)
    outcomes: dict[str, dict[str, dict[str, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in scenarios:
            for kind in kinds:
                found = failed_everywhere(
                    SCENARIOS[name], kind, Path(folder) / "work", every=every
                )
                outcomes.setdefault(name, {})[kind] = dict(found)
                print(name, kind, dict(found), file=sys.stderr, flush=True)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    chosen = [argument.split(";") for argument in sys.argv[2:4]]
    main(int(sys.argv[1]), chosen[0] or [*KINDS], chosen[1] or [*SCENARIOS])
