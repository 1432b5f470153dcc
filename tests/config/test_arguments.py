from typing import Any

import pytest

from burnish.config.arguments import check_count, check_flag, takes


@pytest.mark.parametrize("count", [0, -1, 1.5, "3", None, [2]])
def test_what_is_no_count_is_refused_with_its_name(count: Any) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got"):
        check_count("batch_size", count)


def test_a_count_may_begin_at_another_number_and_be_left_out() -> None:
    check_count("depth", 0, least=0, may_be_none=True)
    check_count("depth", None, may_be_none=True)
    with pytest.raises(ValueError, match="depth must be at least 0 or None, got -1"):
        check_count("depth", -1, least=0, may_be_none=True)


@pytest.mark.parametrize("flag", ["no", "False", 0, 1, None, []])
def test_what_only_passes_for_true_or_false_is_no_flag(flag: Any) -> None:
    with pytest.raises(TypeError, match="shuffle must be True or False, got"):
        check_flag("shuffle", flag)


def test_a_flag_may_be_left_open() -> None:
    check_flag("fused", None, may_be_none=True)
    with pytest.raises(TypeError, match="fused must be True, False or None, got 'no'"):
        check_flag("fused", "no", may_be_none=True)


def test_a_function_takes_what_its_signature_does_and_what_has_none_takes_all() -> None:
    assert takes(lambda a, b=1: None, 1)
    assert takes(lambda a, b=1: None, 2)
    assert not takes(lambda a, *, b=1: None, 2)
    assert takes(max, 7)
