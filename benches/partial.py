"""What does one tensor of 1,000 cost, read from a disk that has not cached it?

Peer: `safetensors.safe_open`. Both files lie on a disk, out of its cache. The floor is
three reads: of the header's length, of the header, and of the tensor.
"""

import os

import torch
from harness import Row, bytes_requested, drop_cache, race, scratch
from models import many_tensors
from peers import one_of_safetensors, save_safetensors
from torch import Tensor

import burnish

COUNT, SIZE = 1000, 256
PATH = "layers.500.weight"


def run() -> list[Row]:
    torch.set_num_threads(1)
    tensors = many_tensors(COUNT, SIZE)
    with scratch("disk") as folder:
        mine, theirs = f"{folder}/net.mpk", f"{folder}/net.safetensors"
        burnish.Record.from_state_dict(tensors).save(mine)
        save_safetensors(tensors, theirs)
        runners = {
            "ours": lambda: ours(mine),
            "peer": lambda: one_of_safetensors(theirs, PATH),
        }

        def cool() -> None:
            drop_cache(mine)
            drop_cache(theirs)

        cold = race({**runners, "floor": lambda: three_reads(mine)}, before=cool)
        warm = race(runners)
        requested = bytes_requested(lambda: ours(mine))
        if not torch.equal(ours(mine), tensors[PATH]):
            raise RuntimeError("the tensor that was read differs from the one saved")
        header = os.path.getsize(mine) - COUNT * SIZE * SIZE * 4
    tensor = SIZE * SIZE * 4
    case = f"one of {COUNT:,}, 256 KiB"
    limit = (header + tensor + 4096) / 1024
    return [
        Row.bounded("bytes requested", case, requested / 1024, "KiB", at_most=limit),
        Row.timed("cold", case, cold["ours"], cold["peer"], at_most=0.12, by="wall"),
        Row.timed("cold: floor", case, cold["floor"], cold["peer"], by="wall"),
        Row.timed("cold", case, cold["ours"], cold["peer"], by="cpu"),
        Row.timed("warm", case, warm["ours"], warm["peer"], by="cpu"),
    ]


def three_reads(file: str) -> bytes:
    """Return the bytes of a tensor in the middle, by the fewest reads that find it."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        header = size - COUNT * SIZE * SIZE * 4
        os.pread(descriptor, 4096, 0)
        os.pread(descriptor, header - 4096, 4096)
        return os.pread(descriptor, SIZE * SIZE * 4, size // 2)
    finally:
        os.close(descriptor)


def ours(file: str) -> Tensor:
    with burnish.open_record(file) as record:
        tensor: Tensor = record[PATH]
    return tensor
