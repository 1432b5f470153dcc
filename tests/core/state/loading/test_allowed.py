"""Which differences are not an error."""

from burnish.core.state.loading.allowed import Allowed


def test_nothing_is_allowed_unless_it_is_named() -> None:
    assert not Allowed().allows_missing("w")
    assert not Allowed().allows_unexpected("w")


def test_a_pattern_allows_one_side_alone() -> None:
    allowed = Allowed(missing="head.*")

    assert allowed.allows_missing("head.weight")
    assert not allowed.allows_missing("body.weight")
    assert not allowed.allows_unexpected("head.weight")


def test_without_strictness_all_is_allowed() -> None:
    assert Allowed(strict=False).allows_unexpected("w")


def test_what_the_writer_did_not_know_may_be_missing() -> None:
    assert Allowed(absent=frozenset({"w"})).allows_missing("w")
