"""Clips and the guard against gradients that are not finite, beside a stored state."""

from pathlib import Path
from typing import Any

import pytest

from burnish.optim import AdamW, ClipGlobalNorm, ClipNorm, ClipValue, Group
from burnish.train import Checkpoints

from ..nets import drive, layers


@pytest.mark.parametrize("hyperparameters", ["keep", "restore"])
def test_guards_that_are_others_than_those_of_the_saved_optimizer_are_told(
    hyperparameters: Any,
) -> None:
    net = layers()
    groups = [Group("**.bias", clip=ClipValue(1.0))]
    saved = AdamW().bind(
        net, lr=0.1, groups=groups, clip=ClipGlobalNorm(0.5), nonfinite="skip"
    )
    drive(saved, net, 0)
    groups = [Group("**.bias", clip=ClipNorm(1.0))]
    again = AdamW().bind(net, lr=0.1, groups=groups)

    report = again.load_record(saved.save_record(), hyperparameters=hyperparameters)

    assert [text for text in report.changed if "engine" not in text] == [
        "clip is None, and was ClipGlobalNorm(max_norm=0.5) when saved",
        "nonfinite is pass, and was skip when saved",
        "group 1: clip is ClipNorm(max_norm=1.0), and was ClipValue(limit=1.0) when "
        "saved",
    ]
    assert again.clip is None


def test_the_same_guards_are_not_mentioned() -> None:
    net = layers()

    def bound() -> Any:
        clip = ClipGlobalNorm(0.5)
        return AdamW().bind(net, lr=0.1, clip=clip, nonfinite="error")

    saved = bound()
    drive(saved, net, 0)

    assert not bound().load_record(saved.save_record()).changed


@pytest.mark.parametrize("guards", [None, 3, {}, {"group_clips": 3}])
def test_a_record_without_guards_says_nothing_of_them(guards: Any) -> None:
    net = layers()
    record = AdamW().bind(net, lr=0.1).into_record()
    record.metadata["optimizer"]["guards"] = guards

    report = AdamW().bind(net, lr=0.1, clip=ClipNorm(1.0)).load_record(record)

    assert not any("clip" in text for text in report.changed)


def test_a_run_that_goes_on_without_its_clip_is_warned(tmp_path: Path) -> None:
    net = layers()
    saved = AdamW().bind(net, lr=0.1, clip=ClipNorm(0.5))
    Checkpoints(tmp_path).save(1, model=net, optim=saved)

    with pytest.warns(RuntimeWarning, match=r"clip is None, and was ClipNorm"):
        Checkpoints(tmp_path).restore(optim=AdamW().bind(net, lr=0.1))
