"""Modules of several versions, and what each wrote."""

from typing import Any

import torch
from torch import nn

from burnish.config import DeleteField, RenameField
from burnish.core import module
from burnish.core.evolution.tensor_rules import (
    SplitTensor,
)

FORMATS = ["net.mpk", "net.mpk.zst", "net.json", "net.safetensors", "net.mpk.gz"]


def define(
    make: Any, version: int = 0, rules: Any = None, name: str = "Net", **more: Any
) -> Any:
    """Return a decorated class whose constructor is ``make``."""

    def __init__(self: Any, **arguments: Any) -> None:
        nn.Module.__init__(self)
        make(self, **arguments)

    cls = type(name, (nn.Module,), {"__init__": __init__, "__module__": __name__})
    return (
        module(cls, **more)
        if not version
        else module(version=version, upgrade_rules=rules, **more)(cls)
    )


def attention_v0(self: Any) -> None:
    self.fc1 = nn.Linear(4, 4)
    self.layers = nn.ModuleList(
        nn.ModuleDict({"qkv": nn.Linear(4, 12)}) for _ in range(2)
    )
    self.old = nn.Linear(1, 1)
    self.norm = nn.BatchNorm1d(4)


def attention_v2(self: Any) -> None:
    self.head = nn.Linear(4, 4)
    self.layers = nn.ModuleList(
        nn.ModuleDict({n: nn.Linear(4, 4) for n in "qkv"}) for _ in range(2)
    )
    self.norm = nn.BatchNorm1d(4)


RULES = {
    0: [RenameField("fc1", "middle"), DeleteField("old")],
    1: [
        RenameField("middle", "head"),
        SplitTensor("layers.*.qkv.weight", [f"layers.*.{n}.weight" for n in "qkv"]),
        SplitTensor("layers.*.qkv.bias", [f"layers.*.{n}.bias" for n in "qkv"]),
    ],
}


def nest(forms: dict[str, tuple[int, ...]]) -> Any:
    def make(self: Any) -> None:
        for path, shape in forms.items():
            *names, leaf = path.split(".")
            owner = self
            for name in names:
                if name not in owner._modules:
                    owner.add_module(name, nn.Module())
                owner = owner._modules[name]
            owner.register_parameter(leaf, nn.Parameter(torch.randn(shape)))

    return make
