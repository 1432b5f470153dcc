"""What the crash campaign saves: every way of this library, and two peers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import burnish
from burnish import config
from burnish.train import Checkpoints

from .faults import Scenario
from .interrupted import SUFFIXES, Config

SIZE = 20_000
"""Values of the tensor that is saved, so that formats write several times."""


def _net(value: float) -> nn.Linear:
    net = nn.Linear(SIZE, 1)
    with torch.no_grad():
        net.weight.fill_(value)
        net.bias.fill_(value)
    return net


def _same(tensors: Any) -> float:
    """Return the value of all elements; ValueError if they differ."""
    plain = [tensor.detach() for tensor in tensors]
    values = {float(t) for tensor in plain for t in (tensor.min(), tensor.max())}
    (value,) = values
    return value


def _record(suffix: str) -> Scenario:
    def read(folder: Path) -> float:
        net = _net(0.0)
        burnish.load_record(net, folder / f"net{suffix}")
        return _same(net.parameters())

    return Scenario(
        lambda folder, value: burnish.save_record(_net(value), folder / f"net{suffix}"),
        read,
    )


def _checkpoint(folder: Path) -> float:
    net = _net(0.0)
    kept = Checkpoints(folder)
    kept.restore(1, net=net)
    return _same(net.parameters())


def _pretrained(folder: Path) -> float:
    net = burnish.from_pretrained(folder / "folder", nn.Linear)
    return _same(net.parameters())


def _saved_by_torch(folder: Path) -> float:
    state = torch.load(folder / "net.pt", weights_only=True)
    return _same(state.values())


def _safetensors_save(folder: Path, value: float) -> None:
    from safetensors.torch import save_file

    save_file(_net(value).state_dict(), folder / "net.safetensors")


def _safetensors_read(folder: Path) -> float:
    from safetensors.torch import load_file

    return _same(load_file(folder / "net.safetensors").values())


OURS: dict[str, Scenario] = {
    **{f"save_record, {suffix}": _record(suffix) for suffix in SUFFIXES},
    "Checkpoints.save": Scenario(
        lambda folder, value: Checkpoints(folder).save(1, net=_net(value)), _checkpoint
    ),
    "save_record, wait=False": replace(
        _record(".mpk"),
        save=lambda folder, value: burnish.save_record(
            _net(value), folder / "net.mpk", wait=False
        ).wait(),
    ),
    "Checkpoints.save, wait=False": Scenario(
        lambda folder, value: (
            Checkpoints(folder, wait=False).save(1, net=_net(value)).wait()
        ),
        _checkpoint,
    ),
    "save_pretrained": Scenario(
        lambda folder, value: burnish.save_pretrained(_net(value), folder / "folder"),
        _pretrained,
    ),
    "config.dump": Scenario(
        lambda folder, value: config.dump(Config(value), folder / "run.ron"),
        lambda folder: config.load(Config, folder / "run.ron").rate,
    ),
}
PEERS: dict[str, Scenario] = {
    "torch.save": Scenario(
        lambda folder, value: torch.save(_net(value).state_dict(), folder / "net.pt"),
        _saved_by_torch,
    ),
    "safetensors.save_file": Scenario(_safetensors_save, _safetensors_read),
}
SCENARIOS = {**OURS, **PEERS}
