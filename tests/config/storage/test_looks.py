"""How often it is looked again at what others write."""

from burnish.config.storage.looks import looks


def test_only_the_last_of_several_looks_is_the_last() -> None:
    *earlier, last = looks()

    assert last
    assert earlier
    assert not any(earlier)
