"""What a command asks a run for stands in the run's config, or is refused."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from burnish.config.errors import ConfigError
from burnish.config.files import read_tree
from burnish.config.live import request
from burnish.config.live.edit_lock import edit_lock
from burnish.config.live.request import request_edit

RON = '(\n  lr: 0.1,\n  optim: (name: "adam", betas: [0.9, 0.99]),\n)\n'


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.ron").write_text(RON)
    return tmp_path


def test_values_are_written_into_the_file_at_the_top(run: Path) -> None:
    file = request_edit(run, ["lr=1e-4", "optim.betas.1=0.5", "optim.name=7"], "a test")

    tree = read_tree(file)[0]
    assert tree["lr"] == 1e-4
    assert tree["optim"]["betas"] == [0.9, 0.5]
    assert tree["optim"]["name"] == "7"
    assert "a test" in (run / "config.ron.set").read_text()


def test_items_of_tuples_in_the_file_are_written(tmp_path: Path) -> None:
    text = '(betas: (0.9, 0.99), heads: ((lr: 0.1), (lr: 0.2)), parts: {"a.b": 1})'
    (tmp_path / "config.ron").write_text(text)

    overrides = ["betas.1=0.5", "heads[1].lr=0.3", 'parts["a.b"]=2']
    tree = read_tree(request_edit(tmp_path, overrides, "a test"))[0]

    assert tree["betas"] == (0.9, 0.5)
    assert [head["lr"] for head in tree["heads"]] == [0.1, 0.3]
    assert tree["parts"] == {"a.b": 2}


@pytest.mark.parametrize("word", ["None", "null", " None "])
def test_none_is_none_where_the_file_has_a_text(tmp_path: Path, word: str) -> None:
    (tmp_path / "config.ron").write_text('(note: "a", name: "b", title: "c")')

    overrides = [f"note={word}", "name=none", 'title="lion"']
    file = request_edit(tmp_path, overrides, "a test")

    tree = read_tree(file)[0]
    assert tree == {"note": None, "name": "none", "title": '"lion"'}


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("optmi.name=a", r"optmi.name: the file has no 'optmi'\. Did you mean 'optim'"),
        ("optim.betas.7=1", r"optim\.betas\.7: the file has no '7'"),
        ("lr", "expected field.name=value"),
        ("lr.deep=1", r"the file has no 'deep'"),
    ],
)
def test_what_is_not_in_the_file_is_refused_and_changes_nothing(
    run: Path, override: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        request_edit(run, ["lr=0.5", override], "a test")

    assert (run / "config.ron").read_text() == RON


DEEP = """
model: {optimizer: {name: adam, lr: 0.1}, scheduler: {steps: 3}}
data: {lr: text, loader: {steps: 5, size: 3}}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.ron", "(note: None, lr: 0.1)"),
        ("config.json", '{"note": null, "lr": 0.1}'),
        ("config.yaml", "note: null\nlr: 0.1\n"),
    ],
)
def test_words_and_long_numbers_can_be_written_in_each_format(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)

    file = request_edit(tmp_path, ["note=hello", "lr=0.12345678901234567890123"], "a")

    tree = read_tree(file)[0]
    assert (tree["note"], tree["lr"]) == ("hello", 0.12345678901234567890123)


