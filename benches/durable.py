"""What does a durable save cost beyond write() and fsync of the very same bytes?

On a disk, so by the clock on the wall: a save waits for the disk as long as it works.
The floor hashes the bytes as well, as every save does, one after the other.
"""

import os
from pathlib import Path

import torch
import xxhash
from harness import MIB, Row, race, scratch
from models import ManyLinear, gpt2, many_tensors
from save import Save, of_dict, of_module, remove


def run() -> list[Row]:
    torch.set_num_threads(1)
    cases = [
        ("GPT-2, 124 M", of_module(gpt2())),
        ("5,000 of 64x64, module", of_module(ManyLinear())),
        ("5,000 of 64x64, record", of_dict(many_tensors())),
    ]
    rows: list[Row] = []
    for case, save in cases:
        with scratch("disk") as folder:
            rows += durable_rows(folder, case, save)
    return rows


def durable_rows(folder: str, case: str, save: Save) -> list[Row]:
    mine, theirs = f"{folder}/net.mpk", f"{folder}/plain"
    save(mine)
    content = memoryview(Path(mine).read_bytes())

    def peer() -> None:
        with open(theirs, "wb", buffering=0) as file:
            for start in range(0, len(content), MIB):
                file.write(content[start : start + MIB])
            os.fsync(file.fileno())

    def settle() -> None:
        remove(mine, theirs)
        os.sync()

    def hashing() -> None:
        for start in range(0, len(content), MIB):
            xxhash.xxh3_64_digest(content[start : start + MIB])
        peer()

    def by_two() -> None:
        torch.set_num_threads(2)
        save(mine)
        torch.set_num_threads(1)

    runners = {
        "ours": lambda: save(mine),
        "by two": by_two,
        "peer": peer,
        "floor": hashing,
    }
    ours, two, other, floor = race(runners, before=settle).values()
    by_two_threads = "durable save, 2 threads"
    return [
        Row.timed("durable save", case, ours, other, at_most=1.25, by="wall"),
        Row.timed(by_two_threads, case, two, other, at_most=1.25, by="wall"),
        Row.timed("hash, write and fsync", case, floor, other, by="wall"),
        Row.timed("durable save", case, ours, other, by="cpu"),
        Row.timed(by_two_threads, case, two, other, by="cpu"),
        Row.timed("hash, write and fsync", case, floor, other, by="cpu"),
    ]
