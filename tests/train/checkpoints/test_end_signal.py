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


def test_all_that_wait_for_a_signal_note_it(handler: object) -> None:
    first, second = EndSignal(signal.SIGUSR1), EndSignal(signal.SIGUSR1)

    os.kill(os.getpid(), signal.SIGUSR1)

    assert first.has_come()
    assert second.has_come()
    assert signal.getsignal(signal.SIGUSR1) is handler


@pytest.mark.parametrize("is_first_released_first", [True, False])
def test_released_in_any_order_the_signal_does_what_it_did(
    is_first_released_first: bool, handler: object
) -> None:
    waiting = [EndSignal(signal.SIGUSR1), EndSignal(signal.SIGUSR1)]
    released, other = waiting if is_first_released_first else reversed(waiting)

    released.release()
    assert signal.getsignal(signal.SIGUSR1) is not handler
    other.release()

    assert signal.getsignal(signal.SIGUSR1) is handler


def test_a_handler_that_is_set_meanwhile_stays(handler: object) -> None:
    end = EndSignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    end.release()

    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


@pytest.mark.usefixtures("handler")
def test_a_signal_that_nobody_waits_for_any_more_does_what_it_did() -> None:
    numbers: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: numbers.append(number))
    end = EndSignal(signal.SIGUSR1)

    del end
    os.kill(os.getpid(), signal.SIGUSR1)

    assert numbers == [signal.SIGUSR1]


@pytest.mark.parametrize(
    ("number", "exit_code"),
    [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGUSR1, 7)],
)
def test_a_worker_that_was_forked_ends_when_it_is_terminated_and_outlives_the_rest(
    number: signal.Signals, exit_code: int
) -> None:
    end = EndSignal(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if not child:
        os.kill(os.getpid(), number)
        os._exit(8 if end.has_come() else 7)
    end.release()

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == exit_code
    assert not end.has_come()


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
        ValueError, match=r"'SIGTERM': it is not a signal.*signal\.SIGTERM"
    ):
        EndSignal("SIGTERM")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no program can catch it"):
        EndSignal(signal.SIGKILL)
    with pytest.raises(ValueError, match="pass one signal"):
        EndSignal([15, 10])  # type: ignore[arg-type]
