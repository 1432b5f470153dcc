"""What the files of `tests/data/` hold; those files are never made again."""

import enum

import torch

from burnish.records import Entry, FlatRecord, ParamId, Record
from burnish.records.entries.entry import Kind


class Mode(enum.Enum):
    TRAIN = 1
    EVAL = 2


class Moments(Record):
    m: torch.Tensor
    v: torch.Tensor | None


class State(Record):
    step: int
    mode: Mode
    moments: dict[str, Moments]
    losses: list[float]
    note: str
    raw: bytes
    pair: tuple[int, bool]
    huge: int


def state() -> State:
    return State(
        step=7,
        mode=Mode.EVAL,
        moments={"a.b": Moments(m=torch.arange(4.0), v=None)},
        losses=[0.5, float("inf")],
        note="é",
        raw=b"\x00\xff",
        pair=(1, True),
        huge=2**70,
    )


def record() -> FlatRecord:
    weight = torch.arange(-300.0, 300.0).reshape(20, 30) / 64
    tensors: dict[str, tuple[Kind, torch.Tensor, str | None]] = {
        "encoder.0.weight": ("parameter", weight, "aaaaaaaaaaaaa"),
        "encoder.0.bias": (
            "parameter",
            torch.tensor([0.0, -0.0, 1.5]),
            "bbbbbbbbbbbba",
        ),
        "norm.running_var": ("buffer", torch.tensor([1e-9, 1e30]), None),
        "norm.steps": ("buffer", torch.tensor(2**40), None),
        "mask": ("buffer", torch.tensor([[True], [False]]), None),
        "half": ("parameter", torch.arange(5).to(torch.bfloat16), "ccccccccccccc"),
        "empty": ("parameter", torch.empty(0, 2), "ddddddddddddc"),
    }
    entries = [
        Entry(
            path, kind, t.dtype, tuple(t.shape), t, ParamId(id_) if id_ else None, True
        )
        for path, (kind, t, id_) in tensors.items()
    ]
    entries[0].ties = ("decoder.weight",)
    for entry in entries:
        entry.requires_grad = entry.kind == "parameter"
    return Record.from_entries(entries, type_name="Net")
