"""Records of a HyperState checkpoint that were saved with another step."""

import shutil
from pathlib import Path

import pytest
import torch

from burnish.records import RecordChecksumError, RecordFormatError
from burnish.train import HyperState

from .states import (
    Config,
    LazyState,
    State,
    advance,
    begin,
    begin_lazy,
    load,
    weights,
)

OLDER, NEWER = "step000000000100", "latest-step000000000200"


def save_twice(tmp_path: Path) -> None:
    run = load(tmp_path, keep_last=2)
    advance(run, 100)
    with torch.no_grad():
        run.state.net.layer.weight += torch.rand(1)
    run.state.optim.param_groups[0]["lr"] = 0.5
    advance(run, 200)


@pytest.mark.parametrize("file", ["state.net.mpk", "state.optim.mpk", "rng.mpk"])
def test_a_record_of_another_step_is_refused_in_words_that_say_how_to_go_on(
    file: str, tmp_path: Path
) -> None:
    save_twice(tmp_path)
    shutil.copy(tmp_path / OLDER / file, tmp_path / NEWER / file)

    with pytest.raises(RecordFormatError, match=rf"{file}.*digests\.txt.*remove"):
        load(tmp_path)

    # The user takes the record on purpose: without its line it is not compared.
    digests = tmp_path / NEWER / "digests.txt"
    lines = digests.read_text().splitlines(keepends=True)
    digests.write_text("".join(line for line in lines if file not in line))
    assert load(tmp_path).state.step == 200


def test_random_generators_of_another_step_are_left_alone_without_them(
    tmp_path: Path,
) -> None:
    save_twice(tmp_path)
    shutil.copy(tmp_path / OLDER / "rng.mpk", tmp_path / NEWER / "rng.mpk")

    assert load(tmp_path, rng=False).state.step == 200


def test_edited_texts_and_folders_older_than_digests_load(tmp_path: Path) -> None:
    save_twice(tmp_path)
    text = tmp_path / NEWER / "state.ron"
    text.write_text(text.read_text().replace("200", "250"))

    assert load(tmp_path).state.step == 250

    (tmp_path / NEWER / "digests.txt").unlink()
    shutil.copy(tmp_path / OLDER / "state.net.mpk", tmp_path / NEWER / "state.net.mpk")
    assert load(tmp_path).state.step == 250


@pytest.mark.parametrize("is_carried", [False, True])
def test_a_field_that_is_read_later_is_compared_with_what_was_saved(
    is_carried: bool, tmp_path: Path
) -> None:
    run = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    advance(run, 1)
    folder = tmp_path / "latest-step000000000001"
    shutil.copy(folder / "state.net.mpk", folder / "state.other.mpk")

    again = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    if is_carried:
        # The file is copied unread into a newer checkpoint, and its digest with it.
        advance(again, 2)
        again = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)

    assert weights(again.state.net) == weights(run.state.net)
    with pytest.raises(RecordFormatError, match=r"state\.other\.mpk"):
        _ = again.state.other


def test_damage_is_called_damage_and_not_another_step(tmp_path: Path) -> None:
    save_twice(tmp_path)
    file = tmp_path / NEWER / "state.net.mpk"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    with pytest.raises(RecordChecksumError, match="the checksums"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "state.net.mpk", "\udcff  state.net.mpk"])
def test_digests_that_cannot_be_read_are_named(text: str, tmp_path: Path) -> None:
    save_twice(tmp_path)
    file = tmp_path / NEWER / "digests.txt"
    file.write_text(text, errors="surrogateescape")

    with pytest.raises(RecordFormatError, match=r"digests\.txt"):
        load(tmp_path)


def test_the_text_of_an_older_checkpoint_is_refused_where_the_run_goes_on(
    tmp_path: Path,
) -> None:
    save_twice(tmp_path)
    shutil.copy(tmp_path / OLDER / "state.ron", tmp_path / NEWER / "state.ron")

    with pytest.raises(RecordFormatError, match=r"state of step 100, expected.*200"):
        load(tmp_path)

    run = HyperState.load(Config, State, begin, path=tmp_path / NEWER)
    assert run.state.step == 100


def test_a_checkpoint_under_a_later_name_is_refused(tmp_path: Path) -> None:
    save_twice(tmp_path)
    (tmp_path / NEWER).rename(tmp_path / "latest-step000000000300")

    with pytest.raises(RecordFormatError, match=r"state of step 200, expected.*300"):
        load(tmp_path)
