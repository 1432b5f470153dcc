"""Of several processes one fails first, whatever their errors say."""

from pathlib import Path

import pytest

from burnish.train.fit.first_failure import MARK, FirstFailure, is_first_failure


@pytest.fixture
def failure(monkeypatch: pytest.MonkeyPatch) -> FirstFailure:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    failure = FirstFailure()
    monkeypatch.setenv(MARK, failure.folder)
    return failure


def test_one_process_alone_fails_first(failure: FirstFailure) -> None:
    assert is_first_failure()
    assert not is_first_failure()
    assert not failure.note()
    failure.remove()


def test_after_the_run_nobody_fails_first_and_nothing_is_left(
    failure: FirstFailure,
) -> None:
    failure.remove()

    assert not is_first_failure()
    assert not Path(failure.folder).exists()


def test_a_process_that_nobody_started_tells_its_failure(
    failure: FirstFailure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MARK)

    assert is_first_failure()
    failure.remove()
