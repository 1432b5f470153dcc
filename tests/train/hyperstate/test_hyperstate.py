"""A state that is kept on disk, step by step, and goes on where it was."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.config import ConfigError, Hparams
from burnish.train import HyperState

from .states import (
    Config,
    LazyState,
    Mode,
    Net,
    State,
    advance,
    begin,
    begin_lazy,
    calls,
    load,
    train,
    weights,
)

torch.set_num_threads(1)


def test_older_ones_are_kept_without_latest_in_their_names(tmp_path: Path) -> None:
    run = load(tmp_path, keep_last=2)

    for step in (1, 2, 3):
        advance(run, step)

    assert sorted(os.listdir(tmp_path)) == [
        "latest-step000000000003",
        "step000000000002",
    ]


def test_a_new_manager_continues_without_the_initial_state(tmp_path: Path) -> None:
    run = load(tmp_path, overrides=["width=3", "mode=exact"])
    train(run.state, 2)
    advance(run, 60)
    n_calls = len(calls)

    again = load(tmp_path)

    assert len(calls) == n_calls
    assert again.state.step == 60
    assert weights(again.state.net) == weights(run.state.net)
    assert again.config == run.config
    assert again.state.mode is Mode.EXACT


def test_a_checkpoint_as_initial_path_stays_as_it_is(tmp_path: Path) -> None:
    run = load(tmp_path / "first")
    advance(run, 7)
    source = tmp_path / "first/latest-step000000000007"
    before = {f.name: f.read_bytes() for f in source.iterdir()}

    again = load(tmp_path / "second", path=source)
    advance(again, 8)

    assert again.state.step == 8
    assert weights(again.state.net) == weights(run.state.net)
    assert os.listdir(tmp_path / "second") == ["latest-step000000000008"]
    assert {f.name: f.read_bytes() for f in source.iterdir()} == before


def test_generators_that_were_saved_and_are_gone_are_missed(tmp_path: Path) -> None:
    advance(load(tmp_path), 1)
    (tmp_path / "latest-step000000000001/rng.mpk").unlink()

    with pytest.raises(FileNotFoundError, match=r"generators that were.*rng=False"):
        load(tmp_path)
    again = load(tmp_path, rng=False)
    advance(again, 2)
    assert load(tmp_path).state.step == 2


@pytest.mark.parametrize(
    ("key", "found"), [("net", "Net"), ("stpe", "'step'"), ("mode", "EXACT")]
)
def test_a_key_that_is_no_int_is_told_before_anything_is_written(
    tmp_path: Path, key: str, found: str
) -> None:
    with pytest.raises(ValueError, match=rf"checkpoint_key='{key}'.*{found}"):
        load(tmp_path / "none", checkpoint_key=key)

    assert not (tmp_path / "none").exists()


def test_without_a_folder_step_only_follows_schedules(tmp_path: Path) -> None:
    overrides = ["optim.lr=step: 0.1@0 0.0@100"]
    run = HyperState.load(Config, State, begin, overrides=overrides)

    advance(run, 50)

    assert run.config.optim.lr == pytest.approx(0.05)
    with pytest.raises(ValueError, match="checkpoint_dir="):
        run.save()


def test_configs_may_be_frozen_or_hparams_and_keys_dotted(tmp_path: Path) -> None:
    class Typed(Hparams):
        lr: float = 0.1
        note: str = "a@b"

    @dataclass
    class Progress:
        epoch: int

    @dataclass
    class Nested:
        progress: Progress

    def open_run(overrides: list[str]) -> HyperState[Typed, Nested]:
        return HyperState.load(
            Typed,
            Nested,
            lambda _: Nested(Progress(0)),
            checkpoint_dir=tmp_path,
            checkpoint_key="progress.epoch",
            overrides=overrides,
        )

    run = open_run(["lr=progress.epoch: 1@0 lin 0@10"])
    run.state.progress.epoch = 5
    run.step()

    assert os.listdir(tmp_path) == ["latest-progress.epoch000000000005"]
    assert run.config.lr == 0.5
    assert open_run([]).config.note == "a@b"
    assert open_run([]).state.progress.epoch == 5


def test_random_generators_go_on_where_they_stood(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 1)
    expected = torch.rand(2).tolist()

    load(tmp_path)
    resumed = torch.rand(2).tolist()
    load(tmp_path, rng=False)

    assert resumed == expected
    assert torch.rand(2).tolist() != expected


def test_an_error_while_saving_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 1)
    run.state.seen = [object()]  # type: ignore[list-item]  # pyright: ignore[reportAttributeAccessIssue]  # wrong on purpose

    with pytest.raises(ConfigError, match=r"seen\[0\]"):
        advance(run, 2)

    assert os.listdir(tmp_path) == ["latest-step000000000001"]
    assert load(tmp_path).state.step == 1


def test_all_of_them_are_kept_for_none(tmp_path: Path) -> None:
    run = load(tmp_path, keep_last=None)

    for step in (1, 2, 3, 4):
        advance(run, step)

    assert len(os.listdir(tmp_path)) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_last": 0}, "keep_last must be at least 1 or None, got 0"),
        ({"keep_last": "3"}, "keep_last must be at least 1 or None, got '3'"),
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"every": None}, "every must be at least 1, got None"),
        ({"edit_every": 0}, "edit_every must be at least 1, got 0"),
    ],
)
def test_counts_that_are_none_are_told_before_the_run_begins(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    n_calls = len(calls)

    with pytest.raises(ValueError, match=f"^{message}$"):
        load(tmp_path / "run", **options)

    assert len(calls) == n_calls
    assert not (tmp_path / "run").exists()


def test_every_nth_step_can_be_kept(tmp_path: Path) -> None:
    run = load(tmp_path, every=10, keep_last=5)

    for step in range(35):
        advance(run, step)

    assert len(os.listdir(tmp_path)) == 4
    assert load(tmp_path).state.step == 30


def test_a_path_that_is_nothing_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected config\.ron and state\.ron"):
        load(tmp_path / "run", path=tmp_path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "run", path=tmp_path / "none.ron")


def test_a_wrong_keyword_of_load_lists_the_right_ones() -> None:
    load: Any = HyperState.load

    with pytest.raises(TypeError, match=r"'folder'\. It takes path, checkpoint_"):
        load(object, object, lambda _: None, folder="runs")
    with pytest.raises(TypeError, match=r"'initial_state'.*Write HyperState\.load\("):
        load(object, object)


def test_overrides_that_are_one_text_are_one_error() -> None:
    with pytest.raises(
        TypeError, match=r"a list of strings, .* got one string: 'width=4'"
    ):
        HyperState.load(Config, State, begin, overrides="width=4")


def test_an_error_of_initial_state_comes_alone() -> None:
    def broken(config: Config) -> State:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        HyperState.load(Config, State, broken)
    assert caught.value.__context__ is None

    not_callable: Any = 3
    with pytest.raises(TypeError, match=r"initial_state must be a function .*, got 3"):
        HyperState.load(Config, State, not_callable)


def test_a_begin_that_returns_no_state_is_told_at_once() -> None:
    with pytest.raises(TypeError, match="returned a Net, expected a State"):
        HyperState.load(Config, State, lambda config: Net(3))  # type: ignore[arg-type,return-value]  # not a State


def test_a_config_in_the_place_of_its_class_is_told() -> None:
    with pytest.raises(TypeError, match=r"^HyperState.load: .*expected a config class"):
        HyperState.load(Config(), State, begin)  # type: ignore[arg-type]  # not a class


def test_a_path_that_does_not_exist_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        HyperState.load(Config, State, begin, tmp_path / "nowhere")


@pytest.mark.parametrize("given", ["checkpoint_dir", "path"])
def test_a_run_that_changes_its_directory_keeps_its_folder_and_what_it_reads_later(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    begun: Any = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir="run")
    begun.step()
    options: Any = {given: "run"}
    again: Any = HyperState.load(Config, LazyState, begin_lazy, **options)

    monkeypatch.chdir(elsewhere)
    read_later = again.state.net
    advance(begun, 1)

    assert torch.equal(read_later.layer.weight, begun.state.net.layer.weight)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["latest-step000000000001"]
    assert not [*elsewhere.iterdir()]
