"""One thread, and compiled programs in a folder of the session's own."""

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    threads, cache = torch.get_num_threads(), os.environ.get("BURNISH_CACHE")
    torch.set_num_threads(1)
    os.environ["BURNISH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    torch.set_num_threads(threads)
    os.environ.pop("BURNISH_CACHE")
    if cache is not None:
        os.environ["BURNISH_CACHE"] = cache
