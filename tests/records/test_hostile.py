"""Hostile and damaged files: a `RecordError`, or the record that was saved."""

import random

import pytest

from ..campaigns.mutations import FORGERS, mutated
from .hostile_files import FILES, SUMMED, said

N_MUTATED = 2_000


@pytest.mark.parametrize("name", SUMMED)
def test_every_flipped_bit_is_noticed_or_changes_nothing(name: str) -> None:
    data = bytearray(FILES[name]())
    expected, wrong = said(bytes(data)), list[int]()

    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        if said(bytes(data)) not in (None, expected):
            wrong.append(bit)
        data[bit // 8] ^= 1 << bit % 8

    assert expected is not None
    assert wrong == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_any_length_is_refused(name: str) -> None:
    data = FILES[name]()
    lengths = range(len(data) - 1) if "json" in name else range(len(data))

    read = [n for n in lengths if said(data[:n]) is not None]

    assert read == []


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_bytes_after_its_end_is_refused(name: str) -> None:
    data = FILES[name]()

    if name != "torch":
        assert said(data + b"\x01") is None
        assert said(data + data) is None


@pytest.mark.parametrize("name", FILES)
def test_thousands_of_damaged_files_are_refused_or_read_whole(name: str) -> None:
    data, draw = FILES[name](), random.Random(name)
    expected, wrong = said(data), list[bytes]()

    for _ in range(N_MUTATED):
        damaged = mutated(data, draw)
        found = said(damaged)
        if name in SUMMED and found not in (None, expected):
            wrong.append(damaged)

    assert wrong == []


@pytest.mark.parametrize("name", FORGERS)
def test_thousands_of_files_with_valid_sums_and_wild_content_are_refused_or_read(
    name: str,
) -> None:
    data, draw = FILES[name](), random.Random(name)

    outcomes = [said(FORGERS[name](data, draw)) for _ in range(N_MUTATED)]

    assert None in outcomes
