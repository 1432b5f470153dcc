"""A run in a storage: what stands there, what a failure leaves, what goes on."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from burnish.config import Editable
from burnish.records import RecordFormatError, Url
from burnish.train import HyperState, load_state

from .states import (
    Config,
    LazyState,
    State,
    advance,
    begin,
    begin_lazy,
    calls,
    load,
    train,
    weights,
)

fsspec: Any = pytest.importorskip("fsspec")
from ...records.object_storage import CountingStorage  # noqa: E402

URL = "counting://bucket/run"


pytestmark = pytest.mark.usefixtures("empty_storage")


def folders() -> list[str]:
    """Return the names of the folders of checkpoints, without the marks of saves."""
    names = {name.split("/")[2] for name in CountingStorage.objects}
    return sorted(name.partition(".")[0] for name in names - {"checkpoints.json"})


@pytest.mark.parametrize("url", [URL, "memory://bucket/run of%20#ü?"])
@pytest.mark.parametrize("wait", [True, False])
def test_a_run_goes_on_from_a_url_to_the_bit(url: Any, wait: bool) -> None:
    run = load(url, wait=wait, overrides=["optim.lr=0.2"])
    train(run.state, 2)
    run.save()
    train(run.state, 1)
    run.wait()
    draws = torch.rand(3)
    calls.clear()

    again = load(url)

    assert (calls, again.state.step) == ([], 2)
    assert again.config.optim.lr == 0.2
    assert isinstance(again.origin, Url)
    train(again.state, 1)
    assert weights(again.state.net) == weights(run.state.net)
    assert torch.equal(torch.rand(3), draws)
    fsspec.filesystem("memory").rm("/", recursive=True)


def test_the_last_ones_stay_and_a_number_that_is_saved_again_is_replaced() -> None:
    run = load(URL, keep_last=2)

    for step in (1, 2, 3, 3):
        advance(run, step)
    newest = run.save()

    assert folders() == ["step000000000002", "step000000000003"]
    index = json.loads(CountingStorage.objects["bucket/run/checkpoints.json"])
    assert index["folders"]["3"] == newest.name
    assert f"bucket/run/{newest.name}/config.ron" in CountingStorage.objects


@pytest.mark.parametrize("name", ["state.net.mpk", "state.ron", "checkpoints.json"])
def test_a_save_that_fails_leaves_the_older_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load(URL)
    advance(run, 1)
    usual = CountingStorage.pipe_file

    def failing(self: Any, path: str, value: bytes, **options: Any) -> None:
        if path.endswith(name):
            raise ConnectionError("gone")
        usual(self, path, value, **options)

    monkeypatch.setattr(CountingStorage, "pipe_file", failing)
    run.state.net.layer.weight.data.zero_()
    with pytest.raises(OSError, match="gone"):
        run.save()

    again = load(URL)
    assert any(weights(again.state.net))
    is_committed_later = name == "checkpoints.json"
    assert len(folders()) == 1 + is_committed_later


def test_to_go_on_lists_nothing() -> None:
    advance(load(URL), 1)
    CountingStorage.refused.update(("ls", "delete"))

    assert load(URL).state.step == 1


def test_a_run_goes_from_a_disk_to_a_storage_and_back(tmp_path: Path) -> None:
    first = load(tmp_path / "first")
    advance(first, 7)
    for file in (tmp_path / "first").rglob("*.*"):
        name = f"bucket/run/{file.relative_to(tmp_path / 'first')}"
        CountingStorage.objects[name] = file.read_bytes()

    run = load(URL)
    advance(run, 8)
    for name, content in CountingStorage.objects.items():
        copy = tmp_path / "copy" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
    copied = load(tmp_path / "copy/bucket/run")
    advance(copied, 9)
    back = load(tmp_path / "back", path=URL)
    one = load(tmp_path / "one", path=run.save())
    read = load_state(State, run.save() / "state.ron")

    assert [*(tmp_path / "copy/bucket/run").glob("*step*")] == [copied.save()]
    assert [s.step for s in (run.state, back.state, one.state, read)] == [8] * 4
    assert weights(back.state.net) == weights(first.state.net) == weights(read.net)
    assert folders() == ["step000000000008"]


def test_fields_that_nobody_read_go_with_the_run(tmp_path: Path) -> None:
    def lazy_run(folder: Any, **options: Any) -> HyperState[Config, LazyState]:
        return HyperState.load(
            Config, LazyState, begin_lazy, checkpoint_dir=folder, **options
        )

    first = lazy_run(tmp_path / "first")
    advance(first, 1)
    stored = lazy_run(URL, path=tmp_path / "first")
    advance(stored, 2)
    shutil.rmtree(tmp_path / "first")
    back = lazy_run(tmp_path / "back", path=URL)
    advance(back, 3)
    CountingStorage.clear()

    again = lazy_run(tmp_path / "back")

    assert weights(again.state.other) == weights(first.state.other)


def test_a_config_of_a_storage_begins_a_run(tmp_path: Path) -> None:
    url = CountingStorage.put("bucket/config.yaml", b"width: 5\n")
    damaged = CountingStorage.put("bucket/config.json", b"{")

    assert load(tmp_path, path=url, overrides=["optim.lr=1"]).config.width == 5
    with pytest.raises(ValueError, match=r"bucket/config\.json"):
        load(tmp_path, path=damaged)
    with pytest.raises(FileNotFoundError, match="neither a config file"):
        load(tmp_path, path="counting://bucket/none")


def test_what_a_storage_cannot_do_is_told() -> None:
    @dataclass
    class Live:
        lr: Editable[float] = 0.1

    def begin_live(config: Live) -> State:
        return begin(Config())

    with pytest.raises(ValueError, match="hard links"):
        load(URL, unchanged="link")
    with pytest.warns(RuntimeWarning, match="nothing in this run can be edited"):
        HyperState.load(Live, State, begin_live, checkpoint_dir=URL).step()


def test_an_index_that_leads_elsewhere_is_damaged() -> None:
    advance(load(URL), 1)
    index = b'{"burnish": 1, "numbers": [1], "folders": {"1": "../other"}}'
    CountingStorage.objects["bucket/run/checkpoints.json"] = index

    with pytest.raises(RecordFormatError, match=r"other.* is not a folder of 1"):
        load(URL)
