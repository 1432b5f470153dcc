"""Threads of all processes have one group for their messages, and no other has it."""

from pathlib import Path

from torch import distributed as dist

from burnish.records.processes.background_group import background_group
from burnish.records.processes.messages import gathered

from ...forked_processes import in_two_processes


def test_a_process_that_is_alone_needs_none() -> None:
    assert background_group() is None


def test_it_is_made_once_and_is_not_the_program_s(tmp_path: Path) -> None:
    def act(rank: int) -> None:
        group = background_group()

        assert background_group() is group
        assert group is not dist.group.WORLD
        assert gathered(bytes([rank]), group=group) == [b"\0", b"\1"]

    in_two_processes(act, tmp_path)