def test_a_path_may_leave_out_names_on_its_way(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(DEEP)

    file = request_edit(tmp_path, ["optimizer.lr=0.5", "size=4", "data.steps=6"], "a")

    tree = read_tree(file)[0]
    assert tree["model"]["optimizer"]["lr"] == 0.5
    assert tree["data"]["lr"] == "text"
    assert tree["data"]["loader"] == {"steps": 6, "size": 4}


def test_a_path_that_fits_several_places_is_refused_with_all_of_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text(DEEP)

    with pytest.raises(
        ConfigError,
        match=r"steps: could be data\.loader\.steps, model\.scheduler\.steps",
    ):
        request_edit(tmp_path, ["steps=4"], "a")

    assert (tmp_path / "config.yaml").read_text() == DEEP


def test_a_whole_path_is_that_place_whatever_else_fits(tmp_path: Path) -> None:
    (tmp_path / "config.ron").write_text("(lr: 0.1, optim: (lr: 0.2))")

    request_edit(tmp_path, ["lr=0.5"], "a")

    assert read_tree(tmp_path / "config.ron")[0] == {"lr": 0.5, "optim": {"lr": 0.2}}


def test_a_folder_without_a_config_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no config at its top"):
        request_edit(tmp_path, ["lr=1"], "a test")
    (tmp_path / "config.txt").touch()
    with pytest.raises(
        ConfigError, match=r"config\.txt: this is a file; expected the folder"
    ):
        request_edit(tmp_path / "config.txt", ["lr=1"], "a test")
    with pytest.raises(ConfigError, match="gone: there is no such folder"):
        request_edit(tmp_path / "gone", ["lr=1"], "a test")


def test_a_checkpoint_of_a_run_is_none(run: Path) -> None:
    checkpoint = run / "latest-step000000000001"
    checkpoint.mkdir()
    (checkpoint / "config.ron").write_text("(lr: 0.1)")
    (checkpoint / "state.ron").write_text("(step: 1)")

    with pytest.raises(
        ConfigError, match="this is a checkpoint; expected the folder of the run"
    ):
        request_edit(checkpoint, ["lr=0.5"], "a test")

    assert (checkpoint / "config.ron").read_text() == "(lr: 0.1)"


def test_a_request_that_waits_stays_noted_when_another_comes(run: Path) -> None:
    request_edit(run, ["lr=0.5"], "one")
    request_edit(run, ["optim.name=lion"], "another")

    assert "one; another" in (run / "config.ron.set").read_text()


ONE = """
import sys, time
from pathlib import Path
from burnish.config.live import request

folder, word = Path(sys.argv[1]), sys.argv[2]
written = request.write_text

def write_slowly(file, text):
    (folder / "has_read").touch()
    while not (folder / "go_on").exists():
        time.sleep(0.01)
    written(file, text)

request.write_text = write_slowly
request.request_edit(folder, [word], "one")
"""

ANOTHER = """
import sys
from pathlib import Path
from burnish.config.live import edit_lock, request

folder, word = Path(sys.argv[1]), sys.argv[2]
lock = edit_lock.lock

def tell_what_it_meets(opened):
    is_ours = lock(opened)
    if not is_ours:
        (folder / "waits").touch()
    return is_ours

edit_lock.lock = tell_what_it_meets
request.request_edit(folder, [word], "another")
"""


def start(code: str, folder: Path, word: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code, str(folder), word])


def wait_for(file: Path, *processes: "subprocess.Popen[bytes]") -> None:
    while not file.exists() and all(p.poll() is None for p in processes):
        time.sleep(0.01)


@pytest.mark.parametrize("has_history", [True, False])
def test_two_commands_at_once_lose_no_edit(run: Path, has_history: bool) -> None:
    if has_history:
        (run / "edits.jsonl").touch()

    one = start(ONE, run, "lr=0.5")
    wait_for(run / "has_read", one)
    another = start(ANOTHER, run, "optim.name=lion")
    wait_for(run / "waits", another)
    (run / "go_on").touch()

    assert (one.wait(60), another.wait(60)) == (0, 0)
    tree = read_tree(run / "config.ron")[0]
    assert (tree["lr"], tree["optim"]["name"]) == (0.5, "lion")


def test_a_writer_that_stands_still_is_told_and_nothing_is_changed(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "_MOST_SECONDS", 0.0)

    with (
        edit_lock(run, wait_seconds=0),
        pytest.raises(TimeoutError, match="another program has been writing it"),
    ):
        request_edit(run, ["lr=0.5"], "a test")

    assert (run / "config.ron").read_text() == RON


def test_what_an_alias_names_in_two_places_is_set_in_one(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: &a {lr: 1}\nb: *a\nsizes: [&size [1], *size]\n")

    request_edit(tmp_path, ["a.lr=5", "sizes.0.0=7"], "a test")

    assert read_tree(file)[0] == {"a": {"lr": 5}, "b": {"lr": 1}, "sizes": [[7], [1]]}
