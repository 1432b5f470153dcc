"""Which ranges come in one request, and to whom their bytes belong."""

from burnish.records.io.remote.runs import GAP, RUN, Runs


def runs(*ranges: tuple[int, int], in_blocks: bool = False) -> Runs:
    made = Runs()
    made.add(ranges, in_blocks=in_blocks)
    return made


def test_neighbours_are_one_run_and_what_is_far_away_is_another() -> None:
    near = runs((1000, 64), (1100, 64), (1100 + GAP, 64))
    far = runs((1000, 64), (1065 + GAP, 64))

    assert near.at(1000, 64) is near.at(1100 + GAP, 64)
    assert far.at(1000, 64) is not far.at(1065 + GAP, 64)


def test_a_run_has_an_end_and_the_next_leaves_nothing_out() -> None:
    both = runs((1000, RUN - 10), (1000 + RUN, 64))

    first, second = both.at(1000, RUN - 10), both.at(1000 + RUN, 64)

    assert first is not None
    assert second is not None
    assert (first.end, second.start) == (1000 + RUN - 10, 1000 + RUN - 10)


def test_a_long_range_is_one_run_unless_it_is_read_in_blocks() -> None:
    whole, blocks = runs((0, 3 * RUN)), runs((0, 3 * RUN), in_blocks=True)

    assert whole.at(0, 3 * RUN) is not None
    assert blocks.at(0, 3 * RUN) is None
    assert blocks.at(RUN, 4096) is not None


def test_bytes_are_handed_out_once_and_a_run_ends_with_the_last() -> None:
    some = runs((0, 8), (8, 8))
    run = some.at(0, 8)
    assert run is not None
    run.content = memoryview(bytearray(range(16)))

    assert bytes(some.take(run, 8, 8)) == bytes(range(8, 16))
    assert some.at(8, 8) is None
    assert bytes(some.take(run, 0, 8)) == bytes(range(8))

    assert some.at(0, 8) is None


def test_what_is_announced_twice_is_fetched_once_and_what_is_read_again() -> None:
    some = runs((0, 8), (8, 8))
    some.add([(0, 8)], in_blocks=False)
    run = some.at(0, 8)
    assert run is not None

    batch = some.batch(run, 100)

    assert [(r.start, r.end) for r in batch] == [(0, 16)]


def test_what_follows_is_fetched_with_the_first_up_to_a_limit() -> None:
    some = runs(*((i * (RUN + GAP), RUN) for i in range(6)))
    first = some.at(0, RUN)
    assert first is not None

    assert len(some.batch(first, 4 * RUN)) == 3
    assert len(some.batch(first, 10)) == 1
