"""Warnings of Lightning that say nothing about short runs in tests."""

import pytest

LIGHTNING_WARNINGS = [
    # Lightning's own use of a class that torch renamed.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:Warning"),
    # Lightning proposes more worker processes for every loader that has none.
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*:Warning"),
    # The folder of checkpoints and logs is not empty when a run is resumed.
    pytest.mark.filterwarnings("ignore:.*exists and is not empty.*:Warning"),
]
