"""Nests of plain data, as state dicts and checkpoints hold them, for property tests."""

from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

keys = st.text(max_size=3) | st.integers() | st.none() | st.sampled_from(["$set", "$"])
"""Keys of dicts, some of which look like the tags of files."""


def nests_of(leaves: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Return containers of every kind around ``leaves``, and these alone."""
    return st.recursive(
        leaves | st.frozensets(keys) | st.sets(keys) | st.text().map(Counter),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.lists(inner, max_size=3).map(deque)
            | st.dictionaries(keys, inner, max_size=3)
            | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
            | st.dictionaries(keys, inner, max_size=3).map(
                lambda d: defaultdict(list, d)
            )
        ),
        max_leaves=8,
    )
