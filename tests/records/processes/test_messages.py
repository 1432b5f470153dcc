"""Messages of the processes of one group or several."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.records.errors import RecordFormatError
from burnish.records.processes.agreement import agreed
from burnish.records.processes.messages import (
    added,
    broadcast,
    broadcast_text,
    gathered,
    is_any,
    lowest,
    n_processes,
    rank,
    united,
)

from ...forked_processes import in_processes, in_two_processes
from ...sharded_nets import mesh_of


def test_a_process_alone_hears_itself() -> None:
    assert (n_processes(), rank()) == (1, 0)
    assert broadcast_text("a\udcff") == "a\udcff"
    assert gathered(b"x") == [b"x"]
    assert lowest(3) == 3
    assert is_any(True)
    assert not is_any(False)
    assert united(["b", "a"]) == ["a", "b"]
    assert added(torch.tensor([2.0])).tolist() == [2.0]


def test_two_processes_hear_each_other(tmp_path: Path) -> None:
    def act(number: int) -> None:
        assert (n_processes(), rank()) == (2, number)
        assert broadcast(b"abc"[: 3 * number], source=1) == b"abc"
        assert broadcast(b"", source=0) == b""
        assert gathered(b"x" * number) == [b"", b"x"]
        assert lowest(number + 4) == 4
        assert is_any(number == 1)
        assert not is_any(False)
        assert united(["a", str(number)]) == ["0", "1", "a"]
        assert added(torch.tensor([number + 1])).tolist() == [3]

    in_two_processes(act, tmp_path)


@pytest.mark.parametrize("length", [0, 1, 55, 56, 57, 1000])
def test_messages_of_any_length_come_as_they_were_given(
    length: int, tmp_path: Path
) -> None:
    given = [bytes(range(256)) * 4, b""]

    def act(number: int) -> None:
        texts = [given[0][:length], given[1], b"x" * length]
        assert gathered(texts[number]) == texts[:2]
        assert gathered(texts[2 - number]) == [texts[2], texts[1]]

    in_two_processes(act, tmp_path)


def test_processes_of_a_grid_hear_each_other_through_its_dimensions(
    tmp_path: Path,
) -> None:
    def act(number: int) -> None:
        mesh = mesh_of(2, 2)
        groups = [mesh.get_group(0), mesh.get_group(1)]

        for other in range(4):
            assert is_any(number == other, groups=groups)
        assert united([f"{number}"], groups=groups) == ["0", "1", "2", "3"]
        column = gathered(f"{number}".encode(), group=groups[0])
        assert column == [f"{number % 2}".encode(), f"{number % 2 + 2}".encode()]
        assert broadcast(f"{number}".encode(), source=1, group=groups[0]) == column[1]

    in_processes(act, tmp_path, 4)


def test_all_processes_of_a_grid_raise_the_error_of_the_first(tmp_path: Path) -> None:
    def act(number: int) -> None:
        def fail() -> None:
            if number in (1, 2):
                raise RecordFormatError("f", f"{number}", "b")

        mesh = mesh_of(2, 2)
        with pytest.raises(RecordFormatError, match="1"):
            agreed(fail, groups=[mesh.get_group(0), mesh.get_group(1)])

    in_processes(act, tmp_path, 4)


@pytest.mark.parametrize("exchange", [lambda: lowest(1), lambda: gathered(b"x")])
def test_who_waits_for_a_process_that_has_ended_is_told_what_that_means(
    exchange: Callable[[], object], tmp_path: Path
) -> None:
    def act(number: int) -> None:
        if number == 0:
            with pytest.raises(RuntimeError) as info:
                exchange()

            (note,) = info.value.__notes__
            assert "process 0 waited here for the other" in note
            assert "one of them has ended" in note
        # Whoever has ended cannot be waited for.
        os._exit(0)

    in_two_processes(act, tmp_path)


def test_a_process_whose_group_has_ended_does_not_take_itself_for_the_only_one(
    tmp_path: Path,
) -> None:
    def act(number: int) -> None:
        group = torch.distributed.new_group(backend="gloo")
        torch.distributed.destroy_process_group()

        assert n_processes() == 1
        exchanges: list[Any] = [
            n_processes,
            rank,
            lambda group: lowest(1, group=group),
        ]
        for exchange in exchanges:
            with pytest.raises(RuntimeError, match=r"wait\(\).*destroy_process_group"):
                exchange(group)
        os._exit(0)

    in_two_processes(act, tmp_path)
