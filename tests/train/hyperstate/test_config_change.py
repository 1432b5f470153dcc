"""A config that was changed is held against what a checkpoint brings back."""

from pathlib import Path

import pytest
import torch

from burnish.records import RecordMismatchError
from burnish.train import HyperState

from .states import Config, Net, Scheduled, advance, load

torch.set_num_threads(1)


def test_overrides_hold_on_resume(tmp_path: Path) -> None:
    advance(load(tmp_path), 1)

    again = load(tmp_path, overrides=["optim.n_warm=5"])

    assert again.config.optim.n_warm == 5


def test_an_override_that_an_optimizer_does_not_follow_is_warned_of(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path), 1)

    with pytest.warns(RuntimeWarning, match=r"lr 0\.5 in group 0 \(before: 0\.1\)"):
        again = load(tmp_path, overrides=["optim.lr=0.5"])

    assert again.config.optim.lr == 0.5
    assert again.state.optim.param_groups[0]["lr"] == 0.1
    assert load(tmp_path, overrides=["optim.lr=0.1"]).config == Config()


def test_an_override_that_contradicts_a_stored_module_is_refused(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path), 1)

    with pytest.raises(
        RecordMismatchError, match=r"net\.width: stored 3, the config makes 4"
    ):
        load(tmp_path, overrides=["width=4"])
    again = load(tmp_path, overrides=["width=4"], hyperparameters="ignore")

    assert again.state.net.layer.in_features == 3


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_config_edited_by_hand_is_held_against_the_modules_that_are_stored(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path), 1)
    file = tmp_path / "latest-step000000000001/config.ron"

    edit(file, "width: 3", "width: 4")
    with pytest.raises(
        RecordMismatchError, match=r"net\.width: stored 3, the config makes 4"
    ):
        load(tmp_path)
    again = load(tmp_path, hyperparameters="ignore")
    assert again.state.net.layer.in_features == 3
    edit(file, "width: 4", "width:   3")
    assert load(tmp_path).config == Config()


def test_numbers_edited_by_hand_are_honoured(tmp_path: Path) -> None:
    advance(load(tmp_path), 5)
    folder = tmp_path / "latest-step000000000005"
    for name, old, new in [
        ("state.ron", "step: 5", "step: 77"),
        ("config.ron", "lr: 0.1", "lr: 0.25"),
    ]:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    with pytest.warns(RuntimeWarning, match=r"lr 0\.25 in group 0 \(before: 0\.1\)"):
        again = load(tmp_path)

    assert again.state.step == 77
    assert again.config.optim.lr == 0.25


def begin_scheduled(config: Config) -> Scheduled:
    net = Net(config.width)
    optim = torch.optim.SGD(net.parameters(), lr=config.optim.lr)
    return Scheduled(0, net, optim, torch.optim.lr_scheduler.StepLR(optim, 10))


def test_an_edit_is_held_against_optimizers_that_the_program_makes_too(
    tmp_path: Path,
) -> None:
    def open_scheduled() -> HyperState[Config, Scheduled]:
        return HyperState.load(
            Config, Scheduled, begin_scheduled, checkpoint_dir=tmp_path
        )

    advance(open_scheduled(), 1)
    edit(tmp_path / "latest-step000000000001/config.ron", "lr: 0.1", "lr: 0.25")

    with pytest.warns(RuntimeWarning, match=r"lr 0\.25 in group 0 \(before: 0\.1\)"):
        state = open_scheduled().state

    assert state.optim.param_groups[0]["lr"] == 0.1


def test_an_edit_that_an_optimizer_does_not_follow_is_warned_of_until_it_is_saved(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path), 1)
    file = tmp_path / "latest-step000000000001/config.ron"
    edit(file, "lr: 0.1", "lr: 0.25")

    for overrides, rate in (([], "0.25"), (["optim.lr=0.5"], "0.5")):
        with pytest.warns(
            RuntimeWarning, match=rf"lr {rate} in group 0 \(before: 0\.1"
        ):
            again = load(tmp_path, overrides=overrides)
        assert again.state.optim.param_groups[0]["lr"] == 0.1
    edited = load(tmp_path, overrides=["optim.lr=0.1"])
    assert edited.config == Config()
    edit(file, "lr: 0.25", "lr:   0.25, unknown: 1")
    with pytest.warns(RuntimeWarning, match=r"lr 0\.25 in group 0"):
        again = load(tmp_path, ignore_extra=True)
    again.state.optim.param_groups[0]["lr"] = 0.25
    advance(again, 2)

    assert load(tmp_path).state.optim.param_groups[0]["lr"] == 0.25
