"""A record that is stored by every recorder."""

import torch

from burnish.records import (
    Entry,
    FlatRecord,
    ParamId,
    Record,
)


def example() -> FlatRecord:
    torch.manual_seed(0)
    weight = torch.randn(40, 70) * torch.logspace(-4, 4, 70)
    tensors = {
        "layers.0.weight": ("parameter", weight),
        "layers.0.bias": ("parameter", torch.tensor([0.0, -0.0, 1e-7, 3.5])),
        "norm.running_var": ("buffer", torch.tensor([1e-9, 1e30])),
        "steps": ("buffer", torch.tensor(2**40)),
        "mask": ("buffer", torch.tensor([True, False])),
        "phase": ("parameter", torch.tensor([1 + 2j, -0.5j], dtype=torch.complex64)),
        "nothing": ("parameter", torch.empty(3, 0)),
    }
    entries = [
        Entry(path, kind, t.dtype, tuple(t.shape), t, ParamId.draw(), True)  # type: ignore[arg-type]  # a Kind
        for path, (kind, t) in tensors.items()
    ]
    entries[0].ties = ("head.weight",)
    return Record.from_entries(entries, type_name="Net")
