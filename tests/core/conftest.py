"""What tests of modules are tried in."""

from collections.abc import Generator

import pytest
import torch


@pytest.fixture
def poisoned_memory() -> Generator[None]:
    """Let torch fill new memory with NaN, so that nothing uninitialized passes."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
