"""A table by path beside a dict that is looked through as a whole."""

from hypothesis import given
from hypothesis import strategies as st

from burnish.core.evolution.upgrading import PathTable

NAMES = st.sampled_from(["a", "b", "ab", "a-", "a/", "é", "0", "10", "1"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
TABLES = st.dictionaries(PATHS, st.integers(), max_size=12)
PREFIXES = st.one_of(st.just(""), PATHS.map("{}.".format))


@given(TABLES, st.lists(st.tuples(PREFIXES, TABLES), max_size=5))
def test_what_is_below_a_prefix_is_found_and_replaced_as_in_a_dict(
    values: dict[str, int], replacements: list[tuple[str, dict[str, int]]]
) -> None:
    table, naive = PathTable(values), dict(values)

    for prefix, new_values in replacements:
        below = {p[len(prefix) :]: v for p, v in naive.items() if p.startswith(prefix)}
        assert [*table.below(prefix).items()] == [*below.items()]
        table.replace(prefix, new_values)
        rest = {p: v for p, v in naive.items() if not p.startswith(prefix)}
        naive = rest | {prefix + p: v for p, v in new_values.items()}

    assert [*table.to_dict().items()] == [*naive.items()]
