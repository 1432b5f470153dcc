"""The text of a state: edited, upgraded, and never taken for defaults."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.config import ConfigError, RenameField, RewriteRule, Versioned
from burnish.records import RecordFormatError
from burnish.train import Blob, HyperState

from .states import Config, Mode, Net, advance, load, weights

torch.set_num_threads(1)


def test_the_saved_config_keeps_the_schedule_and_resumes_it(tmp_path: Path) -> None:
    run = load(tmp_path, overrides=["optim.lr=step: 0.1@0 0.0@100"])
    advance(run, 50)

    text = (tmp_path / "latest-step000000000050/config.ron").read_text()
    again = load(tmp_path)

    assert '"step: 0.1@0 0.0@100"' in text
    assert again.config.optim.lr == pytest.approx(0.05)
    with pytest.warns(RuntimeWarning, match="the optimizer keeps"):
        assert load(tmp_path, overrides=["optim.lr=0.25"]).config.optim.lr == 0.25


def test_versions_of_the_state_follow_renamed_fields(tmp_path: Path) -> None:
    @dataclass
    class Newer(Versioned):
        step: int
        policy: Net
        optim: torch.optim.Optimizer
        mode: Mode
        seen: list[int]

        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> dict[int, list[RewriteRule]]:
            return {0: [RenameField(("net",), ("policy",))]}

    @dataclass
    class Freed(Newer):
        optim: Any

    run = load(tmp_path)
    run.state.optim = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    advance(run, 3)

    def never(_: Config) -> Freed:
        net = Net(3)
        optim = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        return Freed(0, net, optim, Mode.FAST, [])

    again = HyperState.load(Config, Freed, never, checkpoint_dir=tmp_path)
    assert weights(again.state.policy) == weights(run.state.net)
    advance(again, 4)
    text = (tmp_path / "latest-step000000000004/state.ron").read_text()
    assert "version: 1" in text
    assert "<blob:state.policy.mpk>" in text
    last = HyperState.load(Config, Freed, never, checkpoint_dir=tmp_path)
    assert last.state.step == 4


@pytest.mark.parametrize("name", ["config.ron", "state.ron"])
def test_an_emptied_text_of_a_checkpoint_is_no_text_of_defaults(
    tmp_path: Path, name: str
) -> None:
    advance(load(tmp_path, overrides=["mode=exact"]), 5)
    (tmp_path / "latest-step000000000005" / name).write_text("\n")

    with pytest.raises(RecordFormatError, match=rf"{name}: an empty file"):
        load(tmp_path)


def test_what_no_text_holds_is_kept_by_the_cure_that_its_error_gives(
    tmp_path: Path,
) -> None:
    @dataclass
    class Replayed:
        step: int
        seen: deque[torch.Tensor]
        dtype: torch.dtype

    @dataclass
    class Kept:
        step: int
        seen: Blob[deque[torch.Tensor]]
        dtype: Blob[torch.dtype]

    def run_of(cls: Any, *values: object) -> Any:
        return HyperState.load(
            Config, cls, lambda _: cls(0, *values), checkpoint_dir=tmp_path
        )

    values = deque([torch.ones(2)], maxlen=3), torch.bfloat16
    with pytest.raises(
        ConfigError, match=r"cannot be written as text.* declare the field as Blob\["
    ):
        run_of(Replayed, *values).save()
    run_of(Kept, *values).save()
    again = run_of(Kept).state

    assert again.dtype is torch.bfloat16
    assert again.seen.maxlen == 3
    assert torch.equal(again.seen[0], torch.ones(2))
