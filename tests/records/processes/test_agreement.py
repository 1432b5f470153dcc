"""All processes go on, or all raise the same error."""

from pathlib import Path
from typing import Any

import pytest

from burnish.config import ConfigError
from burnish.config.errors import ConfigSyntaxError, Problem
from burnish.records.errors import (
    MissingChecksumError,
    PrecisionError,
    RecordChecksumError,
    RecordFormatError,
    RecordMismatchError,
    RecordVersionError,
)
from burnish.records.processes.agreement import agreed, agreed_messages

from ...forked_processes import in_processes, in_two_processes
from ...sharded_nets import mesh_of


class OwnError(ValueError):
    """Of a user's program."""

    def __init__(self, first: object, second: object) -> None:
        super().__init__(first, second)

    def __str__(self) -> str:
        return "two things"


ERRORS: list[tuple[Exception, type[Exception]]] = [
    (RecordFormatError("f", "a", "b", "c"), RecordFormatError),
    (RecordMismatchError("f", ["a", "b"], "c"), RecordMismatchError),
    (RecordChecksumError("f", "w"), RecordChecksumError),
    (MissingChecksumError("f"), MissingChecksumError),
    (RecordVersionError("f", 3, 1, "it"), RecordVersionError),
    (PrecisionError("p", 1e9, "float16", "c"), PrecisionError),
    (ConfigError("f", [Problem("a.b", "is wrong")]), ConfigError),
    (ConfigSyntaxError("bad", 3, 4, "f"), ConfigSyntaxError),
    (FileNotFoundError(2, "No such file", "x/y.ron"), FileNotFoundError),
    (FileNotFoundError("in words"), FileNotFoundError),
    (KeyError("k"), KeyError),
    (OwnError(object(), 1), ValueError),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "reason"), UnicodeError),
    (ExceptionGroup("group", [ValueError()]), Exception),
]


def raised(act: Any) -> Exception:
    with pytest.raises(Exception) as info:  # noqa: PT011  # any
        agreed(act)
    return info.value


def test_one_process_alone_raises_its_own_error() -> None:
    error = OwnError(1, 2)

    def act() -> None:
        raise error

    assert raised(act) is error
    assert agreed(lambda: 3) == 3


def test_each_process_has_its_own_result_once_all_have_one(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        assert agreed(lambda: rank * 10) == rank * 10

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize("failing", [0, 1])
def test_every_error_is_raised_on_all_in_the_same_words(
    failing: int, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        for error, cls in ERRORS:

            def attempt(error: Exception = error) -> None:
                if rank == failing:
                    raise error

            other = raised(attempt)
            assert str(other) == str(error)
            assert type(other) is (type(error) if rank == failing else cls)
            if rank != failing:
                assert other.__notes__ == [f"on process {failing} of 2"]

    in_two_processes(act, tmp_path)


def test_of_two_errors_the_first_process_has_the_word(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        def attempt() -> None:
            raise ValueError(f"of {rank}")

        error = raised(attempt)
        assert str(error) == "of 0"
        assert rank == 0 or str(error.__cause__) == "of 1"

    in_two_processes(act, tmp_path)


def test_messages_come_from_all_in_their_order(tmp_path: Path) -> None:
    assert agreed_messages(lambda: b"alone") == [b"alone"]

    def act(rank: int) -> None:
        assert agreed_messages(lambda: b"\1" * rank) == [b"", b"\1"]

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize("failing", [0, 1])
def test_where_one_has_no_message_all_undo_and_raise_its_error(
    failing: int, tmp_path: Path
) -> None:
    def act(rank: int) -> None:
        undone: list[int] = []

        def attempt() -> bytes:
            if rank == failing:
                raise FileNotFoundError(2, "No such file", "x/y.mpk" * 20)
            return b"there"

        def undo() -> None:
            undone.append(rank)

        with pytest.raises(FileNotFoundError, match=r"x/y\.mpk") as info:
            agreed_messages(attempt, undo=undo)
        assert undone == [rank]
        if rank != failing:
            assert info.value.__notes__ == [f"on process {failing} of 2"]

    in_two_processes(act, tmp_path)


def test_an_error_in_a_group_names_the_process_among_all(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        mesh = mesh_of(2, 2)

        def attempt() -> bytes:
            if rank == 3:
                raise ValueError("of the last")
            return b""

        if rank >= 2:
            with pytest.raises(ValueError, match="of the last") as info:
                agreed_messages(attempt, group=mesh.get_group(1))
            assert rank == 3 or info.value.__notes__ == ["on process 3 of 4"]

    in_processes(act, tmp_path, 4)
