"""Checkpoints of a run: saved, kept, and restored whole or not at all."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import AdamW
from burnish.records import (
    RecordChecksumError,
    RecordError,
    RecordFormatError,
    RecordMismatchError,
)
from burnish.train import Checkpoint, Checkpoints

from ...fresh_processes import FreshProcess
from ..killed import killed_everywhere
from .runs import filled, net, same

torch.set_num_threads(1)


def test_two_lines_save_and_restore_a_run(tmp_path: Path) -> None:
    model, other = net(), net()
    optim = torch.optim.AdamW(model.parameters())
    model(torch.randn(3, 4)).sum().backward()
    optim.step()
    resumed = torch.optim.AdamW(other.parameters(), lr=5.0)

    Checkpoints(tmp_path).save(40, model=model, optim=optim, rng=True, loss=0.5)
    expected = torch.rand(1)
    step = Checkpoints(tmp_path).restore(model=other, optim=resumed, rng=True)

    assert step == 40
    assert same(model, other)
    assert torch.equal(torch.rand(1), expected)
    assert resumed.param_groups[0]["lr"] == 1e-3
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        for key, value in optim.state[mine].items():
            assert torch.equal(value, resumed.state[theirs][key])


def test_parts_whose_names_differ_in_case_have_files_on_every_disk(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path)
    ones, twos = filled(net(), 1.0), filled(net(), 2.0)
    checkpoints.save(1, G=ones, g=twos)

    files = [file.lower() for file in os.listdir(tmp_path / "step000000000001")]
    assert len({*files}) == len(files) == 3
    large, small = net(), net()
    checkpoints.restore(G=large, g=small)
    assert same(large, ones)
    assert same(small, twos)


def test_nothing_saved_is_step_zero_and_changes_nothing(tmp_path: Path) -> None:
    model = filled(net(), 3.0)
    checkpoints = Checkpoints(tmp_path / "none")

    assert checkpoints.restore(model=model) == 0
    assert checkpoints.steps == []
    assert checkpoints.latest is None
    assert all(bool((p == 3.0).all()) for p in model.parameters())


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=2, keep_best=("loss", 1))

    for step, loss in enumerate([3.0, 0.5, float("nan"), 2.0, 1.0]):
        checkpoints.save(step, values=[step], loss=loss)

    assert checkpoints.steps == [1, 3, 4]
    assert checkpoints.best == 1
    assert checkpoints["best"].values == {"loss": 0.5}


def test_a_checkpoint_that_cannot_be_ranked_is_kept_and_ends_no_run(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path, keep_last=1, keep_best=("loss", 1))
    checkpoints.save(1, values=[1], loss=1.0)
    manifest = tmp_path / "step000000000001" / "checkpoint.json"
    manifest.write_text(manifest.read_text()[:40])

    for step in (2, 3, 4):
        with pytest.warns(RuntimeWarning, match=r"step 1 cannot be ranked"):
            checkpoints.save(step, values=[step], loss=float(step))

    assert checkpoints.steps == [1, 2, 4]
    assert checkpoints.latest == 4
    with pytest.raises(RecordError):
        _ = checkpoints.best


def test_best_can_mean_the_highest(tmp_path: Path) -> None:
    best = ("accuracy", 2, "max")
    checkpoints = Checkpoints(tmp_path, keep_last=1, keep_best=best)

    for step, accuracy in enumerate([0.5, 0.9, 0.1, torch.tensor(0.7), 0.2]):
        checkpoints.save(step, accuracy=accuracy)

    assert checkpoints.steps == [1, 3, 4]


def test_a_misspelled_metric_is_told_before_anything_is_written(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path, keep_best="loss")

    with pytest.raises(ValueError, match=r"ranks by 'loss'.*Did you mean 'losss'"):
        checkpoints.save(1, losss=0.5)

    assert checkpoints.steps == []


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for value in (1.0, 2.0):
        checkpoints.save(7, model=filled(net(), value))
    model = net()

    checkpoints.restore(7, model=model)

    assert same(model, filled(net(), 2.0))
    assert os.listdir(tmp_path) == ["step000000000007"]


def test_foreign_and_half_written_folders_are_ignored(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, model=net())
    (tmp_path / "step000000000099").mkdir()
    (tmp_path / "other000000000999").mkdir()
    (tmp_path / ".step000000000100.abcdef01.tmp").mkdir()
    (tmp_path / "notes.txt").write_text("mine")

    assert checkpoints.steps == [3]

    checkpoints.save(4, model=net())

    assert checkpoints.steps == [3, 4]
    assert not (tmp_path / ".step000000000100.abcdef01.tmp").exists()
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("again", [False, True])
def test_a_kill_anywhere_leaves_the_old_or_the_new(tmp_path: Path, again: bool) -> None:
    folder = tmp_path / "run"
    step = 1 if again else 2

    def prepare() -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        Checkpoints(folder).save(1, a=[1], b=torch.tensor([1.0]))
        return lambda: Checkpoints(folder, keep_last=1).save(
            step, a=[2], b=torch.tensor([2.0])
        )

    n_kills = 0
    for _ in killed_everywhere(prepare, stride=3):
        n_kills += 1
        checkpoint = Checkpoints(folder)["latest"]
        assert checkpoint["a"] == [int(checkpoint["b"])]

        Checkpoints(folder, keep_last=1).save(9, a=[9])
        assert os.listdir(folder) == ["step000000000009"]
    assert n_kills > 5


def test_a_full_disk_says_so_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, model=net())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"the disk is full; what was saved .* unchanged"):
        checkpoints.save(2, model=net())

    assert checkpoints.steps == [1]
    assert os.listdir(tmp_path) == ["step000000000001"]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")

    with pytest.raises(OSError, match="run"):
        Checkpoints(tmp_path / "run").save(1, model=net())


def test_checkpoints_import_nothing_heavy_beyond_torch() -> None:
    code = (
        "import sys; from burnish.train import Checkpoints;"
        "bad = {'lightning', 'hydra', 'omegaconf', 'pydantic', 'matplotlib', 'rich'};"
        "print(sorted(bad & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_with_several_processes_the_first_one_writes(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from torch import distributed as d;"
        "from burnish.train import Checkpoints; rank = int(sys.argv[1]);"
        "d.init_process_group('gloo', init_method=sys.argv[2], rank=rank,"
        " world_size=2);"
        "c = Checkpoints(sys.argv[3]); c.save(1, value=[rank]);"
        "assert c.steps == [1]; assert c['latest']['value'] == [0];"
        "d.destroy_process_group()"
    )
    meeting = f"file://{tmp_path / 'meeting'}"
    program, folder = ("-W", "ignore", "-c", code), tmp_path / "run"

    processes = [
        FreshProcess(*program, str(rank), meeting, folder) for rank in range(2)
    ]
    errors = [process.communicate()[1] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], errors


@pytest.mark.filterwarnings("ignore:.*saved beside later ones:RuntimeWarning")
def test_three_writers_of_equal_steps_leave_whole_checkpoints(tmp_path: Path) -> None:
    def write(value: int) -> None:
        checkpoints = Checkpoints(tmp_path, keep_last=2)
        for step in range(12):
            saved = checkpoints.save(step, net=filled(net(), value), who=[value])
            assert saved.step == step

    writers = [in_child(write, value) for value in range(3)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in writers]
    who, model = list[int](), net()

    assert codes == [0, 0, 0]
    assert Checkpoints(tmp_path).restore(net=model, who=who) == 11
    assert same(model, filled(net(), who[0]))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step000000000010",
        "step000000000011",
    ]


def in_child(action: Callable[[int], object], value: int) -> int:
    """Start a process that runs ``action``, and return its number."""
    child = os.fork()
    if not child:
        code = 1
        try:
            action(value)
            code = 0
        finally:
            os._exit(code)
    return child


def test_a_layer_that_was_frozen_is_named_when_it_would_be_trained(
    tmp_path: Path,
) -> None:
    saved, fresh = net(), net()
    saved[0].weight.requires_grad_(False)
    Checkpoints(tmp_path).save(1, model=saved)

    with pytest.warns(RuntimeWarning, match=r"model\.0\.weight was frozen .* trained"):
        Checkpoints(tmp_path).restore(model=fresh)

    fresh[0].weight.requires_grad_(False)
    assert Checkpoints(tmp_path).restore(model=fresh) == 1


def test_a_part_without_a_name_is_told_that_parts_have_names(tmp_path: Path) -> None:
    net: Any = nn.Linear(2, 2)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, model=net)

    with pytest.raises(TypeError, match=r"restore\(100, model=net\), got a Linear"):
        checkpoints.restore(net)
    with pytest.raises(TypeError, match=r"save\(100, model=net\), got a Linear"):
        checkpoints.save(net)


def test_wrong_arguments_of_checkpoints_are_answered_with_an_example(
    tmp_path: Path,
) -> None:
    new: Any = Checkpoints
    save: Any = Checkpoints(tmp_path).save

    with pytest.raises(TypeError, match=r"takes no 'async_'\. It takes keep_last"):
        new(tmp_path, async_=3)
    with pytest.raises(TypeError, match=r"takes no 'max_to_keep'\. keep_last=3"):
        new(tmp_path, max_to_keep=3)
    with pytest.raises(TypeError, match=r"Write checkpoints\.save\(step, model=net\)"):
        save(step=5, model=nn.Linear(2, 2))


@pytest.mark.parametrize("name", ["precision", "recorder", "only", "exclude"])
def test_an_option_of_save_record_is_no_part_of_a_checkpoint(
    name: str, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path)
    options: dict[str, Any] = {name: "half"}

    with pytest.raises(TypeError, match=f"takes no '{name}'.*burnish.save_record"):
        checkpoints.save(1, model=nn.Linear(2, 2), **options)
    assert checkpoints.steps == []


def test_a_checkpoint_of_nothing_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)

    with pytest.raises(TypeError, match=r"checkpoints.save\(3, model=net\)"):
        checkpoints.save(3)
    assert checkpoints.steps == []


def test_a_newer_folder_without_its_manifest_is_no_older_run(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        saved = checkpoints.save(step, model=net())
    (tmp_path / "step000000000001/checkpoint.json").unlink()
    model = filled(net(), 7)
    assert checkpoints.restore(model=model) == 3  # an older one is nobody's newest

    Path(saved.folder, "checkpoint.json").unlink()
    with pytest.raises(RecordFormatError, match=r"without checkpoint\.json.*step 2"):
        checkpoints.restore(model=model)
    (tmp_path / "step000000000002/checkpoint.json").unlink()
    with pytest.raises(
        RecordFormatError, match=r"000003: .*continue from the beginning"
    ):
        checkpoints.restore(model=model)

    shutil.rmtree(tmp_path)
    assert checkpoints.restore(model=model) == 0


def test_a_newer_folder_that_a_copy_left_empty_is_no_older_run(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        saved = checkpoints.save(step, model=filled(net(), step))
    for file in Path(saved.folder).iterdir():
        file.unlink()

    with pytest.raises(RecordFormatError, match=r"without checkpoint\.json.*step 1"):
        checkpoints.restore(model=net())

    checkpoints.save(2, model=filled(net(), 2))
    assert checkpoints.restore(model=net()) == 2


def mixed(tmp_path: Path, suffix: str = ".mpk") -> tuple[Checkpoint, Checkpoint]:
    """Return the checkpoints of steps 5 and 10, the net of 5 copied over that of 10."""
    checkpoints = Checkpoints(tmp_path, suffix=suffix)
    optim = AdamW().bind(net(), lr=0.1)
    older, newer = (
        checkpoints.save(step, net=filled(net(), step), optim=optim, at={"n": step})
        for step in (5, 10)
    )
    shutil.copy(older.file("net"), newer.file("net"))
    return older, newer


@pytest.mark.parametrize("suffix", [".mpk", ".mpk.zst", ".json", ".mpk.gz"])
def test_a_part_of_another_step_is_refused_in_words_that_say_how_to_go_on(
    suffix: str, tmp_path: Path
) -> None:
    _, newer = mixed(tmp_path, suffix)
    model, at = filled(net(), 1.0), {"n": 0}

    with pytest.raises(RecordFormatError, match=r"net.*step 10.*remove.*\"digest\""):
        Checkpoints(tmp_path).restore(at=at, net=model)
    with pytest.raises(RecordFormatError, match=r"net.*step 10"):
        Checkpoints(tmp_path)[10]["net"]

    assert same(model, filled(net(), 1.0))
    assert at == {"n": 0}
    # All other parts, and all of the other step, are what was saved.
    assert Checkpoints(tmp_path).restore(at=at) == 10
    assert Checkpoints(tmp_path).restore(5, net=model, at=at) == 5
    tree = json.loads(Path(newer.folder, "checkpoint.json").read_text())
    del tree["parts"]["net"]["digest"]
    Path(newer.folder, "checkpoint.json").write_text(json.dumps(tree))
    assert Checkpoints(tmp_path).restore(net=model, at=at) == 10
    assert same(model, filled(net(), 5.0))


def test_plain_data_of_another_step_is_refused_too(tmp_path: Path) -> None:
    older, newer = mixed(tmp_path)
    shutil.copy(older.file("at"), newer.file("at"))

    with pytest.raises(RecordFormatError, match=r"at\.mpk.*step 10"):
        Checkpoints(tmp_path).restore(at={})


def test_equal_parts_of_two_steps_are_one_part(tmp_path: Path) -> None:
    model, checkpoints = net(), Checkpoints(tmp_path)
    older, newer = (checkpoints.save(step, net=model, n=step) for step in (5, 10))
    Path(newer.file("net")).unlink()
    os.link(older.file("net"), newer.file("net"))

    assert checkpoints.restore(net=net()) == 10


@pytest.mark.parametrize("digest", [7, None, ["ab"]])
def test_a_digest_that_is_none_is_named(digest: object, tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path).save(1, net=net())
    tree = json.loads(Path(saved.folder, "checkpoint.json").read_text())
    tree["parts"]["net"]["digest"] = digest
    Path(saved.folder, "checkpoint.json").write_text(json.dumps(tree))

    with pytest.raises(RecordFormatError, match="manifest that cannot be read"):
        Checkpoints(tmp_path).restore(net=net())


def test_damage_is_called_damage_and_not_another_step(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path).save(1, net=net())
    data = bytearray(Path(saved.file("net")).read_bytes())
    data[-1] ^= 1
    Path(saved.file("net")).write_bytes(data)

    with pytest.raises(RecordChecksumError, match="the checksums"):
        Checkpoints(tmp_path).restore(net=net())


def test_a_step_that_is_saved_again_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    model, read = net(), Checkpoint.read

    def slowly_read(folder: Path) -> Checkpoint:
        monkeypatch.setattr(Checkpoint, "read", read)
        checkpoint = read(folder)
        checkpoints.save(3, net=filled(net(), 2.0))
        return checkpoint

    for step in ("latest", 3):
        checkpoints.save(3, net=filled(net(), 1.0))
        monkeypatch.setattr(Checkpoint, "read", slowly_read)

        assert checkpoints.restore(step, net=model) == 3
        assert same(model, filled(net(), 2.0))


def test_a_checkpoint_that_was_moved_aside_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints, model = Checkpoints(tmp_path), net()
    checkpoints.save(3, net=filled(net(), 1.0))

    def open_none(*_: Any, **__: Any) -> Any:
        # A writer has the folder under another name, until the new one is there.
        monkeypatch.undo()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    for step in ("latest", 3):
        monkeypatch.setattr(
            "burnish.train.checkpoints.checkpoint.open_record", open_none
        )

        assert checkpoints.restore(step, net=model) == 3
        assert same(model, filled(net(), 1.0))


def test_a_run_that_changes_its_directory_goes_on_with_the_same_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints("run")
    model = filled(net(), 1.0)
    checkpoints.save(1, model=model)
    by_path = Checkpoint.read("run/step000000000001")

    monkeypatch.chdir(elsewhere)
    checkpoints.save(2, model=model)

    assert checkpoints.steps == [1, 2]
    assert checkpoints.restore(model=net()) == 2
    assert checkpoints.folder == tmp_path / "run"
    assert not [*elsewhere.iterdir()]
    weight = model.get_parameter("0.weight")
    assert torch.equal(by_path["model"]["0.weight"], weight)


def test_the_folder_of_one_step_is_no_run(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path).save(5, model=net())

    with pytest.raises(ValueError, match=r"one checkpoint of a run.*\.restore\(5"):
        Checkpoints(saved.folder)


def test_a_trained_tensor_without_dimensions_is_a_part_and_a_loss_a_number(
    tmp_path: Path,
) -> None:
    """Log_alpha of SAC was read as a number, which no restore can fill."""
    log_alpha = nn.Parameter(torch.tensor(0.1))
    optimizer = torch.optim.Adam([log_alpha], lr=0.1)
    loss = log_alpha.square()
    loss.backward()  # type: ignore[no-untyped-call]  # torch declares nothing
    optimizer.step()
    checkpoint = Checkpoints(tmp_path).save(
        1, log_alpha=log_alpha, optimizer=optimizer, loss=loss
    )
    other = nn.Parameter(torch.zeros(()))
    other_optimizer = torch.optim.Adam([other], lr=0.1)

    Checkpoints(tmp_path).restore(log_alpha=other, optimizer=other_optimizer)

    assert checkpoint.parts == ["log_alpha", "optimizer"]
    assert checkpoint["loss"] == loss.item()
    assert torch.equal(other, log_alpha)
    assert other.requires_grad
    assert other_optimizer.param_groups[0]["params"] == [other]


def test_a_part_of_a_checkpoint_of_numbers_is_told_in_whole_sentences(
    tmp_path: Path,
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, epoch=3)

    with pytest.raises(
        RecordMismatchError, match=r"holds nothing\. To start a part that"
    ):
        checkpoints.restore(net=net())


def test_wrong_calls_say_what_to_write(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, model=net(), epoch=3)

    with pytest.raises(
        RecordMismatchError, match=r"not saved from scratch, restore the others"
    ):
        checkpoints.restore(model=net(), rng=True)
    with pytest.raises(
        RecordMismatchError, match=r"net: not .* restore\(model=\.\.\.\)"
    ):
        checkpoints.restore(net=net())
    with pytest.raises(RecordMismatchError, match=r"a stored number.*\[5\]\['epoch'\]"):
        checkpoints.restore(model=net(), epoch=0)
    with pytest.raises(ValueError, match="or 'latest' or 'best', got 'newest'"):
        checkpoints.restore("newest", model=net())  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="keep_best="):
        checkpoints.restore("best", model=net())
    with pytest.raises(TypeError, match=r"restore\(100, model=\.\.\.\)"):
        checkpoints.restore({"model": net()})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="wait must be True or False, got None"):
        Checkpoints(tmp_path, wait=None)  # type: ignore[arg-type]


def test_a_restore_of_nothing_is_told_which_parts_there_are(tmp_path: Path) -> None:
    run = Checkpoints(tmp_path / "run")
    with pytest.raises(
        TypeError, match=r"No checkpoint has been saved yet.*restore\(net=net\)"
    ):
        run.restore()
    run.save(1, net=nn.Linear(2, 2), head=nn.Linear(2, 1), rng=True)

    with pytest.raises(TypeError, match=r"has .*rng.*restore\(net=net, head=head\)"):
        run.restore()
    with pytest.raises(TypeError, match="Pass the objects to fill"):
        run[1].restore({})
    assert run.restore(rng=True) == 1


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("load", r"checkpoints\.restore\(model=net\)"),
        ("restore_best", r"checkpoints\.restore\('best', model=net\)"),
        ("latest_step", r"checkpoints\.latest"),
        ("delete", "keep_last="),
        ("nonsense", "no attribute 'nonsense'$"),
    ],
)
def test_what_others_call_a_method_is_told_with_ours(
    name: str, ours: str, tmp_path: Path
) -> None:
    with pytest.raises(AttributeError, match=ours):
        getattr(Checkpoints(tmp_path), name)


def test_checkpoints_iterate_over_their_steps(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (3, 4):
        checkpoints.save(step, model=net())

    assert [*checkpoints] == [3, 4]


def test_checkpoints_of_lightning_are_no_new_run(tmp_path: Path) -> None:
    """A restore found no step, returned 0, and left the model untrained."""
    saved = Checkpoints(tmp_path / "one").save(5, model=net())
    shutil.copytree(saved.folder, tmp_path / "run" / "epoch=1")

    with pytest.raises(ValueError, match=r"'epoch=1' is .*load_lightning"):
        Checkpoints(tmp_path / "run").restore(model=net())
    with pytest.raises(ValueError, match="load_lightning"):
        Checkpoints(tmp_path / "run" / "epoch=1")


def test_a_folder_called_home_sign_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run was kept in ./~, which somebody removes as ``rm -r ~``."""
    monkeypatch.chdir(tmp_path)

    for save in (
        lambda: Checkpoints("~/run").save(1, model=net()),
        lambda: burnish.save_record(net(), "~/folder/"),
        lambda: burnish.save_record(net(), "run/~/folder/"),
    ):
        with pytest.raises(FileNotFoundError, match=r"os\.path\.expanduser"):
            save()

    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("keep_best", [2, True, {"loss"}, ("a", 1, "min", 2)])
def test_what_is_no_ranking_is_refused(tmp_path: Path, keep_best: Any) -> None:
    with pytest.raises(ValueError, match="keep_best must be like"):
        Checkpoints(tmp_path, keep_best=keep_best)


def test_a_suffix_that_is_none_is_refused(tmp_path: Path) -> None:
    nothing: Any = None
    with pytest.raises(ValueError, match=r"suffix must be .*, got None"):
        Checkpoints(tmp_path, suffix=nothing)
