"""Copies off a device overlap with the use of the one before; a GPU is played here."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from burnish.records.writing.device_copies import in_main_memory, overlapped

PIECES = [torch.arange(4.0) + n for n in range(5)]


class Device:
    """Copies when it is waited for, as late as a device may."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def start(self, host: Tensor, piece: Tensor) -> Callable[[], None]:
        number = int(piece[0])
        self.log.append(f"start {number}")

        def wait() -> None:
            self.log.append(f"wait {number}")
            host.copy_(piece)

        return wait


def test_the_next_copy_is_under_way_while_a_piece_is_used() -> None:
    device = Device()

    for n, piece in enumerate(overlapped(PIECES, device.start, is_pinned=False)):
        device.log.append(f"use {n}")
        assert torch.equal(piece, PIECES[n])

    first_steps = ["start 0", "start 1", "wait 0", "use 0", "start 2", "wait 1"]
    assert device.log[:6] == first_steps
    assert device.log[-2:] == ["wait 4", "use 4"]


def test_a_piece_is_whole_until_the_next_is_asked_for() -> None:
    def at_once(host: Tensor, piece: Tensor) -> Callable[[], None]:
        host.copy_(piece)
        return lambda: None

    for n, piece in enumerate(overlapped(PIECES, at_once, is_pinned=False)):
        assert torch.equal(piece, PIECES[n])


def test_two_rooms_serve_pieces_of_any_number_and_length() -> None:
    device = Device()
    pieces = [torch.arange(float(n)) + n for n in (3, 5, 2, 5, 4)]

    found = overlapped(pieces, device.start, is_pinned=False)
    addresses = {(p.data_ptr(), p.shape) for p in found}

    assert len({address for address, _ in addresses}) <= 3


@pytest.mark.parametrize("n", [0, 1])
def test_few_pieces_come_as_well(n: int) -> None:
    found = overlapped(PIECES[:n], Device().start, is_pinned=False)

    assert [p.tolist() for p in found] == [p.tolist() for p in PIECES[:n]]


def test_what_is_in_main_memory_is_not_copied() -> None:
    found = list(in_main_memory(PIECES, torch.device("cpu")))

    assert all(a is b for a, b in zip(found, PIECES, strict=True))


@pytest.mark.cuda
def test_pieces_of_a_gpu_come_in_pinned_memory() -> None:
    pieces = [piece.to("cuda") for piece in PIECES]

    for n, piece in enumerate(in_main_memory(pieces, torch.device("cuda"))):
        assert piece.is_pinned()
        assert torch.equal(piece, PIECES[n])
