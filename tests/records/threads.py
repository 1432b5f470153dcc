"""The number of threads that torch computes with, for a test."""

import threading
from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(count: int) -> Generator[None]:
    """Let torch compute with ``count`` threads; none of ours may be left at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    assert not [t for t in threading.enumerate() if t.name.startswith("burnish")]
    torch.set_num_threads(before)
