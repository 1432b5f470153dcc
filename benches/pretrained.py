"""What do capturing arguments and pretrained folders cost beside their peers?"""

import tempfile
from collections.abc import Callable
from typing import Any

import torch
import transformers
import xxhash
from harness import Row, race, scratch
from models import gpt2
from torch import nn

import burnish

Maker = Callable[[], nn.Module]


def run() -> list[Row]:
    torch.set_num_threads(1)
    return [*capture_rows(), *folder_rows()]


def capture_rows() -> list[Row]:
    rows: list[Row] = []
    for width in (8, 64):
        times = race({"ours": network(True, width), "peer": network(False, width)})
        rows.append(
            Row.timed(
                "construct a decorated net / an undecorated one",
                f"1,001 modules of width {width}",
                times["ours"],
                times["peer"],
                at_most=1.15,
            )
        )
    return rows


def network(decorated: bool, width: int) -> Maker:
    """Return what makes a net of 1,001 modules, 501 of them of one class."""

    class Block(nn.Module):
        def __init__(self, width: int, act: str = "relu", *, p: float = 0.1) -> None:
            super().__init__()
            self.lin = nn.Linear(width, width)

    block = burnish.module(Block) if decorated else Block

    class Net(nn.Module):
        def __init__(self, depth: int, width: int) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(block(width, p=0.1) for _ in range(depth))

    net = burnish.module(Net) if decorated else Net
    return lambda: net(500, width)


def folder_rows() -> list[Row]:
    model = gpt2()
    cls = type(model)
    quiet: Any = transformers.utils.logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    with scratch() as folder, tempfile.TemporaryDirectory(dir=folder) as own:
        model.save_pretrained(folder)  # type: ignore[operator]  # of transformers
        burnish.save_pretrained(model, own)
        burnish.register_class(cls)
        content = f"{own}/model.safetensors"
        times = race(
            {
                "theirs": lambda: cls.from_pretrained(folder),  # type: ignore[attr-defined]  # of transformers
                "foreign": lambda: burnish.from_pretrained(folder, verify=False),
                "lazy": lambda: burnish.from_pretrained(own, cls, verify=False),
                "verified": lambda: burnish.from_pretrained(own, cls),
                "hash": lambda: hashed(content),
            }
        )
    case = "GPT-2"
    return [
        Row.timed(
            "their folder, verify=False / transformers' from_pretrained",
            case,
            times["foreign"],
            times["theirs"],
            at_most=0.4,
        ),
        Row.timed(
            "our folder, verify=False / transformers' from_pretrained",
            case,
            times["lazy"],
            times["theirs"],
            at_most=0.4,
        ),
        Row.timed(
            "our folder, verified / hashing its file",
            case,
            times["verified"],
            times["hash"],
            at_most=1.3,
        ),
    ]


def hashed(file: str) -> bytes:
    import mmap

    with (
        open(file, "rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return xxhash.xxh3_64_digest(content)
