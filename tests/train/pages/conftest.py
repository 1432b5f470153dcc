"""What tests of pages look at them with."""

from collections.abc import Iterator

import pytest

from ...chromium import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One tab for all pages, since it takes seconds to start."""
    with Browser() as browser:
        yield browser
