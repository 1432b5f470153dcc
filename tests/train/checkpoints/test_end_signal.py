"""A signal by which schedulers end runs: noted once, and then as it was."""

import os
import signal
import threading
import warnings
from collections.abc import Iterator

import pytest

from burnish.train.checkpoints.end_signal import EndSignal


@pytest.fixture
def handler() -> Iterator[object]:
    """Give what SIGUSR1 did before, and put that back."""
    before = signal.getsignal(signal.SIGUSR1)
    yield before
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_is_noted_and_a_second_one_does_what_it_did(handler: object) -> None:
    end = EndSignal(signal.SIGUSR1)

    assert not end.has_come()
    os.kill(os.getpid(), signal.SIGUSR1)

    assert end.has_come()
    assert signal.getsignal(signal.SIGUSR1) is handler
    assert end.end().code == 128 + signal.SIGUSR1


def test_released_it_does_what_it_did_and_leaves_another_handler(
    handler: object,
) -> None:
    first, second = EndSignal(signal.SIGUSR1), EndSignal(signal.SIGUSR1)

    first.release()
    assert signal.getsignal(signal.SIGUSR1) == second._note  # pyright: ignore[reportPrivateUsage]  # what is in force
    second.release()

    assert signal.getsignal(signal.SIGUSR1) == first._note  # pyright: ignore[reportPrivateUsage]  # what was before


@pytest.mark.usefixtures("handler")
def test_a_worker_that_was_forked_ends_at_once() -> None:
    EndSignal(signal.SIGUSR1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGUSR1)
        os._exit(0)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == -signal.SIGUSR1


def test_another_thread_cannot_say_what_a_signal_does() -> None:
    errors: list[Exception] = []

    def make() -> None:
        try:
            EndSignal(signal.SIGUSR1)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()

    assert "on_signal=SIGUSR1" in str(errors[0])


def test_what_is_no_signal_is_refused() -> None:
    with pytest.raises(ValueError, match="999"):
        EndSignal(999)


def test_a_name_and_a_signal_that_nobody_can_note_are_refused_in_words() -> None:
    with pytest.raises(
        ValueError, match=r"'SIGTERM': it is no signal.*signal\.SIGTERM"
    ):
        EndSignal("SIGTERM")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no program can note it"):
        EndSignal(signal.SIGKILL)
    with pytest.raises(ValueError, match="one signal is noted"):
        EndSignal([15, 10])  # type: ignore[arg-type]
