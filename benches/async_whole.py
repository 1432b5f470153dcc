"""How long does a save that nobody waits for take to its end, against one that is?

Nothing goes on beside it. Of modules and their AdamW, in memory and without fsync; two
threads.
"""

from pathlib import Path

import torch
from async_save import THREADS, Runs, stepped
from harness import Row, Samples, no_fsync, race, scratch
from models import ManyLinear, gpt2
from torch import nn

PAIRS = 3


def run() -> list[Row]:
    torch.set_num_threads(THREADS)
    return [
        *rows_of(gpt2(n_layer=3), "GPT-2 of 3 layers and AdamW, 0.7 GB", has_lazy=True),
        *rows_of(ManyLinear(), "5,000 of 64x64 and AdamW, 246 MB", has_lazy=False),
    ]


def rows_of(net: nn.Module, case: str, *, has_lazy: bool) -> list[Row]:
    """Return the answers for a module and its AdamW."""
    with scratch() as folder, no_fsync():
        runs = Runs(Path(folder), net, stepped(net), has_lazy=has_lazy)
        samples = race(runs.whole_runners(), pairs=PAIRS, before=runs.settle)
        runs.settle()
    return whole_rows(samples, case)


def whole_rows(samples: dict[str, Samples], case: str) -> list[Row]:
    waiting = samples["waiting"]
    names = {"ours": "begun and waited for", "lazy": "lazy, and waited for"}
    return [
        Row.timed(question, case, samples[name], waiting, by="wall")
        for name, question in names.items()
        if name in samples
    ]
