"""Matrices that are stepped in stacks move as each would alone."""

import torch

from burnish.optim import (
    ClipGlobalNorm,
    Muon,
)

from ..nets import (
    distance,
    drive,
    engine_names,
    equal,
    plist,
)


def test_muon_in_stacks_moves_as_muon_alone() -> None:
    left, right = (
        plist(
            *[
                torch.randn(6, 4, generator=torch.Generator().manual_seed(i))
                for i in range(5)
            ]
        )
        for _ in "ab"
    )

    drive(Muon().bind(left, lr=0.1), left, 1, 2)
    drive(Muon().bind(right, lr=0.1, fused=False), right, 1, 2)

    assert distance(left, right) <= 1e-2


def test_muon_is_stacked_whether_or_not_a_clip_is_told() -> None:
    modules = [plist(torch.ones(4, 6), torch.ones(4, 6)) for _ in "ab"]
    adaptors = [
        Muon().bind(module, lr=0.1, clip=clip)
        for module, clip in zip(modules, (None, ClipGlobalNorm(100.0)), strict=True)
    ]

    for module, adaptor in zip(modules, adaptors, strict=True):
        for p in module:
            p.grad = torch.arange(24.0).reshape(4, 6) / 24
        adaptor.step()

    assert [engine_names(adaptor) for adaptor in adaptors] == [{"stacked"}] * 2
    assert equal(*modules)
