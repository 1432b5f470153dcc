from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn

import burnish
from burnish.cli.main import main
from burnish.config import Hparams
from burnish.records import RecordError
from burnish.train import Checkpoints, HyperState
from burnish.train.inspection.stored_parts import stored_parts


class Config(Hparams):
    lr: float = 0.1


@dataclass
class State:
    net: nn.Linear = field(default_factory=lambda: nn.Linear(2, 2))
    step: int = 0


def names(source: Path) -> list[str]:
    with stored_parts(source) as stored:
        return [part.name for part in stored.parts]


@pytest.mark.parametrize("suffix", ["mpk", "mpk.zst", "json", "safetensors"])
def test_a_file_is_one_part_without_a_name(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"net.{suffix}"
    burnish.save_record(nn.Linear(2, 2), file)

    with stored_parts(file) as stored:
        assert (stored.kind, stored.source) == ("record", str(file))
        assert [len(part.record.entries()) for part in stored.parts] == [2]


def test_a_run_of_fit_shows_its_last_checkpoint_and_names_the_others(
    tmp_path: Path,
) -> None:
    net = nn.Linear(2, 2)
    (tmp_path / "checkpoints").mkdir()
    for step, name in ((9, "epoch=1"), (9, "last"), (5, "epoch=0")):
        Checkpoints(tmp_path / "all").save(step, model=net)
        saved = next((tmp_path / "all").glob(f"step*{step}"))
        saved.rename(tmp_path / "checkpoints" / name)
    (tmp_path / "summary.json").write_text("{}")

    for source in (tmp_path, tmp_path / "checkpoints"):
        with stored_parts(source) as stored:
            assert Path(stored.source).name == "last"
            assert stored.facts["steps"] == ["epoch=0", "epoch=1", "last"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_folders_of_a_storage_are_told_from_each_other(slash: str) -> None:
    fsspec = pytest.importorskip("fsspec")
    net, root = nn.Linear(2, 2), "memory://parts"
    burnish.save_record(net, f"{root}/net/")
    shards = f"{root}/shards/model.safetensors.index.json"
    assert main(["convert", f"{root}/net/", f"{root}/shards/", "--shards", "1KB"]) == 0
    checkpoints = Checkpoints(f"{root}/run")
    state = HyperState.load(
        Config, State, lambda _: State(), checkpoint_dir=f"{root}/states", keep_last=2
    )
    for step in (1, 2):
        checkpoints.save(step, model=net)
        state.state.step = step
        newest = state.save()
    kinds = {
        "net": ("record", f"{root}/net/index.mpk"),
        "shards": ("shards", shards),
        "run": ("checkpoint", f"{root}/run/step000000000002"),
        "run/step000000000001": ("checkpoint", f"{root}/run/step000000000001"),
        "states": ("hyperstate", newest),
        f"states/{newest.name}": ("hyperstate", newest),
    }

    for name, expected in kinds.items():
        with stored_parts(f"{root}/{name}{slash}") as stored:
            source = stored.parts[0].file if expected[0] == "shards" else stored.source
            assert (stored.kind, source) == expected
    with pytest.raises(FileNotFoundError, match="no record"):
        stored_parts(f"{root}/none{slash}")
    fsspec.filesystem("memory").rm("/parts", recursive=True)


def test_a_run_shows_its_newest_checkpoint_and_names_the_others(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    checkpoints = Checkpoints(tmp_path / "run")
    for step in (1, 2):
        checkpoints.save(step, net=net, loss=0.5)

    with stored_parts(tmp_path / "run") as stored:
        assert stored.kind == "checkpoint"
        assert stored.facts["steps"] == [1, 2]
        assert stored.facts["step"] == 2
        assert stored.facts["values"] == {"loss": 0.5}
        assert [(p.name, p.kind) for p in stored.parts] == [("net", "module")]

    with stored_parts(checkpoints[1].folder) as stored:
        assert stored.facts["step"] == 1


def test_files_of_a_run_are_told_below_the_folder_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Checkpoints("run").save(1, net=nn.Linear(2, 2))
    step = "run/step000000000001"

    for source in ("run", step):
        with stored_parts(source) as stored:
            assert stored.source == step
            assert stored.parts[0].file == f"{step}/net.mpk"


def test_a_pretrained_folder_is_one_record_over_its_shards(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    burnish.save_pretrained(net, tmp_path, max_shard_size=300)

    with stored_parts(tmp_path) as stored:
        assert stored.kind == "pretrained folder"
        assert len(stored.parts[0].record.entries()) == 4
    with stored_parts(tmp_path / "model.safetensors.index.json") as stored:
        assert len(stored.parts[0].record.entries()) == 4
    (tmp_path / "config.json").unlink()
    with stored_parts(tmp_path) as stored:
        assert stored.kind == "shards"


def test_a_folder_of_hyperstate_has_a_part_for_each_record(tmp_path: Path) -> None:
    run = HyperState.load(
        Config, State, lambda config: State(), checkpoint_dir=tmp_path / "run"
    )
    run.state.step += 1
    run.step()

    with stored_parts(tmp_path / "run") as stored:
        assert stored.kind == "hyperstate"
        assert [part.name for part in stored.parts] == ["rng", "state.net"]
        assert "state.ron" in stored.facts["texts"]


def test_a_folder_of_records_has_a_part_for_each(tmp_path: Path) -> None:
    burnish.save_record(nn.Linear(1, 1), tmp_path / "a.mpk")
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "b.pt")
    (tmp_path / "notes.txt").write_text("x")

    assert names(tmp_path) == ["a.mpk", "b.pt"]


def test_what_holds_no_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")

    with pytest.raises(IsADirectoryError, match=r"notes\.txt"):
        stored_parts(tmp_path)
    with pytest.raises(FileNotFoundError):
        stored_parts(tmp_path / "nothing.mpk")
    with pytest.raises(RecordError):
        stored_parts(tmp_path / "notes.txt")


def test_one_damaged_file_leaves_none_open(tmp_path: Path) -> None:
    burnish.save_record(nn.Linear(1, 1), tmp_path / "a.mpk")
    (tmp_path / "b.mpk").write_bytes(b"\x85\xa7burnish damaged")

    with pytest.raises(RecordError, match=r"b\.mpk"):
        stored_parts(tmp_path)
    with stored_parts(tmp_path, skips_unreadable=True) as stored:
        assert [part.name for part in stored.parts] == ["a.mpk"]
        assert [isinstance(error, RecordError) for error in stored.unreadable] == [True]
    (tmp_path / "a.mpk").unlink()
    with pytest.raises(RecordError, match=r"b\.mpk"):
        stored_parts(tmp_path, skips_unreadable=True)


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("is_run", [True, False])
@pytest.mark.parametrize("harm", [damage, Path.unlink])
def test_a_checkpoint_is_shown_without_a_part_that_cannot_be_read(
    harm: Callable[[Path], None], is_run: bool, tmp_path: Path
) -> None:
    run, net = tmp_path / "run", nn.Linear(2, 2)
    folder = run / Checkpoints(run).save(1, model=net, ema=nn.Linear(2, 2)).folder.name
    harm(folder / "model.mpk")
    source = run if is_run else folder

    with pytest.raises((RecordError, OSError), match=r"model\.mpk"):
        stored_parts(source)
    with stored_parts(source, skips_unreadable=True) as stored:
        assert [part.name for part in stored.parts] == ["ema"]
        assert ["model.mpk" in str(error) for error in stored.unreadable] == [True]


@pytest.mark.parametrize("is_run", [True, False])
def test_a_hyperstate_is_shown_without_a_record_that_cannot_be_read(
    is_run: bool, tmp_path: Path
) -> None:
    run = HyperState.load(Config, State, lambda _: State(), checkpoint_dir=tmp_path)
    run.state.step = 1
    run.step()
    (folder,) = tmp_path.iterdir()
    damage(folder / "state.net.mpk")

    source = tmp_path if is_run else folder
    with stored_parts(source, skips_unreadable=True) as stored:
        assert [part.name for part in stored.parts] == ["rng"]
        assert ["state.net" in str(error) for error in stored.unreadable] == [True]
