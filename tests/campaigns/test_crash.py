"""Saves that end halfway: system calls that fail, kills, readers meanwhile.

`make crash` tries every call, in every way.
"""

import pytest

from .crash import BAD
from .faults import compiler, run_preloaded
from .scenarios import OURS
from .together import killed_at_random, together


@pytest.mark.skipif(compiler() is None, reason="calls are failed by a C library")
def test_whichever_system_call_fails_the_old_file_or_the_new_is_whole() -> None:
    kinds = "EIO;short write;kill -9"
    names = ["save_record, .mpk", "save_record, wait=False", "config.dump"]

    outcomes = run_preloaded("tests.campaigns.failing", "2", kinds, ";".join(names))

    for name in names:
        for kind, found in outcomes[name].items():
            assert found["calls"] > 3, (name, kind)
            assert not {bad: found[bad] for bad in BAD if bad in found}, (name, kind)


def test_a_kill_at_any_moment_loses_nothing() -> None:
    found = killed_at_random(OURS["save_record, .mpk"], 8)

    assert found == {"kills": 8, "old or new": 8, "saved again": 8, "litter": 0}


def test_readers_meet_whole_files_while_others_write() -> None:
    found = together(OURS["save_record, .mpk"], 1.0)

    assert found.keys() == {"saves", "reads", "litter"}
    assert found["litter"] == 0
