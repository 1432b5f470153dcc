"""The process group that a launcher asked for, as ``torchrun`` does."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets in the environment of each process that it starts."""


@contextmanager
def launched_process_group() -> Generator[None]:
    """Have the group of the processes that were launched together, while this lasts.

    Nothing happens where one process was started alone, or where the program has made
    its group. After an error the group is left to the end of the process, since the
    others may never come.
    """
    distributed = torch.distributed
    is_launched = all(name in os.environ for name in _VARIABLES)
    if not (is_launched and distributed.is_available()) or distributed.is_initialized():
        yield
        return
    if os.environ["WORLD_SIZE"] == "1":
        yield
        return
    distributed.init_process_group()
    yield
    distributed.destroy_process_group()
